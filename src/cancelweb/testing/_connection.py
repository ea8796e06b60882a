"""Connections over HTTP/1.1 in memory, for several requests, part of one, or raw bytes.

`_http2` has HTTP/2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from .._checks import check_flag, check_seconds
from ._exchange import Exchange, Headers, check_bytes, done
from ._responses import Response, parse
from ._served import Served
from ._transport import CLIENT, Transport

if TYPE_CHECKING:
    from ._client import Client


@define(eq=False)
class Connection:
    """A connection over HTTP/1.1; made by `Client.connect`.

    Requests that are sent before earlier ones are answered are pipelined.

    Attributes:
        client: the client that opened it.
    """

    client: Client
    _sent: list[bytes] = field(factory=list, init=False)
    _served: list[Served] = field(factory=list, init=False)
    _later: list[IDelayedCall] = field(factory=list, init=False)
    _has_sent_bytes: bool = field(default=False, init=False)
    _transport: Transport = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._transport = Transport(self.client.clock)
        protocol: Any = self.client.site.buildProtocol(CLIENT)
        protocol.requestFactory = self.client.watched(protocol.requestFactory, self._note)
        self._transport.connect(protocol)

    def _note(self, channel: object, served: Served) -> None:
        self._served.append(served)

    def get(self, path: bytes = b"/", headers: Headers | None = None) -> Exchange:
        """Send a GET, after all that was sent before."""
        return self.request(b"GET", path, headers)

    def post(self, path: bytes, body: bytes, headers: Headers | None = None) -> Exchange:
        """Send a POST, after all that was sent before."""
        return self.request(b"POST", path, headers, body)

    def request(
        self,
        method: bytes,
        path: bytes = b"/",
        headers: Headers | None = None,
        body: bytes = b"",
        version: bytes = b"HTTP/1.1",
    ) -> Exchange:
        """Send a request, after all that was sent before.

        Args:
            method: for example ``b"PUT"``.
            path: with the query, if there is one.
            headers: ``Host`` is added, and with a body, ``Content-Length``. Pass a greater
                ``Content-Length`` to send the rest of the body later, with `send`.
            body: the body, or its beginning.
            version: the version of the protocol, for example ``b"HTTP/1.0"``.

        Raises:
            TypeError: an argument is not bytes.
        """
        given = check_bytes(method=method, path=path, body=body, version=version, headers=headers)
        all_headers = {b"Host": b"localhost", **given}
        exchange = _OnConnection(method, path, self.client, self, len(self._sent))
        self._sent.append(method)
        if body:
            all_headers.setdefault(b"Content-Length", b"%d" % len(body))
        lines = [b"%s %s %s" % (method, path, version)]
        lines += [b"%s: %s" % header for header in all_headers.items()]
        self._transport.deliver(b"\r\n".join([*lines, b"", body]))
        return exchange

    def send(self, data: bytes, delay: float = 0.0) -> None:
        """Send raw bytes, such as the rest of a body.

        Args:
            data: what to send.
            delay: after how many seconds on the clock. A client that has left sends nothing more.
        """
        check_bytes(data=data)
        check_seconds("delay", delay)
        self._has_sent_bytes = True
        if delay:
            later = self.client.clock.callLater(delay, self._transport.deliver, data)
            self._later.append(later)
        else:
            self._transport.deliver(data)

    @contextmanager
    def in_one_read(self) -> Iterator[None]:
        """Make all that is sent in this block arrive in one read of the server, at its end.

        In nested blocks, it arrives at the end of the outermost. A client that disconnects inside
        the block first sends what it has.
        """
        with self._transport.in_one_read():
            yield

    def disconnect(self, reason: Exception | None = None) -> None:
        """See `Exchange.disconnect`."""
        for each in self._later:
            if each.active():
                each.cancel()
        self._transport.lose(Failure(done(reason)))

    def pause(self, *, full: bool = False) -> None:
        """Stop reading. The server is told to stop writing when its buffer is full.

        Args:
            full: whether the buffer is full already, so that the server is told at once.
        """
        check_flag("full", full)
        self._transport.read(False, full)

    def resume(self) -> None:
        """Read again."""
        self._transport.read(True)

    @property
    def is_closed(self) -> bool:
        """Whether the connection is over, whichever side closed it."""
        return not self._transport.connected

    @property
    def is_aborted(self) -> bool:
        """Whether the server aborted the connection."""
        return self._transport.aborted

    @property
    def received(self) -> bytes:
        """All bytes that the client has read."""
        value: bytes = self._transport.value()
        return value

    @property
    def responses(self) -> list[Response]:
        """The answers so far, in the order of the requests. The last may be incomplete.

        Raises:
            AssertionError: the server sent more than was asked for, and `send` was not used.
        """
        responses, rest = self._parse()
        if rest and len(responses) == len(self._sent) and not self._has_sent_bytes:
            raise AssertionError(f"more than was asked for: {rest!r}, after {responses}")
        return responses

    @property
    def response(self) -> Response:
        """The only answer.

        Raises:
            AssertionError: there is no answer, or there is something else. The message shows it.
        """
        responses, rest = self._parse()
        if len(responses) != 1 or rest:
            raise AssertionError(f"expected one answer, found {responses}, followed by {rest!r}")
        return responses[0]

    def _parse(self) -> tuple[list[Response], bytes]:
        return parse(self.received, self._sent, self._transport.has_ended)


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
