"""Wait for work that was asked to stop, until it is named a survivor (``survivor_after``).

One timer serves all work of a scope. `survivors` reports a survivor.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from twisted.internet.interfaces import IDelayedCall

from .parts import Subject
from .work import Work

SURVIVOR_AFTER = 5.0


class Patience:
    """The timer for work of one scope that was asked to stop."""

    def __init__(self, scope: Subject, is_up: Callable[[list[tuple[Work, float]]], object]) -> None:
        """Make a timer that waits for nothing yet.

        Args:
            scope: has the clock and ``survivor_after``.
            is_up: called with all work whose time is up, each with how many seconds it had.
        """
        self._scope = scope
        self._is_up = is_up
        # A heap: when the time of the work is up, a serial number, the seconds it had, the work.
        self._due: list[tuple[float, int, float, Work]] = []
        self._numbers = count()
        self._timer: IDelayedCall | None = None
        self._timer_due = 0.0

    def wait_for(self, work: Work) -> None:
        """Add work that was asked to stop and has not ended; call `start` afterwards."""
        seconds = seconds_for(work, self._scope)
        heappush(self._due, (work.asked_at + seconds, next(self._numbers), seconds, work))

    def start(self) -> None:
        """Set the timer for the work that is due next; idempotent."""
        if not self._due or (self._timer is not None and self._timer_due <= self._due[0][0]):
            return
        self.stop()
        self._timer_due = self._due[0][0]
        clock = self._scope.clock
        delay = max(0.0, self._timer_due - clock.seconds())
        # `_look` receives the due time, because the clock may show a little less by then.
        self._timer = clock.callLater(delay, self._look, self._timer_due)

    def _look(self, due: float) -> None:
        self._timer = None
        late = []
        while self._due and self._due[0][0] <= due:
            _, _, seconds, work = heappop(self._due)
            late.append((work, seconds))
        self.start()
        self._is_up(late)

    def stop(self) -> None:
        """Stop the timer; idempotent."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def seconds_for(work: Work, scope: Subject) -> float:
    """How many seconds work may take to stop before it is named a survivor."""
    usual = scope.options.survivor_after or SURVIVOR_AFTER
    return max(usual, work.canceller.survivor_after or 0.0)
