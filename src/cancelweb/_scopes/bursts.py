"""The default observer `log_outcome`: one line per request, or per second in a burst.

Each clock has its own log and counts. No text is formatted for a request that is only counted.
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

from .._checks import check_instance
from .._kinds.cancellers import global_reactor
from .._log import is_worth_a_line, log_one
from ..causes import Cause, Ended, Outcome
from .tallies import Tally, log_counts

FIRST = 100
"""How many requests per second get a line of their own. The others are counted."""

MOST_PLACES = 100
"""How many places get a line on a clock: where work was let go, and what `mistakes` logs once. A
place may be a ``repr``, so their number must be bounded."""

SECOND = 1.0


def log_outcome(outcome: Outcome) -> None:
    """Log a request that was cancelled or that failed, in one line at level info.

    The event has the fields of the `Outcome` as keys, and ``seconds``, how long the scope was open.
    It has no traceback: that is in the error event of the failure, which is logged separately.

    In a burst, only the first hundred requests of a second get a line of their own. One line per
    second counts the others by cause and path, until a second has at most a hundred.

    Args:
        outcome: how the request ended. Requests that completed are not logged.
    """
    check_instance("outcome", outcome, Outcome, "a cancelweb.Outcome")
    # Without a running reactor, or in another thread, no timer would write the counts.
    if threadable.isInIOThread() and global_reactor().running:
        log_on(global_reactor(), outcome)
    elif is_worth_a_line(outcome):
        log_one(outcome)


def log_on(clock: IReactorTime, outcome: Outcome, context: Context | None = None) -> None:
    """Do the same as `log_outcome`, on the clock of the scope and in the context of its handler.

    A request that is only counted does not enter the context.
    """
    if is_worth_a_line(outcome):
        own = _LOGS.get(id(clock)) or _new_log(clock)
        own.add(outcome, clock, context)


def is_counted_with_others(
    clock: IReactorTime, now: float, kind: tuple[object, ...], page: tuple[bytes, bytes]
) -> bool:
    """Count a request if another of its kind was counted in this second.

    Args:
        clock: the clock of its scope.
        now: the time on that clock.
        kind: see `kind_of`.
        page: its method and path.

    Returns:
        Whether the request was counted.
    """
    own = _LOGS.get(id(clock))
    if own is None or not own.is_in_second(now) or kind not in own.counted:
        return False
    own.counted[kind].add(page)
    return True


def kind_of(
    cause: Cause | None, ended: Ended, spared: Cause | None, failure: Failure | None
) -> tuple[object, ...]:
    """The key by which requests are counted together."""
    return type(cause), ended, type(spared), None if failure is None else failure.type


def write_counts(clock: IReactorTime) -> None:
    """Write the counts of a clock now and end its burst, for example at the end of a drain."""
    own = _LOGS.get(id(clock))
    if own is not None:
        # End it even if nothing is counted yet, because a burst counts the next second as a whole.
        own.end_burst(clock.seconds())


def is_end_of_second(function: object) -> bool:
    """Whether this function, of a delayed call, writes the counts of a second."""
    return isinstance(getattr(function, "__self__", None), BurstLog)


def is_new_place(place: str, clock: IReactorTime) -> bool:
    """Whether a place is new on a clock, and so gets its only line."""
    places = (_LOGS.get(id(clock)) or _new_log(clock)).places
    is_new = place not in places and len(places) < MOST_PLACES
    if is_new:
        places.add(place)
    return is_new


@define(eq=False)
class BurstLog:
    """The log of the requests on one clock.

    There is a timer exactly while something is counted. Nothing here refers to the clock, so that
    it can be garbage-collected in the middle of a burst.

    Attributes:
        began: when the current second began, on the clock.
        logged: how many requests of this second got their own line. While a burst goes on, each
            second begins with `FIRST`, so that all its requests are counted.
        counted: the other requests, by `kind_of`.
        places: the places that got the one line for each; at most `MOST_PLACES`.
        is_at_shutdown: whether the reactor will call `_shut_down` when it stops.
    """

    began: float = float("-inf")
    logged: int = 0
    counted: dict[tuple[object, ...], Tally] = field(factory=dict)
    places: set[str] = field(factory=set)
    is_at_shutdown: bool = False
    _timer: Callable[[], IDelayedCall | None] = lambda: None

    def add(self, outcome: Outcome, clock: IReactorTime, context: Context | None) -> None:
        """Log a request in its own line, or count it."""
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
        """Whether this time is in the current second."""
        return self.began <= now < self.began + SECOND

    def _next_second(self, now: float) -> None:
        # If something is still counted, a long reactor turn has made the timer late.
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
        # An asyncio reactor keeps the context of this call, so an empty one keeps no request alive.
        arm = Context().run
        delay = self.began + SECOND - now
        timer = arm(clock.callLater, delay, self._second_over, clock, self.counted)
        self._timer = ref(timer)
        if not self.is_at_shutdown and IReactorCore.providedBy(clock):
            self.is_at_shutdown = True
            # Requests are still counted "during" the shutdown, which closes their connections.
            core = cast(IReactorCore, clock)
            arm(core.addSystemEventTrigger, "after", "shutdown", self._shut_down, clock)

    def _second_over(self, clock: IReactorTime, counted: object) -> None:
        # The counts of this second may have been written before a late timer.
        if counted is self.counted:
            self._write(clock.seconds())

    def end_burst(self, now: float) -> None:
        """Write the counts; the next requests get lines of their own again."""
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
"""The logs by the id of their clock, as not every clock has a hash. A finalizer removes each."""


def _new_log(clock: IReactorTime) -> BurstLog:
    own = BurstLog()
    try:
        finalize(clock, _LOGS.pop, id(clock), None).atexit = False
    except TypeError:
        # This clock has no weak references, so its log could never be removed. It gets a new log,
        # and so a line, for each request.
        return own
    _LOGS[id(clock)] = own
    return own
