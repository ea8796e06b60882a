"""A client of HTTP/1.1 that can leave: one request, on a connection of its own."""

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure


class Visit(Protocol):
    """One GET.

    Attributes:
        answer: Fires when the connection is over, with all bytes that came: none if
            the client left before the server spoke.
    """

    def __init__(self, path: str) -> None:
        self.answer: Deferred[bytes] = Deferred()
        self._path = path
        self._received = b""

    def connectionMade(self) -> None:
        """Ask, and ask the server to hang up when it has answered."""
        assert self.transport is not None
        self.transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )

    def dataReceived(self, data: bytes) -> None:
        """Keep what comes."""
        self._received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Hand out all that came."""
        self.answer.callback(self._received)

    def leave(self) -> None:
        """Close the connection, behind the request.

        It is closed, not reset: a reset may overtake the request on its way.
        """
        assert self.transport is not None
        self.transport.loseConnection()
