"""The reverse proxy, over real sockets: what it relays, and what becomes of it when a side leaves.

What belongs here: `cancelweb.proxy` between a client and an upstream that the test plays. What
does not: other proxies before it, which have `test_chain`.
"""

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed
from twisted.web.proxy import ReverseProxyResource as TwistedsResource
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from cancelweb import (
    CancellingResource,
    Disconnected,
    Ended,
    Shared,
    cancel_on_disconnect,
    detach,
)
from cancelweb.proxy import ReverseProxyResource

from ._inmemory import log_events, of_cancelweb
from ._pages import Page
from ._servers import LOOPBACK, Server
from ._upstreams import HEAD, Asker, Deaf, Endless, Exchange, GatewayTestCase, reactor

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

PLENTY = 2**25
"""More than all buffers on the way hold."""


class ProxyTestCase(GatewayTestCase):
    """A proxy in front of the upstream."""

    def proxy(self, port: int | None = None, observed: bool = True, **options: Any) -> Any:
        """The proxy, below whose root everything is relayed; its outcomes are told."""
        options.setdefault("path", b"")
        proxy: Any = ReverseProxyResource(LOOPBACK, port or self.port, **options)
        return CancellingResource(proxy, observers=self._tell if observed else ())

    def _tell(self, outcome: Any) -> None:
        self.outcome.callback(outcome)

    async def ask(self, *lines: bytes, proxy: Any = None, **kw: Any) -> tuple[Asker, Any]:
        """Ask the proxy; returns the client, and what has come to the upstream."""
        self.server = self.serve(self.proxy() if proxy is None else proxy)
        client = await self.server.connect(Asker(*(lines or [b"GET / HTTP/1.1"]), **kw))
        client.answer.addErrback(lambda _: None)
        exchange = await self.upstream.exchange()
        if self.upstream.reads:
            await exchange.asked()
        return client, exchange

    async def answered(self, said: bytes, *lines: bytes, **kw: Any) -> tuple[bytes, list[bytes]]:
        """What the client gets of what the upstream says: the body, and the lines before it."""
        lines = lines or (b"GET / HTTP/1.1",)
        client, exchange = await self.ask(*lines, b"Connection: close", **kw)
        exchange.say(said)
        exchange.close()
        head, _, body = (await client.answer).partition(b"\r\n\r\n")
        return body, head.split(b"\r\n")


