"""Programs whose connection is cut: a server with three ports, and a client that waits for it.

What belongs here: what runs inside a network namespace. What does not: making and cutting it.
"""

import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from cancelweb import Outcome, cancel_on_disconnect
from cancelweb.connections import notice_vanished

reactor: Any = _installed_reactor


def tell(text: str) -> None:
    """Print a line, for the test to read."""
    print(text, flush=True)


class Pages(Resource):
    """Pages: /waiting… says one line and then nothing, /streaming… goes on forever."""

    isLeaf = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.render_GET = cancel_on_disconnect(observers=self._ended)(self._stream)

    def _ended(self, outcome: Outcome) -> None:
        tell(f"{self._name}{outcome.path.decode()} ended: {outcome.cause}")

    async def _stream(self, request: Request) -> AsyncIterator[bytes]:
        yield b"here\n"
        while request.path.startswith(b"/streaming"):
            yield b"." * 100_000
        await Deferred[None]()


async def serve(seconds: str, address: str, certificate: str, key: str) -> None:
    """Serve pages on three ports: watched over TCP, watched over TLS, and not watched."""
    tcp, tls = "tcp:0", f"ssl:0:certKey={certificate}:privateKey={key}"
    ports = []
    for name, endpoint in ("plain", tcp), ("tcp", tcp), ("tls", tls):
        site = Site(Pages(name))
        factory = site if name == "plain" else notice_vanished(site, int(seconds))
        ports.append(
            await serverFromString(reactor, f"{endpoint}:interface={address}").listen(factory)
        )
    tell("ports " + " ".join(str(port.getHost().port) for port in ports))
    await Deferred[None]()


def visit(address: str, port: str, protocol: str, path: str) -> None:
    """Ask for a page, read as long as something comes, and stay."""
    connection = socket.create_connection((address, int(port)))
    if protocol != "tcp":
        connection = over_tls(connection, protocol)
    read = ask_over_http2(connection, path) if protocol == "h2" else ask(connection, path)
    while b"here" not in read():
        pass
    tell("received")
    while path.startswith("/streaming"):
        read()
    time.sleep(60)


def over_tls(connection: socket.socket, protocol: str) -> socket.socket:
    """Negotiate this protocol over TLS, with any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    connection = context.wrap_socket(connection)
    assert connection.selected_alpn_protocol() == protocol
    return connection


def ask(connection: socket.socket, path: str) -> Callable[[], bytes]:
    """Ask over HTTP/1.1, and return a function that reads more."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return lambda: connection.recv(100_000)


def ask_over_http2(connection: socket.socket, path: str) -> Callable[[], bytes]:
    """Ask over HTTP/2, and return a function that reads more."""
    h2 = H2Connection(H2Configuration(client_side=True))
    names = (":method", ":path", ":scheme", ":authority")
    h2.initiate_connection()
    h2.send_headers(1, list(zip(names, ("GET", path, "https", "localhost"), strict=True)), True)
    connection.sendall(h2.data_to_send())

    def read() -> bytes:
        events = h2.receive_data(connection.recv(100_000))
        chunks = [event for event in events if isinstance(event, DataReceived)]
        for chunk in chunks:
            h2.acknowledge_received_data(chunk.flow_controlled_length, 1)
        connection.sendall(h2.data_to_send())
        return b"".join(chunk.data for chunk in chunks)

    return read


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        react(lambda _: Deferred.fromCoroutine(serve(*sys.argv[2:])))
    visit(*sys.argv[2:])
