"""A handler that waits, behind a server that stands in front of it.

What belongs here: the handler, a client whose request has come to it, and whether it has been told.
What does not: what stands in front, which has `_fronts`.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from cancelweb import Disconnected, Ended, cancel_on_disconnect

from ..._pages import Page
from ..._servers import Server
from ...stoppable._upstreams import Asker, GatewayTestCase
from ._fronts import Front

GET = b"GET"


class FrontTestCase(GatewayTestCase):
    """A server in front of a handler that waits.

    Attributes:
        asked: fires with the request that waits.
        page: fires it.
    """

    def setUp(self) -> None:
        super().setUp()
        self.asked: Deferred[Any] = Deferred()
        self.page: Deferred[Any] = Deferred(lambda _: None)

    def render(self, request: Request) -> Any:
        """The handler, which waits; a probe is answered at once."""
        if request.path == b"/probe":
            request.setHeader(b"cache-control", b"no-store")
            return b"seen"
        self.asked.callback(request)
        return self.page

    async def start(
        self, front: Front, method: bytes = GET, body: bytes = b""
    ) -> tuple[Server, Any]:
        """Start the server in front, and a client whose request has come to the handler."""
        self.setUp()
        decorate: Any = cancel_on_disconnect(observers=self._tell)
        behind = self.serve(Page(decorate(self.render)))
        server = await front(self, behind.port)
        line = method + b" /page HTTP/1.1"
        lines = (line, b"Host: localhost", b"Connection: close")
        connection = await server.connect(Asker(*lines, body=body))
        await self.asked
        return server, connection

    def _tell(self, outcome: Any) -> None:
        if outcome.path == b"/page":
            self.outcome.callback(outcome)

    async def look(self, server: Server) -> None:
        """Have probes answered on the same way: whatever the handler is told, it knows by then."""
        for _ in range(3):
            probe = await server.connect(
                Asker(b"GET /probe HTTP/1.1", b"Host: localhost", b"Connection: close")
            )
            self.assertIn(b"seen", await probe.closed)

    async def assert_told(self) -> None:
        """The handler is stopped because its client disconnected."""
        outcome = await self.outcome
        self.assertEqual(outcome.ended, Ended.STOPPED)
        self.assertIsInstance(outcome.cause, Disconnected)

    async def assert_never(self, server: Server) -> None:
        """The handler is not stopped, and its response is finished as if its client waited."""
        await self.look(server)
        self.assertFalse(self.outcome.called)
        self.page.callback(b"the page")
        outcome = await self.outcome
        self.assertEqual((outcome.ended, outcome.cause), (Ended.COMPLETED, None))