class LeaveTests(ProxyTestCase):
    """The client leaves."""

    async def assert_dropped(self, client: Any, exchange: Exchange) -> None:
        """The upstream is told."""
        client.leave()
        exchange.transport.resumeProducing()  # type: ignore[union-attr]
        await exchange.lost
        outcome = await self.outcome
        self.assertEqual(outcome.ended, Ended.STOPPED)
        self.assertIsInstance(outcome.cause, Disconnected)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_while_connecting(self) -> None:
        """The attempt to connect is given up."""
        deaf = Deaf()
        self.addCleanup(deaf.close)
        client = await self.visit(self.serve(self.proxy(deaf.port)))
        await self.until(deaf.connecting)
        client.leave()
        await self.until(lambda: not deaf.connecting())
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)

    async def test_while_upstream_works(self) -> None:
        """The request is dropped before it was answered, whatever its method."""
        for method in [b"GET", b"HEAD", b"POST", b"PATCH", b"DELETE"]:
            self.outcome = Deferred()
            await self.assert_dropped(*await self.ask(method + b" / HTTP/1.1"))

    async def test_while_body_is_relayed(self) -> None:
        """The request is dropped while its body is being sent."""
        self.upstream.reads = False
        client, exchange = await self.ask(b"POST / HTTP/1.1", body=bytes(PLENTY))
        await self.assert_dropped(client, exchange)
        self.assertLess(len(exchange.received), PLENTY)

    async def test_while_answer_is_relayed(self) -> None:
        """The response is dropped in the middle of its body."""
        client, exchange = await self.ask()
        exchange.say(HEAD + b"the first part")
        await self.until(partial(client.has, b"the first part"))
        await self.assert_dropped(client, exchange)

    async def test_while_it_does_not_read(self) -> None:
        """The response is dropped while the upstream waits for a slow client."""
        client, exchange = await self.ask(reads=False)
        exchange.say(b"HTTP/1.1 200 OK\r\n\r\n")
        source = Endless(exchange.transport)
        await self.standstill(lambda: source.said)
        client.transport.abortConnection()  # type: ignore[union-attr]
        await self.assert_dropped(client, exchange)

    async def test_rendered_by_work_without_a_scope(self) -> None:
        """The answer to a client is dropped with it, be it rendered by detached or shared work."""

        async def render_late(request: Any) -> None:
            await deferLater(reactor, 0)
            self.proxy(observed=False).render(request)

        async def wait(request: Any) -> Any:
            await Shared(render_late)(request)
            return await Deferred()

        def render(request: Any) -> Any:
            detach(render_late(request))
            return Deferred()

        for handler in [render, wait]:
            self.outcome = Deferred()
            decorate: Any = cancel_on_disconnect(observers=self._tell)
            client, exchange = await self.ask(proxy=Page(decorate(handler)))
            exchange.say(HEAD + b"the first part")
            await self.until(partial(client.has, b"the first part"))
            await self.assert_dropped(client, exchange)

    async def test_deadline(self) -> None:
        """A deadline drops the request, and may be answered as that of a gateway."""
        proxy: Any = ReverseProxyResource(LOOPBACK, self.port, b"")
        root = CancellingResource(proxy, timeout=0.1, timeout_status=504)
        client, exchange = await self.ask(b"GET / HTTP/1.1", b"Connection: close", proxy=root)
        await exchange.lost
        answer = await client.answer
        self.assertTrue(answer.startswith(b"HTTP/1.1 504 "), answer)

    async def test_twisteds_leaves_it_open(self) -> None:
        """Twisted's own proxy goes on reading for nobody (ticket 4901)."""
        proxy: Any = TwistedsResource(LOOPBACK, self.port, b"", reactor)
        lost: Deferred[Any] = Deferred()
        root = CancellingResource(proxy, observers=lost.callback)
        client, exchange = await self.ask(proxy=root)
        exchange.say(b"HTTP/1.1 200 OK\r\n\r\n")
        client.leave()
        await lost
        source = Endless(exchange.transport)
        # More than the buffers hold is read by somebody.
        await self.until(lambda: source.said > PLENTY)
        exchange.transport.abortConnection()
        await self.until(lambda: "tcp.Client" not in str(reactor.getReaders()))


class PressureTests(ProxyTestCase):
    """One side is slow."""

    async def test_slow_client(self) -> None:
        """The upstream waits for a client that does not read, and goes on when it does."""
        client, exchange = await self.ask(reads=False)
        exchange.say(b"HTTP/1.1 200 OK\r\n\r\n")
        source = Endless(exchange.transport)
        before = await self.standstill(lambda: source.said)
        self.assertLess(before, PLENTY)
        client.transport.resumeProducing()  # type: ignore[union-attr]
        await self.until(lambda: source.said > 2 * before)
        client.leave()
        await exchange.lost

    async def kept_body(self, kept: list[Request]) -> Any:
        """The request's body, once it is there whole."""
        await self.until(lambda: kept)
        return kept[0].content

    async def test_slow_upstream(self) -> None:
        """A request's body is read no faster than the upstream takes it."""
        self.upstream.reads = False
        kept: list[Request] = []

        class Kept(Request):
            def process(self) -> None:
                kept.append(self)
                super().process()

        site = Site(self.proxy(), requestFactory=Kept)
        client = await Server(self.listen(site), None).connect(  # type: ignore[arg-type]
            Asker(b"POST / HTTP/1.1", b"Connection: close", body=bytes(PLENTY))
        )
        exchange = await self.upstream.exchange()
        body: Any = await self.kept_body(kept)
        self.assertLess(await self.standstill(body.tell), PLENTY)
        exchange.transport.resumeProducing()  # type: ignore[union-attr]
        await exchange.until(lambda received: len(received) > PLENTY)
        exchange.say(ANSWER)
        self.assertTrue((await client.answer).endswith(b"hello"))
        self.assertEqual(len(exchange.body), PLENTY)


