"""The reverse proxy, over real sockets: what becomes of it when a side leaves, is slow, or fails.

What belongs here: `cancelweb.proxy` between a client and an upstream that the test plays. What does
not: what it relays, which has `test_proxy_messages`; other proxies before it:
`real.servers.test_chain`.
"""

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogLevel
from twisted.web.client import Agent
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

from .._logs import log_events, of_cancelweb
from .._pages import GetPage
from .._servers import LOOPBACK, Server
from ._proxies import ANSWER, PLENTY, ProxyTestCase
from ._upstreams import HEAD, Asker, Deaf, Endless, Exchange, reactor


class LeaveTests(ProxyTestCase):
    """Clients that leave, and the upstream behind the proxy."""

    async def assert_dropped(self, connection: Any, exchange: Exchange) -> None:
        """When the client leaves, the exchange with the upstream is closed, and all is stopped."""
        connection.leave()
        exchange.transport.resumeProducing()  # type: ignore[union-attr]
        await exchange.lost
        outcome = await self.outcome
        self.assertEqual(outcome.ended, Ended.STOPPED)
        self.assertIsInstance(outcome.cause, Disconnected)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_while_connecting(self) -> None:
        """When the client leaves, the proxy gives up its attempt to connect."""
        deaf = Deaf()
        self.addCleanup(deaf.close)
        connection = await self.visit(self.serve(self.proxy(deaf.port)))
        await self.until(deaf.connecting)
        connection.leave()
        await self.until(lambda: not deaf.connecting())
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)

    async def test_while_upstream_works(self) -> None:
        """A request that is not answered yet is dropped when its client leaves."""
        for method in [b"GET", b"HEAD", b"POST", b"PATCH", b"DELETE"]:
            self.outcome = Deferred()
            await self.assert_dropped(*await self.ask(method + b" / HTTP/1.1"))

    async def test_while_body_is_relayed(self) -> None:
        """A request whose client leaves while its body is relayed is dropped."""
        self.upstream.reads = False
        connection, exchange = await self.ask(b"POST / HTTP/1.1", body=bytes(PLENTY))
        await self.assert_dropped(connection, exchange)
        self.assertLess(len(exchange.received), PLENTY)

    async def test_while_answer_is_relayed(self) -> None:
        """A response whose client leaves in the middle of its body is dropped."""
        connection, exchange = await self.ask()
        exchange.say(HEAD + b"the first part")
        await self.until(partial(connection.has, b"the first part"))
        await self.assert_dropped(connection, exchange)

    async def test_while_it_does_not_read(self) -> None:
        """A response that waits for a slow client is dropped when that client leaves."""
        connection, exchange = await self.ask(reads=False)
        exchange.say(b"HTTP/1.1 200 OK\r\n\r\n")
        source = Endless(exchange.transport)
        await self.standstill(lambda: source.said)
        connection.transport.abortConnection()
        await self.assert_dropped(connection, exchange)

    async def test_rendered_by_work_without_a_scope(self) -> None:
        """A proxy rendered by detached or shared work drops its request when the client leaves."""

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
            connection, exchange = await self.ask(proxy=GetPage(decorate(handler)))
            exchange.say(HEAD + b"the first part")
            await self.until(partial(connection.has, b"the first part"))
            await self.assert_dropped(connection, exchange)

    async def test_deadline(self) -> None:
        """A deadline drops the request, and the client gets the configured status 504."""
        proxy: Any = ReverseProxyResource(LOOPBACK, self.port, b"")
        root = CancellingResource(proxy, timeout=0.1, timeout_status=504)
        connection, exchange = await self.ask(b"GET / HTTP/1.1", b"Connection: close", proxy=root)
        await exchange.lost
        answer = await connection.closed
        self.assertTrue(answer.startswith(b"HTTP/1.1 504 "), answer)

    async def test_twisteds_leaves_it_open(self) -> None:
        """Twisted's own proxy reads on when its client has left (ticket 4901)."""
        proxy: Any = TwistedsResource(LOOPBACK, self.port, b"", reactor)
        lost: Deferred[Any] = Deferred()
        root = CancellingResource(proxy, observers=lost.callback)
        connection, exchange = await self.ask(proxy=root)
        exchange.say(b"HTTP/1.1 200 OK\r\n\r\n")
        connection.leave()
        await lost
        source = Endless(exchange.transport)
        # More than the buffers hold has been read.
        await self.until(lambda: source.said > PLENTY)
        exchange.transport.abortConnection()
        await self.until(lambda: "tcp.Client" not in str(reactor.getReaders()))


