"""Two ways to talk to a Site, in bytes: the public client in memory, and sockets on loopback.

What belongs here: the ways, and notes of what happened on the server. What does not: scenarios.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from cancelweb.testing import Client

from .._pages import Page
from .._servers import LOOPBACK

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
MEGABYTE = b"x" * 2**20


class Notes:
    """What happened on the server, in its order, and waits for a number of such notes."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def add(self, line: str) -> None:
        """Note something."""
        self.lines.append(line)
        for count, waiting in list(self._waiting):
            if len(self.lines) >= count:
                self._waiting.remove((count, waiting))
                # The code that notes something must not be interrupted.
                reactor.callLater(0, waiting.callback, None)

    def until(self, count: int) -> Deferred[None]:
        """Wait until so many lines are there."""
        if len(self.lines) >= count:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append((count, waiting))
        return waiting.addTimeout(20, reactor)


class Way(ABC):
    """A connection, and a server with the notes of its handlers."""

    def __init__(self, handler: Callable[[Request, Notes], Any]) -> None:
        self.notes = Notes()
        self.root = Resource()
        self.root.putChild(b"", Page(lambda request: handler(request, self.notes)))
        self.root.putChild(b"fence", Page(lambda request: b"here"))

    @abstractmethod
    async def start(self) -> None:
        """Listen and connect."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send."""

    @abstractmethod
    def leave(self, is_reset: bool = False) -> None:
        """Close the connection, in order or with a reset."""

    @abstractmethod
    def read(self, is_reading: bool) -> None:
        """Stop reading, or go on."""

    @abstractmethod
    async def received(self, end: bytes) -> bytes:
        """Wait until what came ends like this."""

    @abstractmethod
    async def closed(self) -> bytes:
        """Wait until the connection is closed, and return all that came."""

    @abstractmethod
    async def fence(self) -> None:
        """Wait until the server has seen all that it can see."""


class InMemory(Way):
    """A way through the public client in memory."""

    async def start(self) -> None:
        self._clock = Clock()
        client = Client(self.root, self._clock)
        self._client, self._connection = client, client.connect()

    def send(self, data: bytes) -> None:
        self._connection.send(data)

    def leave(self, is_reset: bool = False) -> None:
        self._connection.disconnect(ConnectionLost() if is_reset else None)

    def read(self, is_reading: bool) -> None:
        (self._connection.resume if is_reading else self._connection.pause)()

    @property
    def _received(self) -> bytes:
        self._clock.advance(0)
        value: bytes = self._connection._transport.value()
        return value

    async def received(self, end: bytes) -> bytes:
        assert self._received.endswith(end), self._received[-200:]
        return self._received

    async def closed(self) -> bytes:
        received = self._received
        assert self._connection.is_closed
        return received

    async def fence(self) -> None:
        response = self._client.get(b"/fence").response
        assert response is not None and response.is_complete
        self._clock.advance(0)


class Peer(Protocol):
    """The client's end of a socket."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost: Deferred[None] = Deferred()
        self._end = b""
        self._waiting: Deferred[None] | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._look()

    def until(self, end: bytes) -> Deferred[None]:
        """Wait until what came ends like this."""
        self._end, self._waiting = end, Deferred()
        waiting = self._waiting
        self._look()
        return waiting.addTimeout(20, reactor)

    def _look(self) -> None:
        if self._waiting is not None and self.data.endswith(self._end):
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class OverSockets(Way):
    """A way through sockets on loopback, in the same process."""

    async def start(self) -> None:
        site = Site(self.root)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK)
        self._port: Any = await endpoint.listen(site)
        self._endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, self._port.getHost().port)
        self._peer = await self._connect()

    async def _connect(self) -> Any:
        return await self._endpoint.connect(Factory.forProtocol(Peer))

    async def stop(self) -> None:
        """Close both ends."""
        self._peer.transport.abortConnection()
        await self._peer.lost
        await self._port.stopListening()

    def send(self, data: bytes) -> None:
        self._peer.transport.write(data)

    def leave(self, is_reset: bool = False) -> None:
        if is_reset:
            self._peer.transport.abortConnection()
        else:
            self._peer.transport.loseConnection()

    def read(self, is_reading: bool) -> None:
        transport = self._peer.transport
        (transport.resumeProducing if is_reading else transport.pauseProducing)()

    async def received(self, end: bytes) -> bytes:
        await self._peer.until(end)
        return bytes(self._peer.data)

    async def closed(self) -> bytes:
        await self._peer.lost
        return bytes(self._peer.data)

    async def fence(self) -> None:
        # Twice: what was sent on another connection is read in the same turn as the first.
        for _ in range(2):
            other = await self._connect()
            other.transport.write(b"GET /fence HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await other.until(b"here")
            other.transport.loseConnection()
            await other.lost
