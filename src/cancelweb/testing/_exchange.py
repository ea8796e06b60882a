"""A request and its answer, as a test handles them.

What carries it, a connection of HTTP/1.1 or a stream of HTTP/2, is for `_client` and `_http2`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

from attrs import define
from twisted.internet.error import ConnectionDone
from twisted.web.http import Request

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
    """One request, and what was answered; made by `Client.get` and its like.

    Attributes:
        method: of the request, such as ``b"GET"``.
        path: of the request, with its query.
        client: whose request it is.
    """

    method: bytes
    path: bytes
    client: Client

    def __str__(self) -> str:
        return f"{self.method.decode('latin-1')} {self.path.decode('latin-1')}"

    @property
    @abstractmethod
    def response(self) -> Response | None:
        """The answer, once its head is there; the body may still be coming."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether the answer is complete, or the connection is lost."""

    @property
    @abstractmethod
    def served(self) -> Served | None:
        """The server's side; None until the server has read the head, and without ``watch``."""

    @abstractmethod
    def disconnect(self, reason: Exception | None = None) -> None:
        """Close the connection, with all other requests on it; again, do nothing.

        Args:
            reason: what the server's protocol is told. ``ConnectionDone()`` unless given; a
                reset connection is a ``ConnectionLost()``.
        """

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass, on the clock of all that the client does.

        Each delayed call is run at its time, as in a reactor, so that what follows from one may
        come in time as well. (``Clock.advance`` goes in one leap.)
        """
        pass_time(self.client.clock, seconds)

    @property
    def request(self) -> Request | None:
        """Twisted's request; None until the server has read its head, and without ``watch``."""
        return None if self.served is None else self.served.request

    @property
    def outcome(self) -> Outcome | None:
        """How the request ended.

        None until its scope has closed, and without cancelweb or ``watch``.
        """
        return None if self.served is None else self.served.outcome


def check_bytes(headers: Mapping[bytes, bytes], **given: object) -> None:
    """Insist that a request is made of bytes, as it is sent.

    Raises:
        TypeError: something is not; says what.
    """
    for name, value in [*given.items(), *(("headers", each) for each in chain(*headers.items()))]:
        if not isinstance(value, bytes):
            raise TypeError(f"{name} must be bytes, not {value!r}")


def done(reason: Exception | None) -> Exception:
    """What a server is told of a connection that was closed in order."""
    if reason is None:
        return ConnectionDone()
    if not isinstance(reason, Exception):
        raise TypeError(f"reason must be an exception, not {name_of(reason)}")
    return reason
