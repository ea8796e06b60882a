"""Programs whose connection is cut: a server with two ports, and a client that waits for it.

What belongs here: what runs inside a network namespace. What does not: making and cutting it.
"""

import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

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
    """/waiting says one line and then nothing, /streaming goes on for ever."""

    isLeaf = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.render_GET = cancel_on_disconnect(observers=self._ended)(self._stream)

    def _ended(self, outcome: Outcome) -> None:
        tell(f"{self._name}{outcome.path.decode()} ended: {outcome.cause}")

    async def _stream(self, request: Request) -> AsyncIterator[bytes]:
        yield b"here\n"
        while request.path == b"/streaming":
            yield b"." * 100_000
        await Deferred[None]()


async def serve(seconds: str, address: str) -> None:
    """Serve what is noticed, and what is not."""
    plain, noticing = Site(Pages("plain")), notice_vanished(Site(Pages("noticing")), int(seconds))
    ports = [
        await serverFromString(reactor, f"tcp:0:interface={address}").listen(site)
        for site in (plain, noticing)
    ]
    tell("ports " + " ".join(str(port.getHost().port) for port in ports))
    await Deferred[None]()


def visit(address: str, port: str, path: str) -> None:
    """Ask for a page, read on for as long as there is something, and stay."""
    connection = socket.create_connection((address, int(port)))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    while b"here" not in connection.recv(1000):
        pass
    tell("received")
    while path == "/streaming":
        connection.recv(100_000)
    time.sleep(60)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        react(lambda _: Deferred.fromCoroutine(serve(*sys.argv[2:])))
    visit(*sys.argv[2:])
