"""How a scope is opened, and how it ends: wait, clean up, tell, let go.

The machinery below `Scope`, which is what users see. It is told of the request's fate, and has
`_respond` answer; it does nothing to a request itself.
"""

from __future__ import annotations

from contextvars import copy_context
from typing import Any

from twisted.internet.defer import Deferred

from .._log import log_outcome, name_of
from ..causes import Cause, Ended, Observer
from .hooks import CLEANUP_TIMEOUT, Hook, result_of, run_hook
from .options import Options, added
from .record import tell
from .states import (
    CLEANING,
    CLOSED,
    FINISHED,
    LIVE,
    LOST,
    OPEN,
    Fate,
)
from .stopping import Stopping
from .work import is_unsettled, running


class Lifetime(Stopping):
    """The closing sequence."""

    def enter(self, options: Options) -> None:
        """A door has brought its request here: take on its hooks and its deadline."""
        for hook, for_cancelled in options.hooks:
            self.add_hook(hook, for_cancelled)
        if options.timeout is not None:
            self._limit(options.timeout)
        if options.observers:
            self.is_bare = False
        for monitor in options.monitors:
            monitor.scope_opened(self)
        if self.opened is None and (options.monitors or options.observers):
            self.opened = self.clock.seconds()

    def join(self, options: Options) -> None:
        """Another door has met the same request."""
        if not self.options.includes(options):
            self.options = self.options.joined(options)
            if options.clock is not None:
                self._clock = options.clock
            self.enter(options)

    def suspend(self, request: Any) -> None:
        """The handler goes on after its call has returned: keep its context."""
        self._context = copy_context()
        if self.opened is None:
            self._clock = self.options.clock_for(request)
            self.opened = self._clock.seconds()

    def add_hook(self, hook: Hook, for_cancelled: bool) -> None:
        """Take on a hook; run it at once, if its occasion has been."""
        if self._is_cancelled if for_cancelled else self.phase is CLOSED:
            self._run_hook(hook)
        elif self.phase is not CLOSED:
            self.is_bare = False
            if self._hooks is None:
                self._hooks = []
            self._hooks.append((hook, for_cancelled))

    @property
    def _is_cancelled(self) -> bool:
        # In a dry run the only cause is that the response was finished.
        return self.cause is not None and not self.options.dry_run

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
            if self.phase is CLOSED:
                return
        elif fate is FINISHED and self.cause is None:
            self._disarm()
            if self._has_tracked or is_faked_head:
                self._stop_rest(is_faked_head and not self.options.dry_run)
        if self._work:
            self._settle_the_mute()
        if self._has_tracked or self._is_idle or self.cause is not None:
            self.advance()
        # Otherwise there is only what the handler returned, which will tell when it ends.

    def advance(self) -> None:
        """Clean up and close, if the request has ended and there is no work to wait for."""
        if self.phase is not LIVE or self.fate is OPEN:
            return
        if self._is_idle or not self.is_working:
            self._clean_up()
        elif self._has_tracked and not self._awaits_returned():
            # Tracked after the response was finished; or lost with nothing left to return.
            self._stop_rest(is_faked_head=False)

    def _awaits_returned(self) -> bool:
        return any(work.is_returned and is_unsettled(work) for work in self.works)

    def refuse(self, cause: Cause) -> None:
        """The handler was not run: its client had gone."""
        self.cause = cause
        self.opened = self.record.cancelled = self.clock.seconds()
        self.record.worsen(Ended.REFUSED)
        self.end(LOST)

    def discard(self) -> bool:
        """Close at once, if there is nothing to wait for, to run and to tell."""
        if not self.is_bare or self.returned is not None:
            return False
        if self.options.monitors:
            observers = self._tell_monitors()
            if observers:
                self._tell(observers)
                return True
        self.phase = CLOSED
        self.request = self.response = self._context = None
        return True

    def abandon(self) -> None:
        """Close without hooks and observers: the handler is about to be called once more."""
        for monitor in self.options.monitors:
            monitor.scope_abandoned(self)
        self._let_go()

    def _clean_up(self) -> None:
        self.phase = CLEANING
        if self._timer is not None:
            self._disarm()
        if self._hooks:
            self._stopped = self.clock.seconds()
        self._run_hooks()

    def _run_hooks(self) -> None:
        while self._hooks:
            hook, for_cancelled = self._hooks.pop()
            if not for_cancelled or self._is_cancelled:
                ended = self._run_hook(hook)
                if ended is not None and not ended.called:
                    ended.addCallback(lambda _: self._run_hooks())
                    return
        self._close()

    def _run_hook(self, hook: Hook) -> Deferred[None] | None:
        def start() -> object:
            return self._call(result_of, hook, self)

        seconds = self.options.cleanup_timeout or CLEANUP_TIMEOUT
        return run_hook(start, name_of(hook), seconds, self.clock)

    def _close(self) -> None:
        observers = added(self._observers(), self._tell_monitors())
        if observers:
            self._tell(observers)
        else:
            self._let_go()

    def _tell_monitors(self) -> tuple[Observer, ...]:
        observers: tuple[Observer, ...] = ()
        for monitor in self.options.monitors:
            more = monitor.scope_closed(self)
            if more:
                observers = added(observers, more)
        return observers

    def _tell(self, observers: tuple[Observer, ...]) -> None:
        closed = self.clock.seconds()
        stopped = closed if self._stopped is None else self._stopped
        outcome = self.record.outcome(self.request, self.cause, self.opened, stopped, closed)
        self._let_go()
        tell(observers, outcome)

    @property
    def ended(self) -> Ended:
        """How its work has ended, so far."""
        return Ended.COMPLETED if self._record is None else self._record.ended

    @property
    def would_have_cancelled(self) -> Cause | None:
        """What would have cancelled it, but for a dry run or its method."""
        return None if self._record is None else self._record.would_have_cancelled

    def _observers(self) -> tuple[Observer, ...]:
        if self.options.observers is None:
            return () if self._record is None else (log_outcome,)
        return self.options.observers

    def _let_go(self) -> None:
        self.phase = CLOSED
        if not self._is_idle:
            works = self.works
            self._ask(running(works))
            for work in works:
                work.forget()
        if self._timer is not None:
            self._disarm()
        self.request = self.response = self.returned = self._work = self._hooks = None
        self._context = self._record = None
