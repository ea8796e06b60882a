"""Requests to an upstream, over real sockets: dropped in every phase when the client leaves.

What belongs here: handlers that ask an upstream with Twisted's Agent or with treq. What does not:
the proxy.
"""

import gc
from collections.abc import Awaitable, Callable
from io import BytesIO
from threading import get_ident
from typing import Any

import treq
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    FileBodyProducer,
    HTTPConnectionPool,
    ResponseFailed,
    readBody,
)
from twisted.web.server import Request

from cancelweb import Ended, ResponseFinished, cancel_on_disconnect
from cancelweb.upstream import CancellingAgent, stream_body

from ._pages import Page
from ._upstreams import HEAD, Deaf, Endless, Exchange, GatewayTestCase, reactor

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
    """A handler that asks the upstream."""

    def setUp(self) -> None:
        super().setUp()
        self.agent: Any = CancellingAgent(Agent(reactor))

    def page(self, ask: Callable[[Request], Any]) -> Any:
        """A page whose handler asks."""
        decorate: Any = cancel_on_disconnect(observers=self.outcome.callback)
        return self.serve(Page(decorate(ask)))

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

    async def assert_dropped(self, exchange: Exchange, client: Any) -> None:
        """The client leaves, and the upstream is told."""
        client.leave()
        await exchange.lost
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)
        self.assertEqual(self.flushLoggedErrors(), [])


class PhaseTests(AskingTestCase):
    """Each phase of an exchange."""

    async def test_connecting(self) -> None:
        """An attempt to connect is given up."""
        deaf = Deaf()
        self.addCleanup(deaf.close)
        self.url = f"http://127.0.0.1:{deaf.port}/"
        for ask in [self.get, self.treq, self.plain]:
            self.outcome = Deferred()
            client = await self.visit(self.page(always(ask)))
            await self.until(deaf.connecting)
            client.leave()
            self.assertEqual((await self.outcome).ended, Ended.STOPPED)
            await self.until(lambda: not deaf.connecting())

    async def test_waiting_for_headers(self) -> None:
        """A request that has not been answered is dropped, with a plain agent as well."""
        for ask in [self.get, self.treq, self.plain]:
            self.outcome = Deferred()
            client = await self.visit(self.page(always(ask)))
            exchange = await self.upstream.exchange()
            await exchange.asked()
            await self.assert_dropped(exchange, client)

    async def test_sending_a_body(self) -> None:
        """A request is dropped while its body is being sent."""
        self.upstream.reads = False
        body = FileBodyProducer(BytesIO(plenty()))
        ask = [
            lambda: self.agent.request(b"POST", self.url.encode(), None, body),
            lambda: HTTPClient(self.agent).post(self.url, data=plenty()),
        ]
        for each in ask:
            self.outcome = Deferred()
            client = await self.visit(self.page(always(each)))
            exchange: Any = await self.upstream.exchange()
            client.leave()
            self.assertEqual((await self.outcome).ended, Ended.STOPPED)
            exchange.transport.resumeProducing()
            await exchange.lost
            self.assertLess(len(exchange.body), len(plenty()))

    async def test_reading_the_body(self) -> None:
        """A response is dropped while its body is being read, in whatever way."""
        for name, read in READERS.items():
            for get in [self.get, self.treq, lambda: self.treq(unbuffered=True)]:
                await self.assert_dropped_in_body(name, read, get)

    async def assert_dropped_in_body(
        self, name: str, read: Asking, get: Callable[[], Deferred[Any]]
    ) -> None:
        """One way to ask, and one way to read."""
        self.outcome = Deferred()
        begun: Deferred[None] = Deferred()

        async def handler(_: Request) -> bytes:
            response = await get()
            reactor.callLater(0, begun.callback, None)
            return bytes(await read(response))

        client = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await exchange.asked()
        exchange.say(HEAD + b"the first part")
        await begun
        await self.assert_dropped(exchange, client)

    async def test_unread(self) -> None:
        """A response whose body nobody has begun to read is dropped."""
        answered: Deferred[None] = Deferred()

        async def handler(_: Request) -> bytes:
            await self.get()
            reactor.callLater(0, answered.callback, None)
            return await Deferred()

        client = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await exchange.asked()
        exchange.say(HEAD)
        await answered
        await self.assert_dropped(exchange, client)


