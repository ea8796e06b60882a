"""A request and its answer, as a test handles them.

`_connection` and `_stream` have them over HTTP/1.1 and over HTTP/2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

from attrs import define
from twisted.internet.error import ConnectionDone
from twisted.web.server import Request

from .._checks import check_seconds, shown
from .._log import name_of
from ..causes import Outcome
from ._clock import pass_time
from ._responses import Response
from ._served import Served

if TYPE_CHECKING:
    from ._client import Client

Headers = Mapping[bytes, bytes]


@define(eq=False)
class Exchange(ABC):
    """One request and its answer; made by methods such as `Client.get`.

    Attributes:
        method: the method of the request, for example ``b"GET"``.
        path: the path of the request, with its query.
        client: the client that sent it.
    """

    method: bytes
    path: bytes
    client: Client

    def __str__(self) -> str:
        return f"{self.method.decode('latin-1')} {self.path.decode('latin-1')}"

    @property
    @abstractmethod
    def response(self) -> Response | None:
        """The answer, as soon as its head has arrived; the body may still be arriving."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether the answer is complete, or the connection is lost."""

    @property
    @abstractmethod
    def served(self) -> Served | None:
        """The server's side; None until the server has read the head, and with ``watch=False``."""

    @abstractmethod
    def disconnect(self, reason: Exception | None = None) -> None:
        """Close the connection, with all other requests on it. May be called again.

        Args:
            reason: what the server's protocol is told; by default ``ConnectionDone()``. A reset
                connection is a ``ConnectionLost()``.
        """

    def advance(self, seconds: float) -> None:
        """Let this many seconds pass on the client's clock.

        Each delayed call runs at its time, as in a reactor, so that a call it makes can also run in
        time. (``Clock.advance`` goes in one leap.)
        """
        check_seconds("seconds", seconds)
        pass_time(self.client.clock, seconds)

    @property
    def request(self) -> Request | None:
        """Twisted's request; None until the server has read its head, and with ``watch=False``."""
        return None if self.served is None else self.served.request

    @property
    def outcome(self) -> Outcome | None:
        """How the request ended.

        None until its scope has closed, for a handler without cancelweb, and with ``watch=False``.
        """
        return None if self.served is None else self.served.outcome


def check_bytes(headers: object = None, **given: object) -> Headers:
    """Check that a request is made of bytes, as it is sent; returns its headers.

    Raises:
        TypeError: a part is not bytes, or the headers are not a mapping. The message names it.
    """
    if headers is not None and not isinstance(headers, Mapping):
        text = "headers must be a mapping of bytes, such as {b'Accept': b'*/*'}"
        raise TypeError(f"{text}, not {shown(headers)}")
    mapping: Headers = headers or {}
    for name, value in [*given.items(), *(("headers", each) for each in chain(*mapping.items()))]:
        if not isinstance(value, bytes):
            raise TypeError(f"{name} must be bytes, not {shown(value)}")
    return mapping


def done(reason: Exception | None) -> Exception:
    """The reason that the server is told; by default, that of a connection closed in order."""
    if reason is None:
        return ConnectionDone()
    if not isinstance(reason, Exception):
        raise TypeError(f"reason must be an exception, not {name_of(reason)}")
    return reason
