"""What the parts of a scope need of each other: protocols only.

A scope has a life while it is open; the life has work, which is stopped, hooks, and a record.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from twisted.internet.interfaces import IReactorTime

from .._kinds.cancellers import Canceller
from ..causes import Cause, Ended
from .gauge import Gauge
from .options import Options
from .states import Fate, LeftOpen, State

if TYPE_CHECKING:
    from .work import Work

R = TypeVar("R")


class Life(Protocol):
    """What the parts of a life ask of it."""

    @property
    def has_asked(self) -> bool:
        """Whether it has asked work to stop; then cancellations of its work are its own."""

    @property
    def returned(self) -> object:
        """What the handler has returned and still runs; None if the scope itself has started it."""

    def work_ended(self, work: Work, result: object) -> object:
        """Work has ended; returns what is left of its result for the next callback."""

    def work_survived(self, work: Work, seconds: float) -> Callable[[], object]:
        """Work still runs so long after it was asked; returns what to call when it has ended."""

    def expired(self, cause: Cause) -> None:
        """A time limit of the running scope is over."""

    def leftover_asked(self, works: list[Work]) -> None:
        """Leftover work is about to be asked to stop; the request was not cancelled."""

    def ask_now(self) -> None:
        """It is the turn of the work to be asked to stop."""

    def go_on(self) -> None:
        """There may be nothing left to wait for."""


class Stopping(Protocol):
    """What takes a scope's work over."""

    def adopt(
        self, canceller: Canceller, arrived: Callable[[Any], object], asked_at: float | None
    ) -> Work:
        """Take over the returned work that a scope has watched itself, and goes on watching.

        Args:
            canceller: how it is stopped.
            arrived: takes its result.
            asked_at: when the scope has asked it to stop, or None.

        Returns:
            What the scope tells of the end of this work.
        """


class Limits(Protocol):
    """What a scope asks of its time limits."""

    def take_on(self, options: Options) -> None:
        """An entry point has met the request of a RUNNING scope: its limits count from now."""

    def set_timeout(self, seconds: float | None) -> None:
        """Set anew how long nothing may be written, counting from now; None for no limit."""

    def stop(self) -> None:
        """The scope is not RUNNING any more, and none of them holds; idempotent."""

    def deadline(self, has_begun: bool) -> float | None:
        """When they cancel the scope if nothing is written till then; or when they did.

        Any thread may ask.

        Args:
            has_begun: whether the response has; then it depends on the total alone.
        """


class Subject(Protocol):
    """A scope, as far as its life and the parts of that need it.

    The parts refer to the scope alone: it drops its life when it closes, and no cycle is left.
    """

    request: Any
    options: Options
    clock: IReactorTime
    cause: Cause | None
    state: State
    fate: Fate
    opened: float | None
    cancelled: float | None
    limits: Limits | None
    context: Context | None
    base: Context | None
    began: tuple[object, Context | None]
    has_own_context: bool
    handler: object
    inner_handler: object
    left_open: LeftOpen

    @property
    def gauge(self) -> Gauge:
        """Tells how far its response has come."""

    @property
    def life(self) -> Life:
        """What is under way in it."""

    @property
    def watched(self) -> object:
        """The one piece of work that it watches itself, if there is one; not handed over yet."""

    def hand_over(self, stopping: Stopping) -> None:
        """Have this piece of work, if there is one, be stopped and waited for with the rest."""

    @property
    def ended(self) -> Ended:
        """How its work has ended, so far."""

    @property
    def would_have_cancelled(self) -> Cause | None:
        """What would have cancelled it, but for a dry run or its method."""

    @property
    def is_in_call(self) -> bool:
        """Whether the handler's call has not returned yet."""

    @property
    def is_answered(self) -> bool:
        """Whether the response is finished, though nothing may have told so yet."""

    @property
    def is_interruptible(self) -> bool:
        """Whether a disconnect or a time limit may cancel it."""

    def answer_cancel(self, cause: Cause) -> None:
        """It was cancelled, and its work was asked to stop: answer a client that still waits."""

    def catch_up(self, is_reported_by_now: bool = False) -> None:
        """A report that the request is over may be missing: look whether it is.

        Args:
            is_reported_by_now: a loss that has not been reported never will be. Otherwise one of
                the listeners that Twisted is telling may have called us.
        """

    def answered_with(self) -> tuple[int | None, int]:
        """The status of the response, None if there was none; and how many bytes were written."""

    def end(self) -> None:
        """It has closed: let go of the request and of this life."""


class BareSubject:
    """A scope that watches no work itself and has no response to look after."""

    gauge: ClassVar[Gauge] = Gauge()
    limits: Limits | None = None
    watched: object = None
    # Defaults of the class: a request pays for no more than it changes.
    cause: Cause | None = None
    cancelled: float | None = None
    base: Context | None = None
    began: tuple[object, Context | None] = (None, None)
    left_open = LeftOpen.NO
    has_own_context = False
    inner_handler: object = None
    handed_over: Work | None = None

    def __init__(self, request: Any, options: Options, clock: IReactorTime) -> None:
        self.request = request
        self.options = options
        self.clock = clock
        self.state = State.RUNNING
        self.fate = Fate.OPEN
        self.opened: float | None = None
        self.context: Context | None = None
        self.handler: object = None

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

    def catch_up(self, is_reported_by_now: bool = False) -> None:
        """See `Subject`."""