class EndTests(AskingTestCase):
    """What does not end with a client that leaves."""

    async def answer(self, exchange: Exchange, body: bytes = b"hello") -> None:
        """Answer a request."""
        await exchange.asked()
        exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async def test_whole(self) -> None:
        """Whoever waits gets what the upstream has said, in whatever way it is read."""
        for name, read in READERS.items():
            expected = b'{"a": 1}'
            got: list[Any] = []
            self.outcome = Deferred()

            async def handler(_: Request, read: Asking = read, got: list[Any] = got) -> bytes:
                got.append(await read(await self.treq()))
                return b""

            await self.visit(self.page(handler))
            await self.answer(await self.upstream.exchange(), expected)
            self.assertEqual((await self.outcome).ended, Ended.COMPLETED)
            known = {"treq.json_content": {"a": 1}, "treq.collect": None}
            if name == "treq.text_content":
                expected = expected.decode()  # type: ignore[assignment]
            self.assertEqual(got, [known.get(name, expected)], name)

    async def test_unread_when_finished(self) -> None:
        """A body that was never read is dropped when the handler has answered."""

        async def handler(_: Request) -> bytes:
            return b"%d" % (await self.get()).code

        client = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await exchange.asked()
        exchange.say(HEAD)
        await exchange.lost
        self.assertTrue((await client.answer).endswith(b"200"))
        self.assertEqual((await self.outcome).cause, ResponseFinished())

    async def test_arrives_late(self) -> None:
        """A response that arrives when nobody waits for it any more is dropped."""
        asked: list[Deferred[Any]] = []

        def handler(_: Request) -> bytes:
            asked.append(self.get())
            return b"done"

        client = await self.visit(self.page(handler))
        await client.answer
        exchange = await self.upstream.exchange()
        await exchange.asked()
        exchange.say(HEAD)
        await exchange.lost
        await asked[0]

    async def test_kept_connection(self) -> None:
        """A connection of a pool is used again after a response that was read."""
        pool = HTTPConnectionPool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        self.agent = CancellingAgent(Agent(reactor, pool=pool))

        async def handler(_: Request) -> bytes:
            first = await readBody(await self.get())
            return first + await readBody(await self.get())

        client = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await self.answer(exchange, b"one")
        await exchange.until(lambda received: received.count(b"\r\n\r\n") == 2)
        exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")
        self.assertTrue((await client.answer).endswith(b"onetwo"))

    async def test_body_is_sent(self) -> None:
        """A request's body arrives whole."""

        def handler(_: Request) -> Any:
            return HTTPClient(self.agent).post(self.url, data=plenty()).addCallback(treq.content)

        client = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await exchange.until(lambda received: len(received) > len(plenty()))
        await self.answer(exchange)
        self.assertTrue((await client.answer).endswith(b"hello"))
        self.assertEqual(exchange.body, plenty())

    async def test_body_cannot_be_read(self) -> None:
        """A request's body that fails is an error of the request."""

        class Broken(BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise OSError("by design")

        body = FileBodyProducer(Broken(b"something"))
        asking = self.agent.request(b"POST", self.url.encode(), None, body)
        error: Any = (await self.assertFailure(asking, Exception)).reasons[0]
        self.assertIsInstance(error.value, OSError)

    async def test_upstream_fails(self) -> None:
        """An upstream that fails in the middle of its body is an error for whoever reads it."""
        for read in [readBody, lambda response: whole(stream_body(response))]:
            asking = self.get()
            exchange = await self.upstream.exchange()
            await exchange.asked()
            exchange.say(HEAD + b"the first part")
            exchange.close()
            await self.assertFailure(read(await asking), ResponseFailed)


class WithoutScopeTests(AskingTestCase):
    """Where there is no scope."""

    async def begun(self, head: bytes = HEAD) -> tuple[Any, Exchange]:
        """A response of which the first part has come."""
        asking = self.get()
        exchange = await self.upstream.exchange()
        await exchange.asked()
        exchange.say(head + b"the first part")
        return await asking, exchange

    async def test_read_body(self) -> None:
        """`readBody` can be cancelled."""
        response, exchange = await self.begun()
        reading = readBody(response)
        reading.cancel()
        await self.assertFailure(reading, CancelledError)
        await exchange.lost
        self.assertEqual(self.flushWarnings(), [])

    async def test_closed_stream(self) -> None:
        """A stream that is closed drops the connection."""
        response, exchange = await self.begun()
        chunks = stream_body(response)
        self.assertEqual(await anext(chunks), b"the first part")
        await chunks.aclose()
        await exchange.lost

    async def test_dropped_stream(self) -> None:
        """So does one to which nobody refers any more, also of a plain agent."""
        self.agent = Agent(reactor)
        response, exchange = await self.begun()
        async for _ in stream_body(response):
            break
        await exchange.lost

    async def test_collected_stream(self) -> None:
        """It does so in the reactor's thread, whichever the garbage collector runs in."""
        gc.disable()
        self.addCleanup(gc.enable)
        lost: Deferred[int] = Deferred()
        response: Any = Whole(lambda: lost.callback(get_ident()))
        cycle: list[object] = [stream_body(response)]
        cycle.append(cycle)
        del cycle
        await deferToThread(gc.collect)
        self.assertEqual(await lost, get_ident())

    async def test_stop_producing(self) -> None:
        """A reader may stop, pause and resume the connection, as any transport's."""
        response, exchange = await self.begun()
        reader = Stopping()
        response.deliverBody(reader)
        await reader.ended
        await exchange.lost

    async def test_back_pressure(self) -> None:
        """An upstream whose body is not read has to wait."""
        response, exchange = await self.begun(b"HTTP/1.1 200 OK\r\n\r\n")
        chunks = stream_body(response)
        source = Endless(exchange.transport)
        before = await self.standstill(lambda: source.said)
        self.assertLess(before, len(plenty()))
        async for _ in chunks:
            if source.said > before:
                break
        await chunks.aclose()
        await exchange.lost


class Whole:
    """A response, and the transport of who reads it."""

    def __init__(self, lose: Callable[[], object]) -> None:
        self.loseConnection = lose

    def deliverBody(self, protocol: Any) -> None:
        protocol.makeConnection(self)


class Stopping(Protocol):
    """A reader that does what readers may do."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.pauseProducing()
        transport.resumeProducing()
        transport.stopProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)
