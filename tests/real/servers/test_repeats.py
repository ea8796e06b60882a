"""What a proxy in front of two instances repeats: a request may be run again that had been run.

What belongs here: a single request, and how often its handler runs. What does not: restarts, which
`test_rolling` has.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import Request, Site

from cancelweb import cancel_on_disconnect

from ..._loopback import reserve_port
from ..._pages import Handler, Page
from ..._servers import LOOPBACK, Server, reactor
from ..._sockets import SocketVisit
from ...stoppable._upstreams import Asker, GatewayTestCase
from ._pairs import HAPROXY_SAFE, Pair, Ports, haproxy_pair, nginx_pair, repeating

GET, POST, PUT = b"GET", b"POST", b"PUT"


def never(request: Request) -> Deferred[bytes]:
    """A page that takes longer than its deadline."""
    return Deferred(lambda _: None)


def lost(request: Any) -> bytes:
    """A page whose connection breaks off, as if its process was killed."""
    request.transport.abortConnection()
    return b""


def answering(status: int) -> Handler:
    """A page with this status."""

    def answer(request: Request) -> bytes:
        request.setResponseCode(status)
        return b"page"

    return answer


class RepeatsTestCase(GatewayTestCase):
    """A proxy in front of two instances, which are one server that counts."""

    async def runs(self, pair: Pair, method: bytes, page: Handler, **options: Any) -> int:
        """How often a page is run for one request."""
        runs: list[Request] = []

        def render(request: Request) -> Any:
            if request.path == b"/readyz":
                return b"ready"
            runs.append(request)
            return page(request)

        decorate: Any = cancel_on_disconnect(observers=(), **options)
        port = self.serve(Page(decorate(render))).port
        server = await pair.start(self, Ports(port, port), Ports(port, port))
        lines = (method + b" /page HTTP/1.1", b"Host: localhost", b"Connection: close")
        connection = await server.connect(Asker(*lines, body=b"" if method == GET else b"form"))
        self.assertTrue(await connection.closed)
        return len(runs)

    async def assert_runs(self, pair: Pair, method: bytes, **expected: int) -> None:
        """A page that fails in each of these ways is run so often."""
        for name, number in expected.items():
            page = lost if name == "lost" else answering(int(name.removeprefix("status_")))
            self.assertEqual(await self.runs(pair, method, page), number, name)


class DeadlineTests(RepeatsTestCase):
    """A request whose time is up."""

    async def test_of_status_503(self) -> None:
        """If a proxy repeats a 503, a request is run again when its time is up."""
        self.assertEqual(await self.runs(repeating(nginx_pair()), GET, never, timeout=0.1), 2)
        self.assertEqual(await self.runs(repeating(haproxy_pair()), GET, never, timeout=0.1), 4)

    async def test_of_status_504(self) -> None:
        """With a `timeout_status` of 504, a request is not run again when its time is up."""
        for pair in nginx_pair(), haproxy_pair():
            options: dict[str, Any] = {"timeout": 0.1, "timeout_status": 504}
            self.assertEqual(await self.runs(repeating(pair), GET, never, **options), 1)

    async def test_without_repeats(self) -> None:
        """With the settings for a delay, a request is not run again when its time is up."""
        for pair in nginx_pair(), haproxy_pair():
            self.assertEqual(await self.runs(pair, GET, never, timeout=0.1), 1)

    async def test_of_nginx(self) -> None:
        """When the time of nginx itself is up, it has a GET run again, but not a POST."""
        limit = "proxy_read_timeout 300ms; proxy_http_version"
        pair = nginx_pair().changed({"proxy_http_version": limit})
        self.assertEqual(await self.runs(pair, GET, never), 2)
        self.assertEqual(await self.runs(pair, POST, never), 1)


class StatusTests(RepeatsTestCase):
    """Pages that fail: with a status, or without an answer."""

    async def test_settings_for_a_delay(self) -> None:
        """With the settings for a delay, only nginx repeats a GET, and only without an answer."""
        await self.assert_runs(nginx_pair(), GET, status_503=1, status_429=1, lost=2)
        await self.assert_runs(nginx_pair(), POST, status_503=1, status_429=1, lost=1)
        for method in GET, POST:
            await self.assert_runs(haproxy_pair(), method, status_503=1, status_429=1, lost=1)

    async def test_settings_that_repeat(self) -> None:
        """With the settings that repeat, a GET is repeated on a 503 or no answer; a POST never."""
        await self.assert_runs(repeating(nginx_pair()), GET, status_503=2, status_429=1, lost=2)
        await self.assert_runs(repeating(haproxy_pair()), GET, status_503=4, status_429=1, lost=4)
        for pair in nginx_pair(), haproxy_pair():
            await self.assert_runs(repeating(pair), POST, status_503=1, status_429=1, lost=1)

    async def test_put(self) -> None:
        """nginx repeats a PUT as well as a GET; HAProxy does not, with the settings of the docs."""
        await self.assert_runs(repeating(nginx_pair()), PUT, status_503=2, lost=2)
        await self.assert_runs(repeating(haproxy_pair()), PUT, status_503=1, lost=1)

    async def test_haproxy_without_its_condition(self) -> None:
        """Without the condition in the docs, HAProxy runs a POST four times that got no answer."""
        pair = repeating(haproxy_pair()).without(HAPROXY_SAFE)
        await self.assert_runs(pair, POST, status_503=4, lost=4)


class RefusedTests(RepeatsTestCase):
    """An instance that refused a connection while it was started again."""

    async def status_afterwards(self, pair: Pair) -> bytes:
        """The status of a request when that instance is back, and the other one is stopped."""
        site = Site(Page(lambda _: b"page"))
        back = reserve_port(self)
        other = reactor.listenTCP(0, site, interface=LOOPBACK)
        ports = [Ports(port, port) for port in (back, other.getHost().port)]
        server = await pair.start(self, *ports)
        for _ in ports:
            self.assertIn(b" 200 ", await self.answer(server))
        port = reactor.listenTCP(back, site, interface=LOOPBACK)
        self.addCleanup(port.stopListening)
        await other.stopListening()
        return (await self.answer(server)).split()[1]

    async def answer(self, server: Server) -> bytes:
        """The answer to a client of the proxy."""
        visit = await server.connect(SocketVisit("/page"))
        return await visit.closed

    async def test_nginx(self) -> None:
        """Only with `max_fails=0` does nginx ask an instance again as soon as it is back."""
        # Without connections that it keeps, on which the other instance would go on to answer.
        kept = ("keepalive 16;", "keepalive_timeout 2s;", 'proxy_set_header Connection "";')
        pair = nginx_pair().without(*kept)
        self.assertEqual(await self.status_afterwards(pair), b"200")
        self.assertEqual(await self.status_afterwards(pair.without(" max_fails=0")), b"502")
