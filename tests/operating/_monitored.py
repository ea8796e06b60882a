"""A site with a monitor, requests that wait in it, and its status page: shared by the page's tests.

What belongs here: real requests on a real Site, in memory, in any number. What does not: what a
test makes of the page, and browsers.
"""

from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.web.server import Request

from cancelweb import CancellingResource, cancel_on_disconnect, detach
from cancelweb.monitor import Monitor
from cancelweb.testing import Connection

from .._pages import Handler, Page
from .._visits import connect


async def rows(request: Request) -> bytes:
    """A handler that waits forever, at a line that can be told."""
    return await Deferred[bytes]()


async def stubborn(request: Request) -> bytes:
    """A handler that runs on when it is cancelled."""
    try:
        return await Deferred[bytes]()
    except Exception:
        return await Deferred[bytes]()


def named(name: str) -> Handler:
    """A handler of this name that waits forever; requests of two names share no row."""

    async def handler(request: Request) -> bytes:
        return await Deferred[bytes]()

    handler.__qualname__ = name
    return cancel_on_disconnect(handler)


async def mail() -> None:
    """Work that waits forever, for a handler to detach."""
    await Deferred[None]()


def detaching(request: Request) -> bytes:
    """A handler that answers at once, and has detached work that runs on."""
    detach(mail())
    return b"page"


@define(eq=False)
class Monitored:
    """A site with a monitor, and the clients whose requests wait in it.

    Args:
        clock: the reactor of the site, which may be the real one.
    """

    clock: Any
    monitor: Monitor = Factory(Monitor)
    connections: list[Connection] = Factory(list)

    def visit(
        self,
        path: bytes = b"/",
        *,
        handler: Handler = rows,
        method: bytes = b"GET",
        headers: dict[bytes, bytes] | None = None,
        **options: Any,
    ) -> Connection:
        """Add a client whose request waits."""
        options.setdefault("observers", ())
        root = CancellingResource(Page(handler), monitor=self.monitor, **options)
        connection = connect(root, self.clock)
        connection.request(method=method, path=path, headers=headers)
        self.connections.append(connection)
        return connection

    def visit_hostile(self, method: bytes, path: bytes, handler: Handler = rows) -> None:
        """Add a request whose method and path no recent Twisted accepts over HTTP/1.1."""
        self.visit(handler=handler)
        request: Any = self.monitor.scopes[-1].request
        request.method, request.uri = method, path

    def visits(self, count: int) -> None:
        """Add so many clients, each with a path of its own."""
        for number in range(len(self.connections), len(self.connections) + count):
            self.visit(b"/reports/%d" % number)

    def survivor(self, path: bytes = b"/stubborn", after: float = 0.01) -> None:
        """Add a request whose client has left, and whose work survives so many seconds later."""
        self.visit(path, handler=stubborn, survivor_after=after).disconnect()

    def let_go(self, path: bytes = b"/in-a-thread") -> Deferred[bytes]:
        """Add a request whose client has left, and whose work nothing can stop; returns that."""
        work: Deferred[bytes] = Deferred()
        self.visit(path, handler=lambda _: work)
        self.connections.pop().disconnect()
        return work

    def detach(self, path: bytes = b"/detaching") -> None:
        """Add a request that was answered, and whose detached work still runs."""
        self.visit(path, handler=detaching)

    def leave(self) -> None:
        """Disconnect all clients."""
        while self.connections:
            self.connections.pop().disconnect()
