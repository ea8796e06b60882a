"""Causes and outcomes: why a scope was cancelled, and how it ended.

Frozen records, and the exceptions that carry a cause; nothing here acts.
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

from ._checks import IS_COUNT, IS_SECONDS, IS_TEXT, check_instance, check_status, is_failure
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


_FIELD = type(field())
"""The placeholder for a field in the body of an attrs class, until attrs has made the class."""


@frozen
class Cause:
    """Why a scope was cancelled. To define a cause of your own, subclass it with ``@attrs.frozen``.

    Attributes:
        status: the HTTP status code of the answer, from 400 to 599. The answer is sent if the
            client is still connected and no part of a response has been written.
        headers: further headers of that answer, by name; none unless a subclass defines them, as a
            mapping, a property or a field.
    """

    status: ClassVar[int] = SERVICE_UNAVAILABLE

    @property
    def headers(self) -> Mapping[str, str]:
        """Further headers of the answer, such as ``{"Retry-After": "5"}``; none by default.

        A subclass may define a mapping, a property or a field instead. ``Connection: close``
        closes the connection after the answer; over HTTP/2 it is left out.
        """
        return {}

    def __init_subclass__(cls) -> None:
        """Check the subclass when it is defined, not when it is first used."""
        super().__init_subclass__()
        check_initialisers(cls, Cause.__setattr__)
        check_status(f"{cls.__name__}.status", cls.status)
        headers: object = cls.headers
        # A property or a field may differ for each instance, so it is checked when it is used.
        if callable(headers) or not (hasattr(headers, "__get__") or isinstance(headers, _FIELD)):
            check_headers(f"{cls.__name__}.headers", headers)


@frozen
class Disconnected(Cause):
    """The client left before it had the whole response.

    Attributes:
        failure: the failure of ``Request.notifyFinish``. None if the client left before cancelweb
            could call ``notifyFinish``, which then never fires (Twisted ticket 4899).
    """

    failure: Failure | None = field(default=None, validator=is_failure)

    def __str__(self) -> str:
        detail = "" if self.failure is None else f" ({self.failure.getErrorMessage()})"
        return f"the client disconnected{detail}"


@frozen
class TimedOut(Cause):
    """A time limit has expired.

    Attributes:
        seconds: the limit, in seconds.
        limit: the name of the option that set it, or of the header in which the client sent it.
    """

    seconds: float = field(validator=IS_SECONDS)
    limit: str = field(default="timeout", validator=IS_TEXT)

    def __str__(self) -> str:
        return f"timed out after {self.seconds:g} s ({self.limit})"


@frozen
class Draining(Cause):
    """The server is shutting down.

    Attributes:
        retry_after: how many seconds ``Retry-After`` asks the client to wait.
    """

    retry_after: int = field(default=1, validator=IS_COUNT)

    @property
    def headers(self) -> Mapping[str, str]:
        """See `Cause`: ``Retry-After``, and ``Connection: close``, as the server is going away."""
        return {"Retry-After": str(self.retry_after), "Connection": "close"}

    def __str__(self) -> str:
        return "the server is shutting down"


@frozen
class RapidReset(Cause):
    """The client has abandoned more requests than ``max_abandoned`` allows, and these still run."""

    status: ClassVar[int] = 429
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "5"}

    def __str__(self) -> str:
        return "too many abandoned requests of this connection are still running"


@frozen
class ResponseFinished(Cause):
    """The response was finished while tracked work was still running.

    This never cancels a scope. `Scope.check` raises it in leftover work, and it is the cause of
    leftover work that survives.
    """

    def __str__(self) -> str:
        return "the response was finished"


class ScopeCancelled(CancelledError):
    """Raised in work whose scope has been cancelled.

    Attributes:
        cause: why the scope was cancelled.
    """

    def __init__(self, cause: Cause) -> None:
        check_instance("cause", cause, Cause, "a cancelweb.Cause")
        super().__init__(safe_str(cause))
        self.cause = cause

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.cause,), vars(self)


class ContentLost(CancelledError, OSError):
    """Raised when a handler reads ``request.content`` after the client has left.

    Twisted closes the content when the client leaves. This is a ``CancelledError``, because work
    that ends with it was stopped, and an ``OSError``, because a file could not be read.

    Attributes:
        cause: the disconnect.
    """

    def __init__(self, cause: Disconnected) -> None:
        check_instance("cause", cause, Disconnected, "a cancelweb.Disconnected")
        super().__init__(safe_str(cause))
        self.cause = cause

    __reduce__ = ScopeCancelled.__reduce__


class Ended(IntEnum):
    """How the work of a request ended, from best to worst."""

    COMPLETED = 0
    """The work ran to its end, or there was none."""
    STOPPED = 1
    """The work was asked to stop, and its end was observed. Leftover work does not count."""
    LET_GO = 2
    """The work may still be running, as nothing could stop it or tell whether it has stopped."""
    FAILED = 3
    """The work failed with an error that is not the cancellation."""
    SURVIVED = 4
    """The work was still running ``survivor_after`` seconds after it was asked to stop."""
    REFUSED = 5
    """The work never began, because the client had left or was turned away."""


@frozen(slots=False)  # Without slots, instances are much faster to make.
class Outcome:
    """How one request ended. Observers receive it.

    A request has two outcomes if its scope closes before its handler is found, and the handler runs
    all the same because of the request's method. The second has the times of a second scope.

    Attributes:
        method: the request's method, such as ``b"GET"``.
        path: the request's target, still quoted, without the query.
        cause: why the scope was cancelled, or None if it was not.
        ended: how the work ended: the worst end of all tracked work.
        opened: when the scope was opened, in seconds on its clock (``time.time`` for a reactor).
        cancelled: when the scope was cancelled, or None.
        stopped: when all work had ended, been let go or been named a survivor, and hooks began.
        closed: when the scope closed, after its hooks.
        failure: the first failure that is not a cancellation, without its frames, or None.
        would_have_cancelled: the cause that a dry run, or the request's method, kept from
            cancelling the scope; or None.
        leftovers: how many pieces of work were still running when the response was finished, and
            were then asked to stop. That cancels nothing: ``cause`` and ``cancelled`` are None.
        status: the status code of the response, or None if no part of one was sent. After a result
            that was returned at once, or for a request turned away, Twisted is about to send it.
        sent: how many bytes of the body were written; how many arrived is unknown. A result that
            was returned at once counts uncompressed. A page that Twisted has yet to write in place
            of the handler's does not count.
        handler: the name of the innermost handler, such as ``shop.Report.render_GET``, or of the
            wrapped resource's class and ``render``. None if no handler was called.
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
"""Any callable with one argument, the `Outcome`. An exception that it raises is logged."""
