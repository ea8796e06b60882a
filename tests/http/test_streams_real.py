"""Streams over real sockets, to clients that read slowly.

What belongs here: what only the kernel's buffers and a real transport can show. What does not:
everything else about streams.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory as ClientFactory
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import Request, Site

from cancelweb import Ended, Outcome, cancel_on_disconnect

from .._pages import GetPage, Handler

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

CHUNK = bytes(2**16)
# More than the buffers of both sockets and of the transport hold.
PLENTY = 2**26 // len(CHUNK)


class SlowReader(Protocol):
    """A client that sends a request, and reads only when the test lets it."""

    received = 0

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()
        transport.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)


class SlowReaderTests(TestCase):
    """A stream without end, to a client that does not read."""

    timeout = 30

    def setUp(self) -> None:
        self.produced = 0
        self.closed: Deferred[None] = Deferred()
        self.ended: Deferred[Outcome] = Deferred()

    def generator(self, _: Request) -> Iterator[bytes]:
        """Chunks without end."""
        try:
            while True:
                self.produced += 1
                yield CHUNK
        finally:
            self.closed.callback(None)

    async def async_generator(self, request: Request) -> AsyncIterator[bytes]:
        """Chunks without end, each after a turn of the reactor."""
        for chunk in self.generator(request):
            await deferLater(reactor, 0)
            yield chunk

    async def connect(self, handler: Handler) -> Any:
        """Serve the handler's page, and have the client ask for it."""
        decorate: Any = cancel_on_disconnect(observers=self.ended.callback)
        port = reactor.listenTCP(0, Site(GetPage(decorate(handler))), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        connection = SlowReader()
        factory = ClientFactory.forProtocol(lambda: connection)
        await TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port).connect(factory)
        return connection

    async def standstill(self) -> int:
        """Wait until many turns have passed without a chunk; returns how many chunks there were."""
        quiet_turns, before = 0, 0
        while quiet_turns < 100:
            await deferLater(reactor, 0)
            quiet_turns = quiet_turns + 1 if 0 < before == self.produced else 0
            before = self.produced
        return before

    async def assert_bounded(self, handler: Handler) -> None:
        """The buffers fill up, and then nothing is produced until the client reads."""
        connection = await self.connect(handler)
        produced = await self.standstill()
        self.assertLess(produced, PLENTY)
        connection.transport.resumeProducing()
        while self.produced < produced + 20:
            await deferLater(reactor, 0)
        self.assertGreater(connection.received, len(CHUNK))
        connection.transport.abortConnection()
        await self.closed
        await self.ended

    async def test_generator(self) -> None:
        """A generator waits for a client that does not read."""
        await self.assert_bounded(self.generator)

    async def test_async_generator(self) -> None:
        """An async generator waits for a client that does not read."""
        await self.assert_bounded(self.async_generator)

    async def test_leaves(self) -> None:
        """A generator is closed when a client that has read nothing leaves."""
        connection = await self.connect(self.generator)
        await self.standstill()
        connection.transport.abortConnection()
        await self.closed
        self.assertEqual((await self.ended).ended, Ended.STOPPED)
