"""The facts of a scope's life: why it was cancelled, and how it ended.

Frozen records and the exception that carries one; nothing here acts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import ClassVar

from attrs import field, frozen
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.python.reflect import safe_str
from twisted.web.http import SERVICE_UNAVAILABLE

from ._frozen import check_initialisers
from ._headers import check_headers

__all__ = [
    "Cause",
    "ContentLost",
    "Disconnected",
    "Draining",
    "Ended",
    "Observer",
    "Outcome",
    "RapidReset",
    "ResponseFinished",
    "ScopeCancelled",
    "TimedOut",
]


def check_status(name: str, value: object) -> None:
    """Raise a TypeError or ValueError unless the value is the status of an error page."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int such as 503, not {value!r}")
    if not 400 <= value <= 599:
        raise ValueError(f"{name} must be from 400 to 599, not {value!r}")


_FIELD = type(field())
"""What stands in a class of attrs for a field, until the class is made."""


@frozen
class Cause:
    """Why a scope was cancelled. To give a reason of your own, subclass it with ``@attrs.frozen``.

    Attributes:
        status: the HTTP status code of the answer, from 400 to 599, where the client is still
            there to be answered and nothing has been written yet.
        headers: further headers of that answer, by name; there are none here. In a subclass this is
            a mapping, or a property or field that is one.
    """

    status: ClassVar[int] = SERVICE_UNAVAILABLE

    @property
    def headers(self) -> Mapping[str, str]:
        """Further headers of that answer, such as ``{"Retry-After": "5"}``; there are none here.

        A subclass may have a mapping in its place, a property or a field. ``Connection: close``
        closes the connection behind the answer; over HTTP/2 it is left out.
        """
        return {}

    def __init_subclass__(cls) -> None:
        """Check the class where it is written, not where it is needed."""
        super().__init_subclass__()
        check_initialisers(cls, Cause.__setattr__)
        check_status(f"{cls.__name__}.status", cls.status)
        headers: object = cls.headers
        # What each instance has of its own, in a property or a field, is checked when it is used.
        if callable(headers) or not (hasattr(headers, "__get__") or isinstance(headers, _FIELD)):
            check_headers(f"{cls.__name__}.headers", headers)


@frozen
class Disconnected(Cause):
    """The client left before it had the whole response.

    Attributes:
        failure: what ``Request.notifyFinish`` failed with. None where the client had left before
            anybody could ask: ``notifyFinish`` never fires then (Twisted ticket 4899).
    """

    failure: Failure | None = None

    def __str__(self) -> str:
        detail = "" if self.failure is None else f" ({self.failure.getErrorMessage()})"
        return f"the client disconnected{detail}"


@frozen
class TimedOut(Cause):
    """A time limit is over.

    Attributes:
        seconds: what the limit is.
        limit: the name of the option, or of the header in which the client has asked for it.
    """

    seconds: float
    limit: str = "timeout"

    def __str__(self) -> str:
        return f"timed out after {self.seconds:g} s ({self.limit})"


@frozen
class Draining(Cause):
    """The server is shutting down.

    Attributes:
        retry_after: the seconds that the answer's ``Retry-After`` asks the client to wait.
    """

    retry_after: int = 1

    @property
    def headers(self) -> Mapping[str, str]:
        """See `Cause`: when to come again, and that this server will not be there."""
        return {"Retry-After": str(self.retry_after), "Connection": "close"}

    def __str__(self) -> str:
        return "the server is shutting down"


@frozen
class RapidReset(Cause):
    """The client abandons requests faster than they can be cleaned up; see ``max_cleanups``."""

    status: ClassVar[int] = 429

    def __str__(self) -> str:
        return "too many abandoned requests of this connection are still being cleaned up"


@frozen
class ResponseFinished(Cause):
    """The response was finished while work that was tracked beside it still ran.

    No scope is cancelled for that: it is what `Scope.check` raises in such work, and what is told
    of a survivor of it.
    """

    def __str__(self) -> str:
        return "the response was finished"


class ScopeCancelled(CancelledError):
    """Raised in work whose scope has been cancelled.

    Attributes:
        cause: why.
    """

    def __init__(self, cause: Cause) -> None:
        super().__init__(safe_str(cause))
        self.cause = cause


class ContentLost(CancelledError, OSError):
    """Raised where ``request.content`` is read after the client has left.

    Twisted has closed it by then. This is a ``CancelledError``, because work that ends with it was
    stopped, and an ``OSError``, because it is the error of a file that cannot be read.

    Attributes:
        cause: the disconnect.
    """

    def __init__(self, cause: Disconnected) -> None:
        super().__init__(safe_str(cause))
        self.cause = cause


class Ended(IntEnum):
    """How the work of a request ended, from best to worst."""

    COMPLETED = 0
    """It ran to its end, or there was none."""
    STOPPED = 1
    """It was asked to stop, and its end was observed. Leftover work does not count."""
    LET_GO = 2
    """It may still be running, as nothing could stop it, or tell whether it has stopped."""
    FAILED = 3
    """It failed, with an error that is not the cancellation."""
    SURVIVED = 4
    """It still ran ``survivor_after`` seconds after it was asked to stop."""
    REFUSED = 5
    """It never began, since its client had gone or was turned away."""


@frozen(slots=False)  # It is much faster to make.
class Outcome:
    """How one request ended; what an observer is given.

    A request has a second outcome if its handler is found only when the client has left, and is run
    all the same: the request's method is spared, and its scope has cleaned up by then. The times
    are those of the second scope.

    Attributes:
        method: the request's method, such as ``b"GET"``.
        path: the request's target, still quoted, without the query.
        cause: why the scope was cancelled, or None where it was not.
        ended: how the work ended, the worst over all that was tracked.
        opened: when the scope was opened; seconds, on its clock (of a reactor ``time.time``).
        cancelled: when it was cancelled, or None.
        stopped: when its work had ended, or been named a survivor: then the hooks begin.
        closed: when it was closed, after the hooks.
        failure: the first real failure, cleaned of its frames, or None.
        would_have_cancelled: the cause that would have cancelled the scope, but for a dry run; or
            that the client left, where the request's method may not be cancelled for that.
        leftovers: how many pieces of work still ran when the response was finished, and were asked
            to stop for that. The request was not cancelled: ``cause`` and ``cancelled`` are None.
        status: the status code of the response; None if nothing of one was sent. Where the result
            of a handler needs no waiting, or the request was turned away, that is what Twisted is
            about to send.
        sent: how many bytes of its body were written; what the client has received is not known.
            A result that needs no waiting counts uncompressed. Not counted is a page that Twisted
            is still to write in place of the handler's.
        handler: the name of what was called for the request, such as ``shop.Report.render_GET``;
            for a wrapped resource that of its class and ``render``. Where entry points meet it is
            the innermost handler. None if nothing was called.
        notes: the facts that were added with ``Scope.note``.
    """

    method: bytes
    path: bytes
    cause: Cause | None
    ended: Ended
    opened: float
    cancelled: float | None
    stopped: float
    closed: float
    failure: Failure | None = None
    would_have_cancelled: Cause | None = None
    leftovers: int = 0
    status: int | None = None
    sent: int = 0
    handler: str | None = None
    notes: Mapping[str, object] = field(factory=dict, hash=False)


Observer = Callable[[Outcome], object]
"""Any callable with one argument, the `Outcome`. It only watches: what it raises is logged."""
