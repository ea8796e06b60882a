"""The reverse proxy, over real sockets: what it relays.

What belongs here: requests and responses, their heads and bodies. What does not: what becomes of
them when a side leaves.
"""

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.proxy import ReverseProxyResource as TwistedsResource

from cancelweb import CancellingResource
from cancelweb.proxy import ReverseProxyResource

from .._servers import LOOPBACK
from ._proxies import ANSWER, ProxyTestCase
from ._upstreams import HEAD, reactor
from ._wires import WireTestCase


class RequestTests(ProxyTestCase):
    """What the upstream gets of a request."""

    async def relayed(self, *lines: bytes, proxy: Any = None, **kw: Any) -> list[bytes]:
        """The lines of the head, without those that differ by design."""
        connection, exchange = await self.ask(*lines, proxy=proxy, **kw)
        connection.leave()
        exchange.close()
        await exchange.lost
        lines = tuple(bytes(exchange.received).partition(b"\r\n\r\n")[0].split(b"\r\n"))
        return [lines[0], *sorted(lines[1:])]

    async def test_target(self) -> None:
        """The proxy asks for the same target as Twisted's own proxy."""
        for target in [b"/", b"/a/b%2Fc/d%20e?f=1&g=%C3%A4", b"/a;b/?", b"/%C3%A4?a?b"]:
            request = b"GET " + target + b" HTTP/1.1"
            twisteds: Any = TwistedsResource(LOOPBACK, self.port, b"/base", reactor)
            theirs = await self.relayed(request, proxy=twisteds)
            self.outcome = Deferred()
            ours = await self.relayed(request, proxy=self.proxy(path=b"/base"))
            expected = theirs[0].replace(b" HTTP/1.0", b" HTTP/1.1")
            self.assertEqual(ours[0], expected)
            self.flushLoggedErrors()

    async def test_headers(self) -> None:
        """All headers but those of the hop are relayed, and the Host is the upstream's."""
        lines = await self.relayed(
            b"GET / HTTP/1.1",
            b"Host: example.org",
            b"Accept: text/html",
            b"Accept: text/plain",
            b"Proxy-Authorization: Basic YTpi",
            b"Connection: X-Hop, keep-alive",
            b"X-Hop: 1",
            b"Keep-Alive: timeout=5",
            b"Proxy-Connection: keep-alive",
            b"TE: trailers",
            b"Upgrade: websocket",
        )
        self.assertEqual(
            lines,
            [
                b"GET / HTTP/1.1",
                b"Accept: text/html",
                b"Accept: text/plain",
                b"Connection: close",
                b"Host: 127.0.0.1:%d" % self.port,
            ],
        )

    async def test_body(self) -> None:
        """A body is relayed whole, whatever the method, with its length."""
        for method in [b"POST", b"PUT", b"GET"]:
            self.outcome = Deferred()
            body = method * 1000
            connection, exchange = await self.ask(
                method + b" / HTTP/1.1", b"Expect: 100-continue", body=body
            )
            await exchange.until(lambda received, body=body: received.endswith(body))
            self.assertEqual(exchange.body, body)
            self.assertIn(b"\r\nContent-Length: %d\r\n" % len(body), exchange.received)
            self.assertNotIn(b"100-continue", exchange.received)
            connection.leave()
            await exchange.lost

    async def test_empty_body(self) -> None:
        """The header "Content-Length: 0" is relayed, and not added where there is no body."""
        for method in [b"POST", b"PATCH", b"DELETE"]:
            self.outcome = Deferred()
            lines = await self.relayed(method + b" / HTTP/1.1", b"Content-Length: 0")
            self.assertIn(b"Content-Length: 0", lines)
            await self.outcome
        self.outcome = Deferred()
        lines = await self.relayed(b"DELETE / HTTP/1.1")
        self.assertNotIn(b"Content-Length: 0", lines)

    async def test_address_of_ipv6(self) -> None:
        """The Host of an IPv6 address has brackets (RFC 3986, section 3.2.2)."""
        listening = reactor.listenTCP(0, self.upstream, interface="::1")
        self.addCleanup(listening.stopListening)
        port = listening.getHost().port
        proxy: Any = ReverseProxyResource("::1", port, b"", reactor)
        lines = await self.relayed(b"GET / HTTP/1.1", proxy=CancellingResource(proxy))
        self.assertIn(b"Host: [::1]:%d" % port, lines)

    async def test_default_port(self) -> None:
        """The Host does not name the default port 80."""
        asked: list[Any] = []

        class Noting:
            def request(self, *args: Any) -> Deferred[Any]:
                asked.append(args)
                return Deferred()

        proxy: Any = ReverseProxyResource("example.org", 80, b"", agent=Noting())
        connection = await self.visit(self.serve(proxy), "/a")
        await self.until(lambda: asked)
        connection.leave()
        method, uri, headers, body = asked[0]
        self.assertEqual((method, uri, body), (b"GET", b"http://example.org/a", None))
        self.assertEqual(headers.getRawHeaders(b"host"), [b"example.org"])

    async def test_pool(self) -> None:
        """An agent with a pool uses its connection for the next request."""
        pool = HTTPConnectionPool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        agent = Agent(reactor, pool=pool)
        connection, exchange = await self.ask(proxy=self.proxy(agent=agent))
        exchange.say(ANSWER)
        await self.outcome
        self.outcome = Deferred()
        connection.transport.write(b"GET /again HTTP/1.1\r\n\r\n")
        await exchange.until(lambda received: b"GET /again" in received)
        connection.leave()
        await exchange.lost