class RequestTests(ProxyTestCase):
    """What of a request comes to the upstream."""

    async def relayed(self, *lines: bytes, proxy: Any = None, **kw: Any) -> list[bytes]:
        """The lines of the head, without those that differ by design."""
        client, exchange = await self.ask(*lines, proxy=proxy, **kw)
        client.leave()
        exchange.close()
        await exchange.lost
        lines = tuple(bytes(exchange.received).partition(b"\r\n\r\n")[0].split(b"\r\n"))
        return [lines[0], *sorted(lines[1:])]

    async def test_target(self) -> None:
        """The target is the one that Twisted's proxy asks for."""
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
        """All headers are relayed but for those of the hop; the host is the upstream's."""
        lines = await self.relayed(
            b"GET / HTTP/1.1",
            b"Host: example.org",
            b"Accept: text/html",
            b"Accept: text/plain",
            b"X-Forwarded-For: 192.0.2.1",
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
                b"X-Forwarded-For: 192.0.2.1",
            ],
        )

    async def test_body(self) -> None:
        """A body is relayed whole, whatever the method, with its length."""
        for method in [b"POST", b"PUT", b"GET"]:
            self.outcome = Deferred()
            body = method * 1000
            client, exchange = await self.ask(
                method + b" / HTTP/1.1", b"Expect: 100-continue", body=body
            )
            await exchange.until(lambda received, body=body: received.endswith(body))
            self.assertEqual(exchange.body, body)
            self.assertIn(b"\r\nContent-Length: %d\r\n" % len(body), exchange.received)
            self.assertNotIn(b"100-continue", exchange.received)
            client.leave()
            await exchange.lost

    async def test_empty_body(self) -> None:
        """A body that is empty, and says so, is relayed as that; else there is none."""
        for method in [b"POST", b"PATCH", b"DELETE"]:
            self.outcome = Deferred()
            lines = await self.relayed(method + b" / HTTP/1.1", b"Content-Length: 0")
            self.assertIn(b"Content-Length: 0", lines)
            await self.outcome
        self.outcome = Deferred()
        lines = await self.relayed(b"DELETE / HTTP/1.1")
        self.assertNotIn(b"Content-Length: 0", lines)

    async def test_address_of_ipv6(self) -> None:
        """An address of IPv6 is put in brackets (RFC 3986, section 3.2.2)."""
        listening = reactor.listenTCP(0, self.upstream, interface="::1")
        self.addCleanup(listening.stopListening)
        port = listening.getHost().port
        proxy: Any = ReverseProxyResource("::1", port, b"", reactor)
        lines = await self.relayed(b"GET / HTTP/1.1", proxy=CancellingResource(proxy))
        self.assertIn(b"Host: [::1]:%d" % port, lines)

    async def test_default_port(self) -> None:
        """Port 80 is not named in the host, as in Twisted's."""
        asked: list[Any] = []

        class Noting:
            def request(self, *args: Any) -> Deferred[Any]:
                asked.append(args)
                return Deferred()

        proxy: Any = ReverseProxyResource("example.org", 80, b"", agent=Noting())
        client = await self.visit(self.serve(proxy), "/a")
        await self.until(lambda: asked)
        client.leave()
        method, uri, headers, body = asked[0]
        self.assertEqual((method, uri, body), (b"GET", b"http://example.org/a", None))
        self.assertEqual(headers.getRawHeaders(b"host"), [b"example.org"])

    async def test_pool(self) -> None:
        """An agent with a pool uses a connection again."""
        pool = HTTPConnectionPool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        agent = Agent(reactor, pool=pool)
        client, exchange = await self.ask(proxy=self.proxy(agent=agent))
        exchange.say(ANSWER)
        await self.outcome
        self.outcome = Deferred()
        client.transport.write(b"GET /again HTTP/1.1\r\n\r\n")  # type: ignore[union-attr]
        await exchange.until(lambda received: b"GET /again" in received)
        client.leave()
        await exchange.lost


