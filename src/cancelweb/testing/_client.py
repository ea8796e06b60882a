"""The client in memory: connections to a Site, and requests with a connection each.

What a connection does is in `_connection` and `_http2`; what is to be asserted, in `_assertions`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.task import Clock
from twisted.web.http import Request
from twisted.web.resource import IResource
from twisted.web.server import Site

from ._connection import Connection
from ._exchange import Exchange, Headers
from ._leaks import Leaks
from ._served import Served, recording

if TYPE_CHECKING:
    from ._http2 import HTTP2Connection


class Client:
    """Asks a resource or a Site, without a socket, for whatever Twisted Web can serve.

    The Site, its channels and its requests are Twisted's own; the connection is in memory, and
    time is a ``twisted.internet.task.Clock``. The handlers need know nothing of cancelweb. Only
    what happens on the clock happens: threads, processes and the global reactor do not run.

    Args:
        root: a resource, or a Site whose ``reactor`` is the clock.
        clock: what the Site takes for its reactor; give the same to the resource. A new one, or
            that of the Site, unless given.
        watch: False leaves requests just as they are in production: the kit is not told how they
            end, and keeps none of them alive. Then the ``request`` and the ``outcome`` of each
            `Exchange` are None, and the assertions of this package raise ``ValueError``. Producers
            that are pulled, such as that of ``static.File``, run on the global reactor then, as
            Twisted has it, and not on the clock. For tests of memory, and of what itself looks at
            requests and scopes.

    Attributes:
        site: the Site.
        clock: the clock.

    Raises:
        TypeError: ``root`` is neither.
        ValueError: the Site has another reactor than the clock.
    """

    def __init__(self, root: Any, clock: Clock | None = None, *, watch: bool = True) -> None:
        self.site = _site(root, Clock() if clock is None else clock, clock is not None)
        self.clock: Clock = cast(Any, self.site.reactor)
        self._leaks = Leaks(self.clock) if watch else None

    def get(self, path: bytes = b"/", headers: Headers | None = None) -> Exchange:
        """Send a GET on a connection of its own."""
        return self.connect().get(path, headers)

    def post(self, path: bytes, body: bytes, headers: Headers | None = None) -> Exchange:
        """Send a POST on a connection of its own."""
        return self.connect().request(b"POST", path, headers, body)

    def request(
        self, method: bytes, path: bytes = b"/", headers: Headers | None = None, body: bytes = b""
    ) -> Exchange:
        """Send any request on a connection of its own."""
        return self.connect().request(method, path, headers, body)

    def connect(self) -> Connection:
        """Open a connection over HTTP/1.1, for several requests or for half of one."""
        return Connection(self)

    def connect_http2(self) -> HTTP2Connection:
        """Open a connection over HTTP/2.

        Raises:
            ImportError: the extra ``cancelweb[http2]`` is not installed.
        """
        return http2_connection_class()(self)

    @property
    def leaks(self) -> Leaks:
        """What the requests have left behind.

        Raises:
            ValueError: the client does not watch them.
        """
        if self._leaks is None:
            raise ValueError("a Client that was made with watch=False cannot tell")
        return self._leaks

    def watched(
        self, factory: Callable[..., Request], note: Callable[[Any, Served], None]
    ) -> Callable[..., Request]:
        """The request factory of a new connection: the Site's, or one whose requests are watched.

        Args:
            factory: the Site's.
            note: told of each request that is watched: its channel, and the server's side of it.
        """
        leaks = self._leaks
        if leaks is None:
            return factory

        def note_twice(channel: Any, served: Served) -> None:
            leaks.served.append(served)
            note(channel, served)

        return recording(factory, self.clock, note_twice)


def http2_connection_class() -> type[HTTP2Connection]:
    """The class, for which an extra is needed.

    Raises:
        ImportError: the extra is not installed; says which.
    """
    try:
        from ._http2 import HTTP2Connection
    except ModuleNotFoundError as error:
        raise ImportError("HTTP/2 needs an extra: pip install 'cancelweb[http2]'") from error
    return HTTP2Connection


def _site(root: Any, clock: Clock, is_given: bool) -> Site:
    if isinstance(root, Site):
        reactor: Any = root.reactor
        if not isinstance(reactor, Clock) or (is_given and reactor is not clock):
            raise ValueError(
                f"the reactor of {root!r} is {reactor!r}: it must be the client's clock, as in "
                "Site(resource, reactor=clock)"
            )
        return root
    if not IResource.providedBy(root):
        raise TypeError(f"Client takes a resource or a Site, not {root!r}")
    return Site(root, reactor=cast(Any, clock))