class ResponseTests(ProxyTestCase):
    """What the client gets of a response."""

    async def test_whole(self) -> None:
        """Status, phrase and headers are the upstream's, except those of the hop."""
        body, head = await self.answered(
            b"HTTP/1.1 418 Short and stout\r\nServer: teapot\r\nDate: today\r\n"
            b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nKeep-Alive: timeout=5\r\nTrailer: X\r\n"
            b"Content-Length: 5\r\n\r\nhello"
        )
        self.assertEqual(body, b"hello")
        self.assertEqual(head[0], b"HTTP/1.1 418 Short and stout")
        self.assertEqual(
            sorted(head[1:]),
            [
                b"Connection: close",
                b"Content-Length: 5",
                b"Date: today",
                b"Server: teapot",
                b"Set-Cookie: a=1",
                b"Set-Cookie: b=2",
            ],
        )

    async def test_chunked(self) -> None:
        """A body of unknown length is relayed in chunks."""
        said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        body, head = await self.answered(said)
        self.assertEqual(body, b"5\r\nhello\r\n0\r\n\r\n")
        self.assertIn(b"Transfer-Encoding: chunked", head)

    async def test_until_close(self) -> None:
        """A body that ends with the connection is relayed whole."""
        body, _ = await self.answered(b"HTTP/1.0 200 OK\r\n\r\nhello", b"GET / HTTP/1.0")
        self.assertEqual(body, b"hello")

    async def test_bodiless(self) -> None:
        """A response that must have no body gets neither a length nor a type."""
        for request, status in [
            (b"HEAD / HTTP/1.1", b"200 OK"),
            (b"GET / HTTP/1.1", b"204 No Content"),
            (b"GET / HTTP/1.1", b"304 Not Modified"),
        ]:
            self.outcome = Deferred()
            said = b"HTTP/1.1 " + status + b'\r\nETag: "a"\r\n\r\n'
            body, head = await self.answered(said, request)
            self.assertEqual((body, head[0]), (b"", b"HTTP/1.1 " + status))
            names = {line.partition(b":")[0] for line in head[1:]}
            self.assertIn(b"ETag", names)
            self.assertNotIn(b"Content-Type", names)
            self.assertNotIn(b"Content-Length", names)

    async def test_length_of_what_a_get_would_bring(self) -> None:
        """A response to a HEAD keeps its length (RFC 9110, section 9.3.2)."""
        said = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        body, head = await self.answered(said, b"HEAD / HTTP/1.1")
        self.assertEqual(body, b"")
        self.assertIn(b"Content-Length: 1000", head)

    async def test_early_hints(self) -> None:
        """An informational response, such as a 103, is not taken for the response."""
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
        body, head = await self.answered(hints + ANSWER)
        self.assertEqual((body, head[0]), (b"hello", b"HTTP/1.1 200 OK"))

    async def test_streamed(self) -> None:
        """The client gets the first part of a body before the upstream sends the rest."""
        connection, exchange = await self.ask()
        exchange.say(HEAD + b"the first part")
        await self.until(partial(connection.has, b"the first part"))
        connection.leave()
        await exchange.lost


class OtherSpellingTests(WireTestCase):
    """Headers with ``_`` for ``-``, which are the same variables for a WSGI program."""

    def test_dropped(self) -> None:
        """What is dropped or set anew is dropped in this spelling, too."""
        hop = {b"Transfer_Encoding": b"chunked", b"Content_Length": b"9", b"Keep_Alive": b"9"}
        named = {b"Connection": b"x_hop, X-Other-Hop", b"X-Hop": b"1", b"X_Other_Hop": b"1"}
        headers = {**hop, **named, b"X_Time_Left": b"3000", b"X_A": b"1"}
        root = self.proxy(timeout_header="X-Time-Left")
        got = self.asked_with(b"/", headers, root=root)
        self.assertEqual(got, {b"connection": b"close", b"host": b"up.example", b"x_a": b"1"})


class ForbiddenTests(WireTestCase):
    """Headers of a request that HTTP forbids."""

    def test_values(self) -> None:
        """A value with control characters gives a 400, and the upstream hears nothing."""
        for value in [b"a\x00b", b"\x1b[2J", b"\x7f", b"a\x0bb"]:
            response = self.ask(headers={b"X-A": value}).response
            assert response is not None
            self.assertEqual((response.code, self.wire.lines), (400, []), value)

    def test_over_http2(self) -> None:
        """Over HTTP/2, h2 may refuse some of them first."""
        for value in [b"a\x00b", b"\x1b[2J", b"\x7f", b"a\rx-b: 1", b"a\nx-b: 1", b"a\r\nx-b: 1"]:
            response = self.client().connect_http2().get(b"/", {b"x-a": value}).response
            self.assertIn(response and response.code, [400, None])
            self.assertEqual(self.wire.lines, [], value)
