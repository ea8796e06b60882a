"""One run of a shared function, and the waits of the requests that share it.

`shared` finds the run for a call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from copy import copy
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from .._kinds.cancellations import is_cancellation
from .._kinds.cancellers import Canceller
from .._kinds.let_go import LET_GO, Unstopped
from .._kinds.registry import find_canceller
from .._log import log
from .patience import SURVIVOR_AFTER
from .telling import NOWHERE
from .waits import Wait


@define(eq=False)
class Run:
    """One call of a shared function, and all waits for it.

    Attributes:
        clock: the clock for ``linger``; may be None if that is 0.
        forget: makes the next call with the same arguments begin a new run.
    """

    linger: float
    clock: IReactorTime | None
    forget: Callable[[], object]
    _waits: dict[Wait[Any], None] = field(factory=dict, init=False)
    _canceller: Canceller | None = field(default=None, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _is_over: bool = field(default=False, init=False)
    _is_stopped: bool = field(default=False, init=False)

    def join(self) -> Deferred[Any]:
        """Add a wait for the result; returns its Deferred."""
        self._disarm()
        wait: Wait[Any] = Wait(self._leave)
        self._waits[wait] = None
        assert wait.deferred is not None
        return wait.deferred

    def begin(self, call: Callable[[], Any]) -> None:
        """Call the function."""
        try:
            result = call()
            self._canceller = find_canceller(result)
        except BaseException:
            self._settled(Failure())
            return
        if self._canceller is None:
            self._settled(result)
        else:
            self._canceller.watch(self._settled)

    def _leave(self, wait: Wait[Any]) -> None:
        is_last = len(self._waits) == 1 and not self._is_over
        if is_last and not self.linger:
            # The last wait goes on until the run has stopped.
            setattr(wait.deferred, LET_GO, self._stop())
            return
        del self._waits[wait]
        wait.end(None)
        if is_last:
            assert self.clock is not None
            self._timer = self.clock.callLater(self.linger, self._stop)

    def _stop(self) -> tuple[Unstopped, ...]:
        self._timer = None
        self._is_stopped = True
        self.forget()
        canceller = self._canceller
        assert canceller is not None
        canceller.clock = self.clock
        try:
            # An empty context, so that no canceller runs in the context of a request.
            Context().run(canceller.cancel)
        except BaseException:
            text, name = "the canceller {canceller} failed", canceller.describe()
            NOWHERE.log(log.failure, text, canceller=name)
        if not canceller.is_end_observable:
            self._settled(Failure(CancelledError()))
        elif self.clock is not None and not self._is_over:
            patience = max(SURVIVOR_AFTER, canceller.survivor_after or 0.0)
            self._timer = self.clock.callLater(patience, self._survives, canceller, patience)
        return canceller.unstopped()

    def _survives(self, canceller: Canceller, seconds: float) -> None:
        self._timer = None
        text = (
            "{canceller}, shared by requests, still runs {seconds:g} s after it was asked to stop"
        )
        NOWHERE.log(log.warn, text, canceller=canceller.describe(), seconds=seconds)

    def _settled(self, result: Any) -> None:
        self._is_over = True
        if not self._is_stopped:
            # A run that was stopped is already forgotten; its key may belong to a newer run.
            self.forget()
        self._disarm()
        if not self._waits and isinstance(result, Failure):
            self._failed_unheard(result)
        # The oldest wait ends first. Code that it resumes may cancel other waits.
        self._waits = dict(reversed(self._waits.items()))
        while self._waits:
            wait, _ = self._waits.popitem()
            wait.end(_copied(result) if self._waits else result)

    def _failed_unheard(self, failure: Failure) -> None:
        if not (self._is_stopped and is_cancellation(failure)):
            NOWHERE.log(log.failure, "work that is shared by requests failed", failure=failure)

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def _copied(result: object) -> object:
    """The result; if it is a failure, one with a copy of the exception, if that can be copied."""
    if not isinstance(result, Failure):
        return result
    original = result.value
    assert original is not None
    try:
        error = copy(original)
    except Exception:
        return result
    error.__cause__, error.__context__ = original.__cause__, original.__context__
    error.__suppress_context__ = original.__suppress_context__
    return Failure(error, result.type, result.tb)
