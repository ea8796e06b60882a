"""Sites on loopback in the test's own process, connections to them, and requests as bytes.

What belongs here: real sockets for one test, closed at its end. What does
not: servers in a process of their own, which `_servers` starts.
"""

import re
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater
from twisted.protocols.policies import WrappingFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import Site

from ._servers import LOOPBACK, reactor
from ._sockets import SocketConnection

_MASKED = re.compile(
    rb"(?<=\r\nDate: )[^\r]*"  # of the response
    rb"|(?<=boundary=\")[0-9a-f]+|(?<=\r\n--)[0-9a-f]+"  # of several ranges: time and process
)


class Connections(WrappingFactory):
    """A factory that knows its connections, for clients that close them when they like."""

    def __init__(self, wrapped: Any) -> None:
        super().__init__(wrapped)
        self._waiting: list[Deferred[None]] = []

    def unregisterProtocol(self, p: Any) -> None:
        """Forget a connection, and tell the waits if it was the last one."""
        super().unregisterProtocol(p)
        while self._waiting and not self.protocols:
            self._waiting.pop().callback(None)

    def abort(self) -> None:
        """Abort all connections."""
        for connection in self.protocols:
            connection.transport.abortConnection()

    async def all_closed(self) -> None:
        """Wait until no connection is left."""
        if self.protocols:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting
        # What is wrapped is told about the end after us.
        await deferLater(reactor, 0)


def reserve_port(test: SynchronousTestCase) -> int:
    """A port that no other socket gets during the test, for a server that listens on it.

    It stays bound, without listening. Linux then lets a server listen on it that sets
    ``SO_REUSEADDR``, as all of these do (socket(7)), and gives the port to no other socket: such as
    another test's server, to which this test would talk.
    """
    holder = hold_port()
    test.addCleanup(holder.close)
    port: int = holder.getsockname()[1]
    return port


def hold_port() -> socket.socket:
    """A socket that reserves its port, as `reserve_port` does, until it is closed."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((LOOPBACK, 0))
    return holder


def listen_for_browser(test: TestCase, site: Site) -> tuple[str, Connections]:
    """Serve a site for the length of a test; its end waits until the browser has hung up.

    Returns:
        The URL of its root, and its connections.
    """
    connections = Connections(site)
    test.addCleanup(connections.all_closed)
    return f"http://{LOOPBACK}:{listen(test, connections)}/", connections


def listen(test: TestCase, factory: Any) -> int:
    """Listen for the length of a test, on the port that is returned."""
    port = reactor.listenTCP(0, factory, interface=LOOPBACK)
    test.addCleanup(port.stopListening)
    number: int = port.getHost().port
    return number


async def connect(test: TestCase, port: int) -> SocketConnection:
    """Connect to a port on loopback; the connection is closed at the end of the test."""
    endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, port)
    connection: SocketConnection = await connectProtocol(endpoint, SocketConnection())
    test.addCleanup(connection.leave)
    return connection


def serve(test: TestCase, resource: Any) -> int:
    """Serve a resource for the length of a test, and wait for its connections at the end."""
    return listen(test, Site(resource))


def request(
    target: bytes = b"/", method: bytes = b"GET", *lines: bytes, body: bytes = b""
) -> bytes:
    """The bytes of a request, after whose response the server is to hang up."""
    head = [method + b" " + target + b" HTTP/1.1", b"Host: localhost", b"Connection: close"]
    if body:
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*head, *lines, b"", body])


def masked(answer: bytes) -> bytes:
    """An answer without what differs by the clock on the wall."""
    return _MASKED.sub(b"(masked)", answer)
