"""The test client in memory: it opens connections to a Site, and sends requests.

`_connection` and `_http2` have the connections; `_assertions` has the assertions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.task import Clock
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from .._checks import check_flag, shown
from .._scopes.checks import check_clock
from .._typed import AnyResource
from ._connection import Connection
from ._exchange import Exchange, Headers
from ._leaks import Leaks
from ._served import Served, recording

if TYPE_CHECKING:
    from ._http2 import HTTP2Connection


class Client:
    """Sends requests to a resource or a Site, in memory and without a socket.

    The Site, its channels and its requests are Twisted's own. The connection is in memory, and time
    is a ``twisted.internet.task.Clock``. The handlers need not use cancelweb. Only what happens on
    the clock happens: threads, processes and the global reactor do not run.

    Args:
        root: a resource, or a Site whose ``reactor`` is the clock.
        clock: the reactor of the Site; give the resource the same one. By default the clock of the
            Site, or a new one.
        watch: False leaves requests exactly as they are in production, for tests of memory, and of
            code that inspects requests and scopes. The client then does not learn how requests end,
            and keeps none of them alive. The ``request`` and the ``outcome`` of each `Exchange` are
            None, and the assertions of this package raise ``ValueError``. Pull producers, such as
            that of ``static.File``, run on the global reactor, as Twisted has it, and not on the
            clock.

    Attributes:
        site: the Site.
        clock: the clock.

    Raises:
        TypeError: ``root`` is neither a resource nor a Site.
        ValueError: the reactor of the Site is not the clock.
    """

    def __init__(
        self, root: AnyResource | Site, clock: Clock | None = None, *, watch: bool = True
    ) -> None:
        if clock is not None:
            check_clock("clock", clock)
        check_flag("watch", watch)
        self.site = _site(root, Clock() if clock is None else clock, clock is not None)
        self.clock: Clock = cast(Any, self.site.reactor)
        self._leaks = Leaks(self.clock) if watch else None

    def get(self, path: bytes = b"/", headers: Headers | None = None) -> Exchange:
        """Send a GET on a new connection."""
        return self.connect().get(path, headers)

    def post(self, path: bytes, body: bytes, headers: Headers | None = None) -> Exchange:
        """Send a POST on a new connection."""
        return self.connect().request(b"POST", path, headers, body)

    def request(
        self, method: bytes, path: bytes = b"/", headers: Headers | None = None, body: bytes = b""
    ) -> Exchange:
        """Send a request with any method on a new connection."""
        return self.connect().request(method, path, headers, body)

    def connect(self) -> Connection:
        """Open a connection over HTTP/1.1, for several requests or for part of one."""
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
            ValueError: the client was made with ``watch=False``.
        """
        if self._leaks is None:
            raise ValueError("this needs a Client that was made without watch=False")
        return self._leaks

    def watched(
        self, factory: Callable[..., Request], note: Callable[[Any, Served], None]
    ) -> Callable[..., Request]:
        """The request factory of a new connection: the Site's, or one whose requests are watched.

        Args:
            factory: the Site's request factory.
            note: called for each watched request, with its channel and its server side.
        """
        leaks = self._leaks
        if leaks is None:
            return factory

        def note_twice(channel: Any, served: Served) -> None:
            leaks.served.append(served)
            note(channel, served)

        return recording(factory, self.clock, note_twice)


def http2_connection_class() -> type[HTTP2Connection]:
    """The class `HTTP2Connection`, which needs an extra.

    Raises:
        ImportError: the extra is not installed. The message names it.
    """
    try:
        from ._http2 import HTTP2Connection
    except ModuleNotFoundError as error:
        raise ImportError("HTTP/2 needs an extra: pip install 'cancelweb[http2]'") from error
    return HTTP2Connection


def _site(root: AnyResource | Site, clock: Clock, is_given: bool) -> Site:
    if isinstance(root, Site):
        reactor: Any = root.reactor
        if not isinstance(reactor, Clock) or (is_given and reactor is not clock):
            raise ValueError(
                f"the reactor of {root!r} is {reactor!r}: it must be the client's clock, as in "
                "Site(resource, reactor=clock)"
            )
        return root
    if not IResource.providedBy(root):
        raise TypeError(f"Client takes a resource or a Site, not {shown(root)}")
    return Site(root, reactor=cast(Any, clock))
