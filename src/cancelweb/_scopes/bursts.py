"""The default log: one line per request, and in a burst or storm one line per second for the rest.

Each clock has a log of its own. Nothing here formats text for a request that is only counted.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import cast
from weakref import finalize, ref

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorCore, IReactorTime
from twisted.python import threadable
from twisted.python.failure import Failure

from .._kinds.cancellers import global_reactor
from .._log import is_worth_a_line, log_one
from ..causes import Cause, Ended, Outcome
from .tallies import Tally, log_counts

FIRST = 100
"""How many requests of a second get a line of their own. The others are counted."""

MOST_PLACES = 100
"""How many places at which work was let go get a line each. A ``repr`` may be new each time."""

SECOND = 1.0


def log_outcome(outcome: Outcome) -> None:
    """Log requests that were cancelled or that failed, one line each, at level info.

    The event's keys are those of the `Outcome`, plus ``seconds``, how long the scope was open.
    The failure's traceback is not in it: that is an error event of its own, and the only one.

    In a burst only the first hundred requests get a line of their own. The others are counted by
    cause and path, one line per second, until a second has no more than a hundred.
    """
    # Elsewhere no timer would write the count: every request gets its line.
    if threadable.isInIOThread() and global_reactor().running:
        log_on(global_reactor(), outcome)
    elif is_worth_a_line(outcome):
        log_one(outcome)


def log_on(clock: IReactorTime, outcome: Outcome, context: Context | None = None) -> None:
    """As `log_outcome`, where the clock of the scope is known, and the context of its handler.

    A request that is only counted need not enter the context.
    """
    if is_worth_a_line(outcome):
        own = _LOGS.get(id(clock)) or _new_log(clock)
        own.add(outcome, clock, context)


def is_counted_with_others(
    clock: IReactorTime, now: float, kind: tuple[object, ...], page: tuple[bytes, bytes]
) -> bool:
    """Count a request in a burst if another of its kind was counted; returns whether it is.

    Args:
        clock: that of its scope.
        now: the time on it.
        kind: see `kind_of`.
        page: its method and path.
    """
    own = _LOGS.get(id(clock))
    if own is None or not own.is_in_second(now) or kind not in own.counted:
        return False
    own.counted[kind].add(page)
    return True


def kind_of(
    cause: Cause | None, ended: Ended, spared: Cause | None, failure: Failure | None
) -> tuple[object, ...]:
    """What a line of counts distinguishes."""
    return type(cause), ended, type(spared), None if failure is None else failure.type


def write_counts(clock: IReactorTime) -> None:
    """Write at once what is counted on a clock, and end its burst: a drain is over, say."""
    own = _LOGS.get(id(clock))
    if own is not None:
        # Also where the second that has just begun has none: it would be counted as a whole.
        own.end_burst(clock.seconds())


def is_end_of_second(function: object) -> bool:
    """Whether a delayed call with this function is there to write the line of a second."""
    return isinstance(getattr(function, "__self__", None), BurstLog)


def is_new_place(place: str, clock: IReactorTime) -> bool:
    """Whether a place, of which one line is to be logged, is new on a clock."""
    places = (_LOGS.get(id(clock)) or _new_log(clock)).places
    is_new = place not in places and len(places) < MOST_PLACES
    if is_new:
        places.add(place)
    return is_new


@define(eq=False)
class BurstLog:
    """What is logged of the requests on one clock.

    While something is counted there is a timer, and only then. Nothing here refers to the clock,
    so that it can be collected in the middle of a burst.

    Attributes:
        began: when the current second began, on the clock.
        logged: how many requests have had their own line in it. While a burst goes on, a second
            begins with `FIRST`: all of it is counted.
        counted: the others, by what a line distinguishes.
        places: those at which work was let go, and that have had their line; `MOST_PLACES` at most.
        is_at_shutdown: whether the reactor calls us when it stops.
    """

    began: float = float("-inf")
    logged: int = 0
    counted: dict[tuple[object, ...], Tally] = field(factory=dict)
    places: set[str] = field(factory=set)
    is_at_shutdown: bool = False
    _timer: Callable[[], IDelayedCall | None] = lambda: None

    def add(self, outcome: Outcome, clock: IReactorTime, context: Context | None) -> None:
        """Log it, or count it."""
        now = clock.seconds()
        if not self.is_in_second(now):
            self._next_second(now)
        if self.logged < FIRST:
            self.logged += 1
            if context is None:
                log_one(outcome)
            else:
                context.copy().run(log_one, outcome)
        else:
            self._count(outcome, clock, now)

    def is_in_second(self, now: float) -> bool:
        """Whether the current second goes on."""
        return self.began <= now < self.began + SECOND

    def _next_second(self, now: float) -> None:
        # If something is counted, its timer is late: the turn of the reactor is long.
        if self.counted:
            self._write(now)
        else:
            self.began, self.logged = now, 0

    def _count(self, outcome: Outcome, clock: IReactorTime, now: float) -> None:
        spared = outcome.would_have_cancelled
        key = kind_of(outcome.cause, outcome.ended, spared, outcome.failure)
        tally = self.counted.get(key)
        if tally is None:
            tally = Tally.like(outcome)
            if not self.counted:
                self._arm(clock, now)
            self.counted[key] = tally
        tally.add((outcome.method, outcome.path))

    def _arm(self, clock: IReactorTime, now: float) -> None:
        # In an empty context: a reactor of asyncio keeps the one that this is called in, and with
        # it the request.
        arm = Context().run
        delay = self.began + SECOND - now
        timer = arm(clock.callLater, delay, self._second_over, clock, self.counted)
        self._timer = ref(timer)
        if not self.is_at_shutdown and IReactorCore.providedBy(clock):
            self.is_at_shutdown = True
            # Clients whose connections are closed by the shutdown are counted "during" it.
            core = cast(IReactorCore, clock)
            arm(core.addSystemEventTrigger, "after", "shutdown", self._shut_down, clock)

    def _second_over(self, clock: IReactorTime, counted: object) -> None:
        # A late timer may find that its second has been written.
        if counted is self.counted:
            self._write(clock.seconds())

    def end_burst(self, now: float) -> None:
        """Write what is counted; the next requests have lines of their own."""
        timer = self._timer()
        if timer is not None and timer.active():
            timer.cancel()
        self._write(now)
        self.began, self.logged = now, 0

    def _shut_down(self, clock: IReactorTime) -> None:
        self.is_at_shutdown = False
        self._write(clock.seconds())

    def _write(self, now: float) -> None:
        counted, seconds = self.counted.values(), max(0.0, now - self.began)
        goes_on = sum(tally.count for tally in counted) > FIRST
        self.began, self.logged, self.counted = now, FIRST if goes_on else 0, {}
        log_counts(counted, seconds)


_LOGS: dict[int, BurstLog] = {}
"""By the id of the clock, which is in here for as long as it lives: not all can be hashed."""


def _new_log(clock: IReactorTime) -> BurstLog:
    own = BurstLog()
    try:
        finalize(clock, _LOGS.pop, id(clock), None).atexit = False
    except TypeError:
        # Nothing would tell of its end. It has a new log for each request, and so a line for each.
        return own
    _LOGS[id(clock)] = own
    return own