class PressureTests(ProxyTestCase):
    """A client or an upstream that is slow."""

    async def test_slow_client(self) -> None:
        """The upstream waits for a client that does not read, and goes on when it does."""
        connection, exchange = await self.ask(reads=False)
        exchange.say(b"HTTP/1.1 200 OK\r\n\r\n")
        source = Endless(exchange.transport)
        before = await self.standstill(lambda: source.said)
        self.assertLess(before, PLENTY)
        connection.transport.resumeProducing()
        await self.until(lambda: source.said > 2 * before)
        connection.leave()
        await exchange.lost

    async def kept_body(self, kept: list[Request]) -> Any:
        """The content of the request, once the request has been handled."""
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
        connection = await Server(self.listen(site), None).connect(  # type: ignore[arg-type]
            Asker(b"POST / HTTP/1.1", b"Connection: close", body=bytes(PLENTY))
        )
        exchange = await self.upstream.exchange()
        body: Any = await self.kept_body(kept)
        self.assertLess(await self.standstill(body.tell), PLENTY)
        exchange.transport.resumeProducing()  # type: ignore[union-attr]
        await exchange.until(lambda received: len(received) > PLENTY)
        exchange.say(ANSWER)
        self.assertTrue((await connection.closed).endswith(b"hello"))
        self.assertEqual(len(exchange.body), PLENTY)


class FailureTests(ProxyTestCase):
    """Upstreams that fail."""

    async def assert_refused(self, status: bytes, root: Resource) -> None:
        """The client gets this status, and the log has one warning."""
        events = log_events(self)
        server = self.serve(root)
        connection = await server.connect(Asker(b"GET / HTTP/1.1", b"Connection: close"))
        answer = await connection.closed
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
        """An upstream that does not accept the connection in time is a 504."""
        deaf = Deaf()
        self.addCleanup(deaf.close)
        agent = Agent(reactor, connectTimeout=0.1)
        root = self.proxy(deaf.port, agent=agent)
        await self.assert_refused(b"504 Gateway Time-out", root)

    async def test_says_nothing_or_nonsense(self) -> None:
        """An upstream that closes before its headers are complete, or talks no HTTP, is a 502."""
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
        """An upstream that fails in its body fails the request, with a warning and no cause."""
        events = log_events(self)
        for said in [
            HEAD + b"the first part",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        ]:
            self.outcome = Deferred()
            connection, exchange = await self.ask(b"GET / HTTP/1.1", b"Connection: close")
            exchange.say(said)
            await self.until(partial(connection.has, b"\r\n\r\n"))
            exchange.close()
            self.assertFalse((await connection.closed).endswith(b"0\r\n\r\n"))
            outcome = await self.outcome
            self.assertEqual((outcome.ended, outcome.cause), (Ended.FAILED, None))
            self.assertEqual(self.flushLoggedErrors(), [])
            self.assertEqual(len(of_cancelweb(events, LogLevel.warn)), 1)
            del events[:]

    async def test_unexpected(self) -> None:
        """An error that is not the upstream's is a 500, and is logged."""

        class Broken:
            def request(self, *args: object) -> Any:
                raise AttributeError

        proxy = self.proxy(agent=Broken())
        server = self.serve(proxy)
        connection = await server.connect(Asker(b"GET / HTTP/1.1", b"Connection: close"))
        self.assertTrue((await connection.closed).startswith(b"HTTP/1.1 500 "))
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
