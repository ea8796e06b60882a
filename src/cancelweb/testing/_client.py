"""The client in memory: connections to a Site, and requests over HTTP/1.1.

HTTP/2 is in `_http2`; what is to be asserted, in `_assertions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import Site

from ._exchange import Exchange, check_bytes, done
from ._leaks import Leaks
from ._responses import Response, parse
from ._served import Served, recording
from ._transport import CLIENT, Transport

if TYPE_CHECKING:
    from ._http2 import HTTP2Connection

Headers = Mapping[bytes, bytes]


class Client:
    """Asks a resource or a Site, without a socket, for whatever Twisted Web can serve.

    The Site, its channels and its requests are Twisted's own; the connection is in memory, and
    time is a ``twisted.internet.task.Clock``. The handlers need know nothing of cancelweb. Only
    what happens on the clock happens: threads, processes and the global reactor do not run.

    Args:
        root: a resource, or a Site whose ``reactor`` is the clock.
        clock: what the Site takes for its reactor; give the same to the resource. A new one, or
            that of the Site, unless given.

    Attributes:
        site: the Site.
        clock: the clock.

    Raises:
        TypeError: ``root`` is neither.
        ValueError: the Site has another reactor than the clock.
    """

    def __init__(self, root: Any, clock: Clock | None = None) -> None:
        self.site = _site(root, Clock() if clock is None else clock, clock is not None)
        self.clock: Clock = cast(Any, self.site.reactor)
        self.leaks = Leaks(self.clock)

    def get(self, path: bytes = b"/", headers: Headers | None = None) -> Exchange:
        """Send a GET on a connection of its own."""
        return self.connect().get(path, headers)

    def post(self, path: bytes, body: bytes, headers: Headers | None = None) -> Exchange:
        """Send a POST on a connection of its own."""
        return self.connect().request(b"POST", path, headers, body)

    def request(
        self, method: bytes, path: bytes, headers: Headers | None = None, body: bytes = b""
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
        try:
            from ._http2 import HTTP2Connection
        except ModuleNotFoundError as error:
            raise ImportError("HTTP/2 needs an extra: pip install 'cancelweb[http2]'") from error
        return HTTP2Connection(self)


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


@define(eq=False)
class Connection:
    """A connection over HTTP/1.1; made by `Client.connect`.

    Requests that are sent before earlier ones are answered are pipelined.
    """

    _client: Client
    _sent: list[bytes] = field(factory=list, init=False)
    _served: list[Served] = field(factory=list, init=False)
    _later: list[IDelayedCall] = field(factory=list, init=False)
    _transport: Transport = field(init=False)

    def __attrs_post_init__(self) -> None:
        client = self._client
        self._transport = Transport(client.clock)
        protocol: Any = client.site.buildProtocol(CLIENT)
        protocol.requestFactory = recording(protocol.requestFactory, client.clock, self._note)
        self._transport.connect(protocol)

    def _note(self, channel: Any, served: Served) -> None:
        self._served.append(served)
        self._client.leaks.served.append(served)

    def get(self, path: bytes = b"/", headers: Headers | None = None) -> Exchange:
        """Send a GET, behind what was sent before."""
        return self.request(b"GET", path, headers)

    def post(self, path: bytes, body: bytes, headers: Headers | None = None) -> Exchange:
        """Send a POST, behind what was sent before."""
        return self.request(b"POST", path, headers, body)

    def request(
        self, method: bytes, path: bytes, headers: Headers | None = None, body: bytes = b""
    ) -> Exchange:
        """Send a request, behind what was sent before.

        Args:
            method: such as ``b"PUT"``.
            path: with the query, if there is one.
            headers: ``Host`` and, with a body, ``Content-Length`` are added. Give a greater
                ``Content-Length`` to send the rest of the body later, with `send`.
            body: or its beginning.

        Raises:
            TypeError: one of them is not bytes.
        """
        all_headers = {b"Host": b"localhost", **(headers or {})}
        check_bytes(method=method, path=path, body=body, headers=all_headers)
        exchange = _OnConnection(method, path, self._client, self, len(self._sent))
        self._sent.append(method)
        if body:
            all_headers.setdefault(b"Content-Length", b"%d" % len(body))
        lines = [b"%s %s HTTP/1.1" % (method, path)]
        lines += [b"%s: %s" % header for header in all_headers.items()]
        self.send(b"\r\n".join([*lines, b"", body]))
        return exchange

    def send(self, data: bytes, delay: float = 0.0) -> None:
        """Send bytes as they are, such as the rest of a body.

        Args:
            data: what to send.
            delay: how many seconds later, on the clock. A client that has left sends no more.
        """
        if delay:
            later = self._client.clock.callLater(delay, self._transport.deliver, data)
            self._later.append(later)
        else:
            self._transport.deliver(data)

    def disconnect(self, reason: Exception | None = None) -> None:
        """See `Exchange.disconnect`."""
        for each in self._later:
            if each.active():
                each.cancel()
        self._transport.lose(Failure(done(reason)))

    def pause(self) -> None:
        """Read no more: the server is to stop writing when its buffer is full."""
        self._transport.read(False)

    def resume(self) -> None:
        """Read on."""
        self._transport.read(True)

    @property
    def is_closed(self) -> bool:
        """Whether the connection is over, whoever closed it."""
        return not self._transport.connected

    @property
    def is_aborted(self) -> bool:
        """Whether the server threw the connection away."""
        return self._transport.aborted

    @property
    def responses(self) -> list[Response]:
        """The answers until now, in the order of the requests; of the last, perhaps a part."""
        return parse(self._transport.value(), self._sent, self._transport.disconnecting)


@define(eq=False)
class _OnConnection(Exchange):
    """A request on a connection over HTTP/1.1."""

    connection: Connection
    _index: int

    @property
    def response(self) -> Response | None:
        responses = self.connection.responses[self._index :]
        return responses[0] if responses else None

    @property
    def is_over(self) -> bool:
        response = self.response
        return self.connection.is_closed or (response is not None and response.is_complete)

    @property
    def served(self) -> Served | None:
        served = self.connection._served[self._index :]
        return served[0] if served else None

    def disconnect(self, reason: Exception | None = None) -> None:
        self.connection.disconnect(reason)
