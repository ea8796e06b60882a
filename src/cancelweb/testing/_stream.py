"""Requests over HTTP/2 in memory, each on a stream of a connection.

`_http2` has the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from ._exchange import Exchange, check_bytes
from ._responses import Response
from ._served import Served

if TYPE_CHECKING:
    from ._http2 import HTTP2Connection


@define(eq=False)
class Stream(Exchange):
    """A request on an HTTP/2 stream; made by methods such as `HTTP2Connection.get`.

    Attributes:
        number: the number of the stream.
        left: how many bytes of the request's body are still to send.
        unsent: those bytes of it that `send` was given and that are not sent yet.
    """

    connection: HTTP2Connection
    number: int
    left: int
    unsent: bytes = b""
    _was_reset: bool = False
    _error_code: int | None = None
    _response: Response | None = None

    def send(self, data: bytes) -> None:
        """Send more of the request's body. Once the stream was reset, do nothing.

        Raises:
            TypeError: ``data`` is not bytes.
            ValueError: it is more than the request's ``Content-Length`` has announced.
        """
        check_bytes(data=data)
        if self.was_reset:
            return
        if len(self.unsent) + len(data) > self.left:
            raise ValueError(f"{data!r} is more than the Content-Length of {self} has announced")
        self.unsent += data
        self.connection.flush()

    def reset(self) -> None:
        """Leave this stream; the connection and its other streams go on. May be called again."""
        if not self.is_over:
            self._was_reset = True
            self.connection.reset(self.number)

    def disconnect(self, reason: Exception | None = None) -> None:
        """See `Exchange.disconnect`."""
        self.connection.disconnect(reason)

    @property
    def response(self) -> Response | None:
        """See `Exchange.response`."""
        self.connection.receive()
        return self._response

    @property
    def was_reset(self) -> bool:
        """Whether either side has reset the stream."""
        self.connection.receive()
        return self._was_reset

    @property
    def error_code(self) -> int | None:
        """The code with which the server has reset the stream, or None if it has not."""
        self.connection.receive()
        return self._error_code

    @property
    def is_over(self) -> bool:
        """See `Exchange.is_over`."""
        response = self.response
        is_complete = response is not None and response.is_complete
        return is_complete or self.was_reset or self.connection.is_closed

    @property
    def served(self) -> Served | None:
        """See `Exchange.served`."""
        return self.connection.served.get(self.number)

    def take_head(self, headers: Any) -> None:
        """Take the answer's head, which has arrived."""
        self._response = Response(int(dict(headers)[b":status"]))
        for name, value in headers:
            if not name.startswith(b":"):
                self._response.headers.addRawHeader(name, value)

    def take_body(self, data: bytes) -> None:
        """Take a part of the body, which has arrived."""
        assert self._response is not None, "h2 ensures the order"
        self._response.body += data

    def end(self) -> None:
        """Mark the answer as complete."""
        assert self._response is not None, "h2 ensures the order"
        self._response.is_complete = True

    def take_reset(self, error_code: int) -> None:
        """Note that the server has reset the stream."""
        self._was_reset, self._error_code = True, error_code
