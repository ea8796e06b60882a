"""What a scope is made of, and what it tracks.

How it is asked to stop is for `_stopping`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .._kinds.cancellers import Canceller, watch
from ..causes import Cause
from .context import call_in, current
from .hooks import Hook
from .options import Options
from .record import Record
from .states import CLOSED, FINISHED, LIVE, OPEN, RUNNING, SETTLED, Fate, Phase
from .work import Work, is_unsettled

R = TypeVar("R")


class Tracking:
    """The state of a scope, and its work.

    Made without arguments; `_serve` tells it the request and the options. Not of attrs,
    since most requests need no more of a scope than that it can be found: what is the same for all
    of them stands in the class until it changes.
    """

    request: Any = None
    options: Options
    cause: Cause | None = None
    deadline: float | None = None
    fate: Fate = OPEN
    phase: Phase = LIVE
    opened: Any = None
    """When; known once the handler's call has returned, or was refused."""
    response: Any = None
    """What Twisted has been given for a response that is not there yet: its ``answer(cause)`` is
    called in the turn of the cancel, and ``is_interruptible`` tells whether the deadline counts."""
    returned: Work | None = None
    """What the handler returned, if there is no other work, until it has settled."""
    is_bare: bool
    """Whether there was nothing yet but what the handler returned: nothing else to wait for, to
    run, or to tell."""
    _clock: IReactorTime | None = None
    _work: dict[Work, None] | None = None
    """All other work."""
    _hooks: list[tuple[Hook, bool]] | None = None
    _context: Context | None = None
    _timer: IDelayedCall | None = None
    """Until the cancel, the deadline's; after it, the survivors'."""
    _stopped: float | None = None
    """When the hooks began, if there were any."""
    _record: Record | None = None
    _has_tracked: bool = False
    """Whether there was ever other work than what the handler returned."""
    _late: list[Work] | None = None
    """What is tracked on a closed scope, until it is asked."""
    _is_about_to_stop: bool = False
    """Cancelled, and the work will be asked in the next turn."""

    @property
    def clock(self) -> IReactorTime:
        """Where the scope takes its time from."""
        if self._clock is None:
            self._clock = self.options.clock_for(self.request)
        return self._clock

    def find_clock(self, request: Any) -> None:
        """Find the clock while there is a request to tell: what comes late may need it."""
        if self._clock is None and request is not None:
            self._clock = self.options.clock_for(request)

    @property
    def record(self) -> Record:
        """What is noted for the outcome."""
        if self._record is None:
            self.is_bare = False
            self._record = Record()
        return self._record

    @property
    def monitors(self) -> tuple[Any, ...]:
        """Who are told of survivors."""
        return self.options.monitors

    def advance(self) -> None:
        """See `Lifetime.advance`."""

    def _ask(self, works: list[Work]) -> None:
        """See `Stopping`."""

    def in_context(self, function: Callable[..., R], *args: Any) -> R:
        """Call so that the handler's context variables are seen."""
        return function(*args) if current.get() is self else self._call(function, *args)

    def _call(self, function: Callable[..., R], *args: Any) -> R:
        return call_in(self, self._context, function, *args)

    def add(self, work: Work) -> None:
        """Take on a piece of work; on a scope that is cancelled or closed, stop it."""
        self.is_bare = False
        if not work.is_returned:
            self._has_tracked = True
        if self._late is not None:
            self._late.append(work)
        if self.phase is CLOSED:
            work.keeper = None
        elif self._work and self._has_inherited(work):
            return
        elif self._work is None:
            self._work = {work: None}
        else:
            self._work[work] = None
        if type(work.canceller) is Deferred:
            # As `watch` does, for the commonest kind.
            work.canceller.addCallbacks(work.settled, work.settled)
        elif isinstance(work.canceller, Canceller):
            work.canceller.watch(work.settled)
        else:
            self.in_context(watch, work.canceller, work.settled)
        too_late = self.cause is not None or self.phase is not LIVE
        if too_late and work.step is RUNNING and self._is_to_stop(work):
            self._ask([work])

    def _has_inherited(self, work: Work) -> bool:
        """Whether the same work is tracked already: it is told of its end, and asked to stop, once.

        Not so for a Deferred, which tells all: each of them what callbacks have made of it by then.
        """
        works = self._work or {}
        if isinstance(work.canceller, Deferred):
            return False
        for former in works:
            if former.coroutine is work.coroutine and former.step is not SETTLED:
                if not former.is_returned:
                    work.inherit(former)
                    del works[former]
                    works[work] = None
                return True
        return False

    def _is_to_stop(self, work: Work) -> bool:
        """Whether work that comes late is to be stopped at once.

        What hooks track is left to run until they are through, and what a handler returned is
        left to run when the response is finished.
        """
        if self.phase is not LIVE:
            return self.phase is CLOSED and self._late is None
        if self._is_about_to_stop:
            # With the rest, so that each piece of work is reached just once.
            return False
        return self.fate is not FINISHED or not work.is_returned

    def drop(self, work: Work) -> None:
        """See `Keeper`."""
        (self._work or {}).pop(work, None)

    @property
    def works(self) -> list[Work]:
        """All the work that is tracked, the oldest first."""
        first = [] if self.returned is None else [self.returned]
        return [*first, *self._work] if self._work else first

    def release(self, canceller: object) -> None:
        """Track no longer what is tracked with this canceller; it runs on."""
        for work in list(self._work or ()):
            if work.canceller is canceller and not work.is_returned:
                work.keeper = None
                self.drop(work)
        self.advance()

    @property
    def _is_idle(self) -> bool:
        """Whether no work is tracked."""
        return self.returned is None and not self._work

    @property
    def is_fresh(self) -> bool:
        """Whether no work is tracked, and none is to be stopped as soon as it is."""
        return self._is_idle and self.cause is None and self.phase is LIVE

    @property
    def is_working(self) -> bool:
        """Whether there is work to wait for."""
        return any(is_unsettled(work) for work in self.works)