class ResponseTests(ProxyTestCase):
    """What of a response comes to the client."""

    async def test_whole(self) -> None:
        """Status, phrase and headers are the upstream's, but for those of the hop."""
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
        """A body of unknown length is relayed as one."""
        said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        body, head = await self.answered(said)
        self.assertEqual(body, b"5\r\nhello\r\n0\r\n\r\n")
        self.assertIn(b"Transfer-Encoding: chunked", head)

    async def test_until_close(self) -> None:
        """So is one that ends with the connection."""
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
        """What comes before the response, such as a 103, is not taken for it."""
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
        body, head = await self.answered(hints + ANSWER)
        self.assertEqual((body, head[0]), (b"hello", b"HTTP/1.1 200 OK"))

    async def test_streamed(self) -> None:
        """The client gets what has come before the upstream is done."""
        client, exchange = await self.ask()
        exchange.say(HEAD + b"the first part")
        await self.until(partial(client.has, b"the first part"))
        client.leave()
        await exchange.lost


class FailureTests(ProxyTestCase):
    """The upstream fails."""

    async def assert_refused(self, status: bytes, root: Resource) -> None:
        """The client is told so, and the log says why, once."""
        events = log_events(self)
        server = self.serve(root)
        client = await server.connect(Asker(b"GET / HTTP/1.1", b"Connection: close"))
        answer = await client.answer
        self.assertTrue(answer.startswith(b"HTTP/1.1 " + status), answer)
        self.assertEqual([each["log_level"].name for each in of_cancelweb(events)], ["warn"])
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_refuses(self) -> None:
        """An upstream that refuses the connection is a 502."""
        port = reactor.listenTCP(0, self.upstream, interface=LOOPBACK)
        number = port.getHost().port
        await port.stopListening()
        await self.assert_refused(b"502 Bad Gateway", self.proxy(number))

    async def test_does_not_answer(self) -> None:
        """An upstream to which nobody can connect in time is a 504."""
        deaf = Deaf()
        self.addCleanup(deaf.close)
        agent = Agent(reactor, connectTimeout=0.1)
        root = self.proxy(deaf.port, agent=agent)
        await self.assert_refused(b"504 Gateway Time-out", root)

    async def test_says_nothing_or_nonsense(self) -> None:
        """An upstream that closes before its headers have come, or talks no HTTP, is a 502."""
        for said in [b"", b"HTTP/1.1 200 OK\r\nContent-", b"SSH-2.0-OpenSSH\r\n\r\n"]:
            answering = Deferred.fromCoroutine(
                self.assert_refused(b"502 Bad Gateway", self.proxy())
            )
            exchange = await self.upstream.exchange()
            await exchange.asked()
            exchange.say(said)
            exchange.close()
            await answering
            self.outcome = Deferred()

    async def test_fails_half_way(self) -> None:
        """One that fails in the middle of its body breaks the response off."""
        for said in [
            HEAD + b"the first part",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        ]:
            self.outcome = Deferred()
            client, exchange = await self.ask(b"GET / HTTP/1.1", b"Connection: close")
            exchange.say(said)
            await self.until(partial(client.has, b"\r\n\r\n"))
            exchange.close()
            self.assertFalse((await client.answer).endswith(b"0\r\n\r\n"))
            self.assertEqual((await self.outcome).ended, Ended.FAILED)
            self.assertEqual(len(self.flushLoggedErrors(ResponseFailed)), 1)

    async def test_unexpected(self) -> None:
        """What is no fault of the upstream's is an error of this server."""
        proxy = self.proxy(agent=object())
        server = self.serve(proxy)
        client = await server.connect(Asker(b"GET / HTTP/1.1", b"Connection: close"))
        self.assertTrue((await client.answer).startswith(b"HTTP/1.1 500 "))
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
