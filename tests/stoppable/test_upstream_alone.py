"""Requests to an upstream, over real sockets, that are made for no request.

What belongs here: `CancellingAgent` and `stream_body` without a scope. What does not: handlers.
"""

import gc
from collections.abc import Callable
from threading import get_ident
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.web.client import Agent, readBody

from cancelweb.upstream import stream_body

from ._asking import AskingTestCase, plenty
from ._upstreams import HEAD, Endless, Exchange, reactor


class WithoutScopeTests(AskingTestCase):
    """Requests to an upstream without a scope."""

    async def begun(self, head: bytes = HEAD) -> tuple[Any, Exchange]:
        """A response whose first part has come."""
        asking = self.get()
        exchange = await self.upstream.exchange()
        await exchange.asked()
        exchange.say(head + b"the first part")
        return await asking, exchange

    async def test_read_body(self) -> None:
        """A `readBody` that is cancelled drops the connection."""
        response, exchange = await self.begun()
        reading = readBody(response)
        reading.cancel()
        await self.assertFailure(reading, CancelledError)
        await exchange.lost
        self.assertEqual(self.flushWarnings(), [])

    async def test_asked_for_twice(self) -> None:
        """A body that is streamed already cannot be streamed a second time."""
        response, exchange = await self.begun()
        chunks = stream_body(response)
        with self.assertRaisesRegex(RuntimeError, "already delivered"):
            stream_body(response)
        await chunks.aclose()
        await exchange.lost

    async def test_closed_stream(self) -> None:
        """A stream that is closed drops the connection."""
        response, exchange = await self.begun()
        chunks = stream_body(response)
        self.assertEqual(await anext(chunks), b"the first part")
        await chunks.aclose()
        await exchange.lost

    async def test_dropped_stream(self) -> None:
        """A stream to which no reference is left drops the connection, also of a plain agent."""
        self.agent = Agent(reactor)
        response, exchange = await self.begun()
        async for _ in stream_body(response):
            break
        await exchange.lost

    async def test_collected_stream(self) -> None:
        """A stream that is collected in another thread drops its connection in the reactor's."""
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
        """A reader can pause, resume and stop its connection."""
        response, exchange = await self.begun()
        reader = Stopping()
        response.deliverBody(reader)
        await reader.ended
        await exchange.lost

    async def test_back_pressure(self) -> None:
        """An upstream whose body is not read has to wait until it is read."""
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
    """A response, and the transport of its reader."""

    def __init__(self, lose: Callable[[], object]) -> None:
        self.loseConnection = lose

    def deliverBody(self, protocol: Any) -> None:
        protocol.makeConnection(self)


class Stopping(Protocol):
    """A reader that pauses, resumes and stops its transport."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.pauseProducing()
        transport.resumeProducing()
        transport.stopProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)
