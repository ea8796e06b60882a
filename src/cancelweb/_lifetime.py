"""How a scope is brought to its end: stop the work, wait, clean up, tell, let go.

The machinery below `Scope`, which is what users see. It is told of the request's fate, and has
`_respond` answer; it does nothing to a request itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, TypeVar

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ._cancellers import find_canceller
from ._context import call_in, current
from ._hooks import CLEANUP_TIMEOUT, Hook, run_hook
from ._log import log_outcome, name_of
from ._options import Options
from ._record import Record, tell
from ._states import (
    ASKED,
    CLEANING,
    CLOSED,
    FINISHED,
    LIVE,
    LOST,
    OPEN,
    RUNNING,
    Fate,
    Phase,
)
from ._watching import Canceller, watch
from ._work import Work, ask_all, is_unsettled, running
from .causes import Cause, Ended, Observer, ResponseFinished, TimedOut

R = TypeVar("R")

SURVIVOR_AFTER = 5.0


@define(eq=False, repr=False)
class Lifetime:
    """The closing sequence, and what it needs to know."""

    request: Any
    options: Options
    cause: Cause | None = None
    deadline: float | None = None
    fate: Fate = OPEN
    phase: Phase = LIVE
    opened: float | None = None
    response: Any = None
    """What Twisted has been given for a response that is not there yet: its ``answer(cause)`` is
    called in the turn of the cancel, and ``is_interruptible`` tells whether the deadline counts."""
    _clock: IReactorTime | None = None
    _work: dict[Work, None] | None = None
    _hooks: list[tuple[Hook, bool]] | None = None
    _context: Context | None = None
    _timer: IDelayedCall | None = None
    """Until the cancel, the deadline's; after it, the survivors'."""
    _record: Record | None = None
    _has_tracked: bool = False
    """Whether there was ever other work than what the handler returned."""
    _is_about_to_stop: bool = False
    """Cancelled, and the work will be asked in the next turn."""

    @property
    def clock(self) -> IReactorTime:
        """Where the scope takes its time from."""
        if self._clock is None:
            self._clock = self.options.clock_for(self.request)
        return self._clock

    @property
    def record(self) -> Record:
        """What is noted for the outcome."""
        if self._record is None:
            self._record = Record()
        return self._record

    # --- opening ---

    def enter(self, options: Options) -> None:
        """A door has brought its request here: take on its hooks and its deadline."""
        for hook, for_cancelled in options.hooks:
            self.add_hook(hook, for_cancelled)
        if options.timeout is not None:
            self._limit(options.timeout)
        if options.observers and self.opened is None:
            self.opened = self.clock.seconds()

    def join(self, options: Options) -> None:
        """Another door has met the same request."""
        if not self.options.includes(options):
            self.options = self.options.joined(options)
            self._clock = None
            self.enter(options)

    def suspend(self) -> None:
        """The handler goes on after its call has returned: keep its context."""
        self._context = copy_context()
        if self.opened is None:
            if self._clock is None:
                self._clock = self.options.clock_for(self.request)
            self.opened = self._clock.seconds()

    def _limit(self, seconds: float) -> None:
        deadline = self.clock.seconds() + seconds
        sooner = self.deadline is None or deadline < self.deadline
        if sooner and self.cause is None and self.fate is OPEN:
            self._disarm()
            self.deadline = deadline
            self._timer = self.clock.callLater(seconds, self._expire, seconds)

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def add_hook(self, hook: Hook, for_cancelled: bool) -> None:
        """Take on a hook; run it at once, if its occasion has been."""
        if self._is_cancelled if for_cancelled else self.phase is CLOSED:
            Deferred.fromCoroutine(self._run_hook(hook))
        elif self.phase is not CLOSED:
            if self._hooks is None:
                self._hooks = []
            self._hooks.append((hook, for_cancelled))

    @property
    def _is_cancelled(self) -> bool:
        # In a dry run the only cause is that the response was finished.
        return self.cause is not None and not self.options.dry_run

    # --- work ---

    def in_context(self, function: Callable[..., R], *args: Any) -> R:
        """Call so that the handler's context variables are seen."""
        return function(*args) if current.get() is self else self._call(function, *args)

    def _call(self, function: Callable[..., R], *args: Any) -> R:
        return call_in(self, self._context, function, *args)

    def add(self, work: Work) -> None:
        """Take on a piece of work; on a scope that is cancelled or closed, stop it."""
        if not work.is_returned:
            self._has_tracked = True
        if self.phase is CLOSED:
            work.keeper = None
        elif self._work is None:
            self._work = {work: None}
        else:
            self._work[work] = None
        if type(work.canceller) is Deferred:
            # As `watch` does, for the commonest kind.
            work.canceller.addCallbacks(work.settled, work.settled)
        else:
            self.in_context(watch, work.canceller, work.settled)
        too_late = self.cause is not None or self.phase is not LIVE
        if too_late and work.step is RUNNING and self._is_to_stop(work):
            self._ask([work])

    def _is_to_stop(self, work: Work) -> bool:
        """Whether work that comes late is to be stopped at once.

        What hooks track is left to run until they are through, and what a handler returned is
        left to run when the response is finished.
        """
        if self.phase is not LIVE:
            return self.phase is CLOSED
        if self._is_about_to_stop:
            # With the rest, so that each piece of work is reached just once.
            return False
        return self.fate is not FINISHED or not work.is_returned

    def drop(self, work: Work) -> None:
        """See `Keeper`."""
        (self._work or {}).pop(work, None)

    @property
    def is_working(self) -> bool:
        """Whether there is work to wait for."""
        return any(is_unsettled(work) for work in self._work or ())

    # --- stopping ---

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
        works = running(self._work)
        if beside_returned:
            works = [work for work in works if not work.is_returned]
        self._ask(works)
        if self.response is not None and self.cause is not None:
            self.response.answer(self.cause)
        self.advance()

    def _ask(self, works: list[Work]) -> None:
        patience = self.options.survivor_after or SURVIVOR_AFTER
        ask_all(works, self.clock, patience, self._call)
        if self._timer is None and self.phase is not CLOSED:
            self._await_survivors()

    def _await_survivors(self) -> None:
        due = [work.due for work in self._work or () if work.step is ASKED]
        if due:
            delay = max(0.0, min(due) - self.clock.seconds())
            # Told what is due: the time when it is called may be less, by a rounding error.
            self._timer = self.clock.callLater(delay, self._name_survivors, min(due))

    def _name_survivors(self, due: float) -> None:
        self._timer = None
        for work in list(self._work or ()):
            if work.step is ASKED and work.due <= due:
                work.survives(self.options.survivor_after or SURVIVOR_AFTER)
        self._await_survivors()
        self.advance()

    # --- ending ---

    def end(self, fate: Fate, cause: Cause | None = None, is_faked_head: bool = False) -> None:
        """The request is finished or lost.

        Args:
            fate: which of the two; the first that is told counts.
            cause: what to cancel the scope with.
            is_faked_head: the response is finished, and what the handler returned is to be
                stopped all the same.
        """
        if self.fate is not OPEN:
            return
        self.fate = fate
        if cause is None and self.discard():
            return
        if cause is not None:
            self.stop(cause)
        elif fate is FINISHED and self.cause is None:
            self._disarm()
            if self._has_tracked or is_faked_head:
                self._stop_rest(is_faked_head and not self.options.dry_run)
        self._settle_the_mute()
        self.advance()

    def _settle_the_mute(self) -> None:
        for work in list(self._work or ()):
            if work.step is RUNNING and isinstance(work.canceller, Canceller):
                work.canceller.response_over()

    def _stop_rest(self, is_faked_head: bool) -> None:
        works = running(self._work)
        if not is_faked_head:
            works = [work for work in works if not work.is_returned]
        if works:
            self.stop(ResponseFinished(), beside_returned=not is_faked_head)

    def advance(self) -> None:
        """Clean up and close, if the request has ended and there is no work to wait for."""
        if self.phase is not LIVE or self.fate is OPEN:
            return
        if not self._work and self.discard():
            return
        if not self.is_working:
            self._clean_up()
        elif self._has_tracked and not self._awaits_returned():
            # Tracked after the response was finished; or lost with nothing left to return.
            self._stop_rest(is_faked_head=False)

    def _awaits_returned(self) -> bool:
        return any(work.is_returned and is_unsettled(work) for work in self._work or ())

    def refuse(self, cause: Cause) -> None:
        """The handler was not run: its client had gone."""
        self.cause = cause
        self.record.cancelled = self.clock.seconds()
        self.record.worsen(Ended.REFUSED)
        self.end(LOST)

    def discard(self) -> bool:
        """Close at once, if there is nothing to wait for, to run and to tell."""
        if self._work or self._hooks or self._record or self.options.observers:
            return False
        if self._timer is not None:
            self._disarm()
        self.phase = CLOSED
        self.request = self.response = self._context = None
        return True

    def abandon(self) -> None:
        """Close without hooks and observers: the handler is about to be called once more."""
        self._let_go()

    def _clean_up(self) -> None:
        self.phase = CLEANING
        self._disarm()
        if self._hooks:
            Deferred.fromCoroutine(self._run_hooks())
        else:
            self._close()

    async def _run_hooks(self) -> None:
        while self._hooks:
            hook, for_cancelled = self._hooks.pop()
            if not for_cancelled or self._is_cancelled:
                await self._run_hook(hook)
        self._close()

    async def _run_hook(self, hook: Hook) -> None:
        def start() -> object:
            return self._call(lambda: find_canceller(hook(self)))

        seconds = self.options.cleanup_timeout or CLEANUP_TIMEOUT
        await run_hook(start, name_of(hook), seconds, self.clock)

    def _close(self) -> None:
        observers = self._observers()
        if not observers:
            self._let_go()
            return
        closed = self.clock.seconds()
        opened = closed if self.opened is None else self.opened
        outcome = self.record.outcome(self.request, self.cause, opened, closed)
        self._let_go()
        tell(observers, outcome)

    def _observers(self) -> tuple[Observer, ...]:
        if self.options.observers is None:
            return () if self._record is None else (log_outcome,)
        return self.options.observers

    def _let_go(self) -> None:
        works, self.phase = self._work, CLOSED
        if works:
            self._ask(running(works))
            for work in works:
                work.forget()
        self._disarm()
        self.request = self.response = self._work = self._hooks = self._context = None
        self._record = None
