"""The attributes of a scope, which users may read but not set.

`scope` adds the methods for users. `parts` says what each attribute is for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from .._checks import shown
from ..causes import Cause, Ended
from .gauge import Gauge
from .life import Life
from .options import Options
from .parts import NOTHING_BEGAN, Limits, Stopping
from .states import Fate, LeftOpen, State

if TYPE_CHECKING:
    from .work import Work

FRESH = (State.RUNNING, Fate.OPEN, NOTHING_BEGAN, LeftOpen.NO, False)
"""The first values of `state`, `fate`, `began`, `left_open` and `has_own_context`."""


class BareSubject:
    """A scope that watches no work itself and has no response."""

    # Slots make setting a misspelt attribute fail, and cost less than a `__dict__`.
    __slots__ = (
        "__weakref__",
        "_cause",
        "_ended",
        "_life",
        "_request",
        "base",
        "began",
        "cancelled",
        "claim",
        "clock",
        "context",
        "fate",
        "handed_over",
        "handler",
        "has_own_context",
        "inner_handler",
        "left_open",
        "limits",
        "opened",
        "options",
        "state",
        "watched",
    )
    gauge: ClassVar[Gauge] = Gauge()
    began: tuple[object, Context | None]
    base: Context | None
    claim: object  # What work keeps alive that runs on when the scope has closed.
    handed_over: Work | None
    inner_handler: object
    left_open: LeftOpen
    limits: Limits | None
    watched: object
    _ended: Ended | None
    _life: Life | None

    def __init__(self, request: Any, options: Options, clock: IReactorTime) -> None:
        self._request: Request | None = request
        self.options = options
        self.clock = clock
        self.opened: float | None = None
        self.context: Context | None = None
        self.handler: object = None
        self._cause: Cause | None = None
        self.cancelled: float | None = None
        self.limits = self.watched = self.base = self.inner_handler = self.handed_over = None
        self.claim = None
        self.state, self.fate, self.began, self.left_open, self.has_own_context = FRESH
        self._ended = self._life = None

    def __repr__(self) -> str:
        return f"<Scope of {self.request!r}, {self.state.name.lower()}, cause: {self.cause}>"

    @property
    def request(self) -> Request | None:
        """See `Scope`."""
        return self._request

    @property
    def cause(self) -> Cause | None:
        """See `Scope`."""
        return self._cause

    @property
    def life(self) -> Life:
        """The life of the scope; after it has closed, a new one for each late call."""
        if self._life is not None:
            return self._life
        life = Life(self)
        if self.state is not State.CLOSED:
            self._life = life
        return life

    @property
    def ended(self) -> Ended:
        """How the work has ended so far; the worst end counts. Final once the scope has closed."""
        if self._ended is not None:
            return self._ended
        if self._life is not None:
            return self._life.record.ended
        # Without a life, a closed scope has a cause only if its work was stopped.
        was_stopped = self.state is State.CLOSED and self.cause is not None
        return Ended.STOPPED if was_stopped else Ended.COMPLETED

    @property
    def would_have_cancelled(self) -> Cause | None:
        """See `MonitoredScope`."""
        return None if self._life is None else self._life.record.would_have_cancelled

    def end(self) -> None:
        """See `Subject`."""
        self._ended = self._life.record.ended if self._life else self._ended
        self._request = self.context = self._life = None

    def hand_over(self, stopping: Stopping) -> None:
        """See `Subject`."""

    @property
    def is_in_call(self) -> bool:
        """See `Subject`."""
        return False

    @property
    def is_answered(self) -> bool:
        """See `Subject`."""
        return False

    @property
    def is_interruptible(self) -> bool:
        """See `Subject`."""
        return True

    def answer_cancel(self, cause: Cause) -> None:
        """See `Subject`."""

    def answered_with(self) -> tuple[int | None, int]:
        """See `Subject`."""
        return None, 0

    def finished_early(self) -> None:
        """See `Subject`."""

    def catch_up(self, is_reported_by_now: bool = False) -> None:
        """See `Subject`."""


_INSTEAD = {
    "cause": "To cancel the scope, call scope.cancel(cause).",
    "deadline": "To give the handler more time, call scope.limit(seconds).",
    "ended": "Observers receive it in the outcome.",
    "failure": "To fail the request, raise an exception in its handler.",
    "request": "To keep facts with a scope, call scope.note(name=fact).",
}
"""What to do instead of setting a property."""


def refuse_to_set(kind: type[BareSubject]) -> None:
    """Make assignments to the properties fail with advice, unlike Python's bare refusal."""
    for name, text in _INSTEAD.items():
        setattr(kind, name, getattr(kind, name).setter(_refusing(name, text)))


def _refusing(name: str, advice: str) -> Callable[[object, object], None]:
    def refuse(_: object, value: object) -> None:
        raise AttributeError(f"scope.{name} cannot be set, to {shown(value)}. {advice}")

    return refuse
