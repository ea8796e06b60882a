"""How a scope is cancelled: its deadline, the work that is asked to stop, and the survivors.

What follows when all of it has stopped is for `_lifetime`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._kinds.cancellers import Canceller
from ..causes import Cause, ResponseFinished, TimedOut
from .context import current
from .states import ASKED, CLOSED, FINISHED, LIVE, OPEN, RUNNING
from .tracking import Tracking
from .work import Work, ask_all, running

SURVIVOR_AFTER = 5.0


class Stopping(Tracking):
    """The deadline of a scope, and its cancel."""

    def _limit(self, seconds: float) -> None:
        deadline = self.clock.seconds() + seconds
        sooner = self.deadline is None or deadline < self.deadline
        if sooner and self.cause is None and self.fate is OPEN:
            self._disarm()
            self.is_bare = False
            self.deadline = deadline
            self._timer = self.clock.callLater(seconds, self._expire, seconds)

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def stop(self, cause: Cause, beside_returned: bool = False) -> bool:
        """Cancel: mark the scope, ask the work to stop, answer.

        Args:
            cause: why.
            beside_returned: leave alone what the handler returned.

        Returns:
            Whether this call did it; not so in a dry run, or when it had been done before.
        """
        if self.cause is not None:
            return False
        if self.options.dry_run and not isinstance(cause, ResponseFinished):
            self.record.would_have_cancelled = self.record.would_have_cancelled or cause
            return False
        self.cause = cause
        self.record.cancelled = self.clock.seconds()
        if self._timer is not None:
            self._disarm()
        if self.response is not None and current.get() is not self:
            self._stop_work(beside_returned)
            return True
        # The handler may be on the stack. What it returns is not known yet, and a coroutine that
        # runs loses a cancel.
        self._is_about_to_stop = True
        if self.response is not None:
            self.clock.callLater(0, self._stop_work, beside_returned)
        return True

    def respond_with(self, response: Any) -> None:
        """The handler's call has returned; what it returned is in these hands."""
        self.response = response
        if self._is_about_to_stop:
            self.clock.callLater(0, self._stop_work)

    def _expire(self, seconds: float) -> None:
        # Without a response the handler is on the stack, and has advanced the clock.
        if self.response is None or self.response.is_interruptible:
            self.stop(TimedOut(seconds))

    def _stop_work(self, beside_returned: bool = False) -> None:
        self._is_about_to_stop = False
        if self.phase is not LIVE:
            # All had ended before its turn to be asked; what hooks track is left to run.
            return
        self._ask(running(self.works, beside_returned))
        if self.phase is not CLOSED:
            self.response.answer(self.cause)
            self.advance()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is tracked inside, where it is to be stopped at once, is asked to together.

        A coroutine that is tracked late may itself track what it then awaits: asked each for
        itself, it would be cancelled twice, and its ``finally`` cut short.
        """
        if self.phase is CLOSED and self._late is None:
            late: list[Work] = []
            self._late = late
            try:
                yield
            finally:
                self._late = None
                self._ask(running(late))
            return
        if self.cause is None or self.phase is not LIVE or self._is_about_to_stop:
            yield
            return
        self._is_about_to_stop = True
        try:
            yield
        finally:
            self._is_about_to_stop = False
            self._ask(running(self.works, beside_returned=self.fate is FINISHED))

    @property
    def _patience(self) -> float:
        return self.options.survivor_after or SURVIVOR_AFTER

    def _ask(self, works: list[Work]) -> None:
        ask_all(works, self.clock, self._patience, self._call)
        if self.phase is CLOSED:
            for work in works:
                work.watch_over(self.clock, self._patience)
        elif self._timer is None:
            self._await_survivors()

    def _await_survivors(self) -> None:
        due = [work.due for work in self.works if work.step is ASKED]
        if due:
            delay = max(0.0, min(due) - self.clock.seconds())
            # Told what is due: the time when it is called may be less, by a rounding error.
            self._timer = self.clock.callLater(delay, self._name_survivors, min(due))

    def _name_survivors(self, due: float) -> None:
        self._timer = None
        for work in self.works:
            if work.step is ASKED and work.due <= due:
                work.survives(self._patience)
        self._await_survivors()
        self.advance()

    def _settle_the_mute(self) -> None:
        for work in self.works:
            if work.step is RUNNING and isinstance(work.canceller, Canceller):
                work.canceller.response_over()

    def _stop_rest(self, is_faked_head: bool) -> None:
        beside_returned = not is_faked_head
        if running(self.works, beside_returned):
            self.stop(ResponseFinished(), beside_returned)
