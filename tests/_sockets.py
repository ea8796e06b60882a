"""Clients of HTTP/1.1 over real sockets.

What belongs here: connections that send bytes, and keep what comes. What does not: HTTP/2
(`_http2`), and servers (`_loopback`, `_servers`).
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure


class SocketConnection(Protocol):
    """A client's connection, and the bytes that came.

    Attributes:
        received: all that has come so far.
        closed: fires with all that came when the connection is over.
    """

    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()
        self._waiting: list[tuple[bytes, Deferred[None]]] = []

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.write(data)

    def until(self, wanted: bytes) -> Deferred[None]:
        """Wait until these bytes have come; fails if the connection is lost before."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append((wanted, waiting))
        self._look()
        return waiting

    def leave(self) -> Deferred[bytes]:
        """Close the connection, behind all that was sent; returns `closed`.

        The connection is closed, not reset: a reset may overtake a request on its way.
        """
        self.transport.loseConnection()
        return self.closed

    def dataReceived(self, data: bytes) -> None:
        """Keep the bytes that come, and tell the waits for them."""
        self.received += data
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Hand out all bytes that came, and fail the waits that are left."""
        for _, waiting in self._waiting:
            waiting.errback(reason)
        self.closed.callback(self.received)

    def _look(self) -> None:
        for entry in [entry for entry in self._waiting if entry[0] in self.received]:
            self._waiting.remove(entry)
            entry[1].callback(None)


class SocketVisit(SocketConnection):
    """A connection with one GET, which the server is to close when it has answered.

    Its `closed` fires with the answer, or with nothing if the client left before the server spoke.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def connectionMade(self) -> None:
        """Send the request, which asks the server to close the connection after its answer."""
        self.send(
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
