"""An upstream whose every byte the test decides, and a gateway that asks it, over real sockets.

What belongs here: servers on loopback in the test's own process, and telling what becomes of their
connections. What does not: clients of the gateway.
"""

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb import Outcome

from .._servers import LOOPBACK, Server
from .._servers import Log as ServerLog
from .._sockets import SocketVisit

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


class Exchange(Protocol):
    """A connection to the upstream.

    Attributes:
        received: what was asked.
        lost: fires when the other side has closed the connection.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost: Deferred[None] = Deferred()
        self._wanted: list[tuple[Callable[[bytearray], object], Deferred[None]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        for entry in [each for each in self._wanted if each[0](self.received)]:
            self._wanted.remove(entry)
            entry[1].callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)

    def until(self, wanted: Callable[[bytearray], object]) -> Deferred[None]:
        """Wait until the condition holds of what was received."""
        waiting: Deferred[None] = Deferred()
        self._wanted.append((wanted, waiting))
        self.dataReceived(b"")
        return waiting.addTimeout(10, reactor)

    async def asked(self) -> None:
        """Wait until the request's headers are there."""
        await self.until(lambda received: b"\r\n\r\n" in received)

    def say(self, data: bytes) -> None:
        """Send data to the other side."""
        transport: Any = self.transport
        transport.write(data)

    def close(self) -> None:
        """Close the connection, once all is sent."""
        transport: Any = self.transport
        transport.loseConnection()

    @property
    def body(self) -> bytes:
        """What followed the headers."""
        return bytes(self.received.partition(b"\r\n\r\n")[2])


class Upstream(Factory):
    """A server that says what the test tells it to.

    Attributes:
        reads: whether it reads what it is sent.
    """

    reads = True

    def __init__(self) -> None:
        self._arrived: list[Exchange] = []
        self._awaited: list[Deferred[Exchange]] = []

    def buildProtocol(self, addr: object) -> Exchange:
        exchange = Exchange()
        reactor.callLater(0, self._arrive, exchange)
        return exchange

    def _arrive(self, exchange: Exchange) -> None:
        if not self.reads:
            transport: Any = exchange.transport
            transport.pauseProducing()
        if self._awaited:
            self._awaited.pop(0).callback(exchange)
        else:
            self._arrived.append(exchange)

    def exchange(self) -> Deferred[Exchange]:
        """The next connection to the upstream."""
        waiting: Deferred[Exchange] = Deferred()
        if self._arrived:
            waiting.callback(self._arrived.pop(0))
        else:
            self._awaited.append(waiting)
        return waiting.addTimeout(10, reactor)


class Endless:
    """A producer that writes without end, but no faster than the other side reads.

    Attributes:
        said: how many bytes it has written.
    """

    CHUNK = bytes(2**16)

    def __init__(self, transport: Any) -> None:
        self.said = 0
        self._transport = transport
        self._is_paused = True
        transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self._is_paused = False
        self._produce()

    def _produce(self) -> None:
        if not self._is_paused:
            self.said += len(self.CHUNK)
            self._transport.write(self.CHUNK)
            reactor.callLater(0, self._produce)

    def pauseProducing(self) -> None:
        self._is_paused = True

    def stopProducing(self) -> None:
        self._is_paused = True


class GatewayTestCase(TestCase):
    """A test with an upstream, and a gateway between it and the clients.

    Attributes:
        upstream: the server behind.
        port: its port.
        outcomes: fires with the outcome of the gateway's request.
    """

    timeout = 60

    def setUp(self) -> None:
        self.upstream = Upstream()
        self.port = self.listen(self.upstream)
        self.url = f"http://{LOOPBACK}:{self.port}/"
        self.outcome: Deferred[Outcome] = Deferred()

    def listen(self, factory: Any) -> int:
        """Serve on a port that the kernel chooses, for the length of the test."""
        port = reactor.listenTCP(0, factory, interface=LOOPBACK)
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    def serve(self, root: Resource) -> Server:
        """Serve a gateway."""
        return Server(self.listen(Site(root)), ServerLog())

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds, or the test's time is up."""
        while not condition():
            await deferLater(reactor, 0.01)

    async def standstill(self, measure: Callable[[], int]) -> int:
        """Wait until the value has not changed for many turns, and return the value."""
        quiet_turns, before = 0, 0
        while quiet_turns < 200:
            await deferLater(reactor, 0)
            quiet_turns = quiet_turns + 1 if 0 < before == measure() else 0
            before = measure()
        return before

    async def visit(self, server: Server, path: str = "/") -> SocketVisit:
        """The connection of a client that has asked the gateway."""
        connection = await server.connect(SocketVisit(path))
        connection.closed.addErrback(lambda _: None)
        return connection


class Deaf:
    """A port that neither accepts nor refuses a connection: its queue is full."""

    def __init__(self) -> None:
        if not Path("/proc/net/tcp").exists():
            raise SkipTest("needs Linux, which shows connections that are being made")
        self._listener = socket.socket()
        self._listener.bind((LOOPBACK, 0))
        self._listener.listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._inside = socket.create_connection((LOOPBACK, self.port))

    def connecting(self) -> int:
        """How many connections to the port are being made."""
        to_this_port = f"0100007F:{self.port:04X}"
        return len(re.findall(rf"{to_this_port} 02 ", Path("/proc/net/tcp").read_text()))

    def close(self) -> None:
        """Give the port back."""
        self._inside.close()
        self._listener.close()


class Asker(SocketVisit):
    """A client whose request the test writes, byte by byte.

    Args:
        lines: the request line and the headers.
        body: what follows them.
        reads: whether it reads the answer.
    """

    def __init__(self, *lines: bytes, body: bytes = b"", reads: bool = True) -> None:
        super().__init__("/")
        if body:
            lines = (*lines, b"Content-Length: %d" % len(body))
        self._request = b"\r\n".join([*lines, b"", body])
        self._reads = reads

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if not self._reads:
            transport.pauseProducing()
        transport.write(self._request)

    def has(self, part: bytes) -> bool:
        """Whether this is part of what has come."""
        return part in self.received
