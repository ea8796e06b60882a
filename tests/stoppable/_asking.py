"""Handlers that ask an upstream, over real sockets, with Twisted's Agent or with treq.

What belongs here: what tests of more than one module need. What does not: tests.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import treq
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.web.client import Agent, readBody
from twisted.web.server import Request

from cancelweb import Ended, cancel_on_disconnect
from cancelweb.upstream import CancellingAgent, stream_body

from .._pages import GetPage
from ._upstreams import Exchange, GatewayTestCase, reactor

Asking = Callable[[Any], Awaitable[Any]]
"""How a handler asks the upstream; it is given the response where there is one already."""


def plenty() -> bytes:
    """More than all buffers on the way hold."""
    return bytes(2**25)


READERS: dict[str, Asking] = {
    "readBody": readBody,
    "treq.content": treq.content,
    "treq.text_content": treq.text_content,
    "treq.json_content": treq.json_content,
    "treq.collect": lambda response: treq.collect(response, lambda _: None),
    "stream_body": lambda response: whole(stream_body(response)),
}
"""Ways to read a body."""


def whole(chunks: Any) -> Deferred[bytes]:
    """All the chunks."""

    async def read() -> bytes:
        return b"".join([chunk async for chunk in chunks])

    return Deferred.fromCoroutine(read())


def always(ask: Callable[[], Any]) -> Callable[[Request], Any]:
    """A handler that does not look at its request."""
    return lambda request: ask()


class AskingTestCase(GatewayTestCase):
    """A test whose handler asks the upstream."""

    def setUp(self) -> None:
        super().setUp()
        self.agent: Any = CancellingAgent(Agent(reactor))

    def page(self, ask: Callable[[Request], Any]) -> Any:
        """A page with this handler, whose outcome is noted."""
        decorate: Any = cancel_on_disconnect(observers=self.outcome.callback)
        return self.serve(GetPage(decorate(ask)))

    def get(self) -> Deferred[Any]:
        """Ask the upstream with the agent."""
        answer: Deferred[Any] = self.agent.request(b"GET", self.url.encode())
        return answer

    def plain(self) -> Deferred[Any]:
        """Ask the upstream with a plain agent."""
        answer: Deferred[Any] = Agent(reactor).request(b"GET", self.url.encode())
        return answer

    def treq(self, **options: Any) -> Deferred[Any]:
        """Ask the upstream with treq."""
        answer: Deferred[Any] = HTTPClient(self.agent).get(self.url, **options)
        return answer

    async def assert_dropped(self, exchange: Exchange, connection: Any) -> None:
        """When the client leaves, the exchange with the upstream is closed, and all is stopped."""
        connection.leave()
        await exchange.lost
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)
        self.assertEqual(self.flushLoggedErrors(), [])
