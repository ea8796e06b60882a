"""The attributes of a scope, which users may read but not set.

`scope` adds the methods for users. `parts` says what each attribute is for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any, ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from .._checks import shown
from ..causes import Cause, Ended
from .gauge import Gauge
from .life import Life
from .options import Options
from .parts import Limits, Stopping
from .rare import NOTHING_BEGAN, NOTHING_RARE, Rare
from .states import Fate, LeftOpen, State

COMPLETED, STOPPED = Ended.COMPLETED, Ended.STOPPED

FRESH = (State.RUNNING, Fate.OPEN, NOTHING_RARE, False)
"""The first values of `state`, `fate`, `rare` and `has_own_context`."""


class BareSubject:
    """A scope that watches no work itself and has no response."""

    # Slots make setting a misspelt attribute fail. Each request fills them all, so few is fast.
    __slots__ = (
        "__weakref__",
        "_cause",
        "_life",
        "_request",
        "cancelled",
        "clock",
        "context",
        "fate",
        "handler",
        "has_own_context",
        "limits",
        "opened",
        "options",
        "rare",
        "state",
        "watched",
    )
    gauge: ClassVar[Gauge] = Gauge()
    limits: Limits | None
    rare: Rare
    watched: object
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
        self.limits = self.watched = self._life = None
        self.state, self.fate, self.rare, self.has_own_context = FRESH

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

    def own_rare(self) -> Rare:
        """See `Subject`."""
        if self.rare is NOTHING_RARE:
            self.rare = Rare()
        return self.rare

    def leave_open(self, left_open: LeftOpen) -> None:
        """Note whether the response was left to unknown code."""
        if left_open is not self.rare.left_open:
            self.own_rare().left_open = left_open

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
        if self.rare.ended is not None:
            return self.rare.ended
        if self._life is not None:
            return self._life.record.ended
        # If nothing else is known, a closed scope has a cause only if its work was stopped.
        return STOPPED if self.state is State.CLOSED and self._cause is not None else COMPLETED

    @property
    def would_have_cancelled(self) -> Cause | None:
        """See `MonitoredScope`."""
        return None if self._life is None else self._life.record.would_have_cancelled

    def end(self) -> None:
        """See `Subject`."""
        ended = self.ended
        if ended is not (COMPLETED if self._cause is None else STOPPED):
            self.own_rare().ended = ended
        if self.rare is not NOTHING_RARE:
            self.rare.inner_handler, self.rare.began = None, NOTHING_BEGAN
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
