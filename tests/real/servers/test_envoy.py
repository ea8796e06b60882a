"""What Envoy does between a client and Twisted, besides the rows of the table.

What belongs here: settings that Envoy alone has, and HTTP/2 on either side of it. What does not:
whether Envoy reports a client that has left at all, which `test_fronts` looks at.
"""

import re
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.web.server import Request, Site

from cancelweb import Disconnected, Ended, Outcome, TimedOut, cancel_on_disconnect

from ..._docs import DOCS
from ..._http2 import HTTP2Client
from ..._pages import Page
from ..._servers import SelfSigned, Server
from ...stoppable._upstreams import Asker, GatewayTestCase
from ._behind import FrontTestCase
from ._fronts import Front, envoy

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class LeavingTests(FrontTestCase):
    """Clients that leave Envoy."""

    async def test_in_mid_stream(self) -> None:
        """Envoy tells Twisted about a client that leaves with a part of its answer."""
        _, connection = await self.start(envoy())
        (await self.asked).write(b"the first part")
        await self.until(lambda: connection.has(b"the first part"))
        connection.leave()
        await self.assert_told()

    async def test_settings_of_the_docs(self) -> None:
        """With the settings of the how-to, Envoy tells Twisted about a client that leaves."""
        page = (DOCS / "howto" / "behind-a-proxy.rst").read_text()
        [route] = re.findall(r"^ +cluster: twisted\n((?: {7}.+\n)+)", page, re.M)
        settings = [line.strip() for line in route.splitlines()]
        self.assertEqual(len(settings), 2)
        _, connection = await self.start(envoy(", ".join(settings)))
        connection.leave()
        await self.assert_told()


class EnvoyTestCase(GatewayTestCase):
    """Envoy in front of a handler that waits, and notes each request.

    Attributes:
        pages: what each request waits for, by its path, the first asked first.
        outcomes: how the requests have ended.
    """

    def setUp(self) -> None:
        super().setUp()
        self.pages: list[tuple[bytes, Deferred[bytes]]] = []
        self.outcomes: list[Outcome] = []

    def page(self, **options: Any) -> Page:
        """The page that Envoy asks for."""
        decorate: Any = cancel_on_disconnect(observers=self.outcomes.append, **options)
        return Page(decorate(self.wait))

    def wait(self, request: Request) -> Deferred[bytes]:
        """The handler, which waits and notes its request."""
        page: Deferred[bytes] = Deferred(lambda _: None)
        self.pages.append((request.path, page))
        return page

    async def start(self, front: Front, **options: Any) -> Server:
        """Start Envoy in front of the page."""
        server: Server = await front(self, self.serve(self.page(**options)).port)
        return server

    async def ask(self, server: Server) -> Asker:
        """Connect a client that waits, and whose response ends with its connection."""
        lines = (b"GET /page HTTP/1.1", b"Host: localhost", b"Connection: close")
        return await server.connect(Asker(*lines))

    def fates(self) -> list[tuple[Any, Ended]]:
        """Why and how the requests have ended so far."""
        return [(type(each.cause), each.ended) for each in self.outcomes]


LEFT = (Disconnected, Ended.STOPPED)


class HTTP2Tests(EnvoyTestCase):
    """HTTP/2 in front of Envoy, and behind it."""

    async def test_client_resets_a_stream(self) -> None:
        """Envoy tells Twisted about a reset stream, and the other stream gets its answer."""
        server = await self.start(envoy())
        connection = await server.connect(HTTP2Client())
        left, stays = connection.get("/left"), connection.get("/stays")
        await self.until(lambda: len(self.pages) == 2)
        connection.reset(left)
        await self.until(lambda: self.outcomes)
        self.assertEqual([each.path for each in self.outcomes], [b"/left"])
        self.assertEqual(self.fates(), [LEFT])
        dict(self.pages)[b"/stays"].callback(b"the page")
        self.assertEqual((await stays.until(lambda it: it.ended)).body, b"the page")

    async def test_client_closes_its_connection(self) -> None:
        """Envoy tells Twisted about each stream on a connection that its client closes."""
        server = await self.start(envoy())
        connection = await server.connect(HTTP2Client())
        for path in ("/one", "/two"):
            connection.get(path)
        await self.until(lambda: len(self.pages) == 2)
        await connection.close()
        await self.until(lambda: len(self.outcomes) == 2)
        self.assertEqual(self.fates(), [LEFT, LEFT])

    async def test_behind(self) -> None:
        """Over HTTP/2 to Twisted, Envoy reports the one client that leaves, by a reset."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        behind = serverFromString(reactor, certificate.listen())
        port = await behind.listen(Site(self.page()))
        self.addCleanup(port.stopListening)
        server = await envoy(is_http2=True)(self, port.getHost().port)
        left, stays = await self.ask(server), await self.ask(server)
        await self.until(lambda: len(self.pages) == 2)
        left.leave()
        await self.until(lambda: self.outcomes)
        self.assertEqual(self.fates(), [LEFT])
        for _, page in self.pages:
            if not page.called:
                page.callback(b"the page")
        self.assertTrue((await stays.closed).endswith(b"the page"))


class SettingsTests(EnvoyTestCase):
    """Settings of a route that make Envoy end or repeat a request."""

    async def test_timeout(self) -> None:
        """Envoy answers 504 when its own timeout passes, and leaves Twisted as a client does."""
        connection = await self.ask(await self.start(envoy("timeout: 0.3s")))
        self.assertIn(b" 504 ", await connection.closed)
        await self.until(lambda: self.outcomes)
        self.assertEqual(self.fates(), [LEFT])

    async def test_timeout_of_each_try(self) -> None:
        """Envoy leaves Twisted when the timeout of a try passes, and asks again."""
        retry = 'retry_policy: {retry_on: "5xx", num_retries: 1, per_try_timeout: 0.3s}'
        connection = await self.ask(await self.start(envoy(retry)))
        self.assertIn(b" 504 ", await connection.closed)
        await self.until(lambda: len(self.outcomes) == 2)
        self.assertEqual(self.fates(), [LEFT, LEFT])

    async def count_tries(self, conditions: str) -> int:
        """How often the handler is run for a client whose page takes longer than the deadline."""
        retry = f'retry_policy: {{retry_on: "{conditions}", num_retries: 2}}'
        connection = await self.ask(await self.start(envoy(retry), timeout=0.1))
        self.assertIn(b" 503 ", await connection.closed)
        self.assertEqual(set(self.fates()), {(TimedOut, Ended.STOPPED)})
        return len(self.outcomes)

    async def test_retries_of_a_deadline(self) -> None:
        """With retries on 5xx, Envoy has a deadline's 503 repeated as often as it may."""
        self.assertEqual(await self.count_tries("5xx"), 3)
        self.outcomes.clear()
        self.assertEqual(await self.count_tries("gateway-error"), 3)

    async def test_retries_of_connections_alone(self) -> None:
        """With retries of requests that cannot have begun, Envoy asks once for a deadline's 503."""
        self.assertEqual(await self.count_tries("connect-failure,refused-stream,reset"), 1)

    async def test_mirror(self) -> None:
        """The copy of a request for a mirror runs on when the client has left."""
        server = await self.start(envoy("request_mirror_policies: [{cluster: behind}]"))
        connection = await self.ask(server)
        await self.until(lambda: len(self.pages) == 2)
        connection.leave()
        await self.until(lambda: self.outcomes)
        # By then Envoy has seen the client go.
        [copy] = [page for _, page in self.pages if not page.called]
        copy.callback(b"the page")
        self.assertEqual(self.fates(), [LEFT, (type(None), Ended.COMPLETED)])
