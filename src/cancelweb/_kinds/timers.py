"""Cancel timers: Twisted's own, and any other `IDelayedCall`.

One canceller per kind; `registry` maps kinds to cancellers.
"""

from __future__ import annotations

from typing import Any

from attrs import define
from twisted.internet.defer import CancelledError
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from .._twisted.checks import check
from .cancellers import Canceller, OneShot, Settled, drop, global_reactor
from .where import function_at, function_name, named

TELLS_ENDS_OF_TIMERS = check("timers")

CANCELLED = Failure(CancelledError())
"""The result of a timer that cancelweb cancelled. All share one object: it refers to no frame."""


class DelayedCallCanceller(Canceller):
    """Cancels a timer, and notices when it runs, raises or is cancelled by other code.

    For timers whose ``func`` and ``canceller`` can be replaced. This is not an attrs class, because
    the ``__init__`` of attrs would set attributes that few timers need.

    Args:
        call: the timer.
        settled: if given, the timer must be active; it is watched at once, as by `watch`.
    """

    _func: Any
    _canceller: Any

    def __init__(self, call: Any, settled: Settled | None = None) -> None:
        self.work: Any = call
        if settled is not None:
            self._watch_active(settled)

    def watch(self, settled: Settled) -> None:
        if self.work.active():
            self._watch_active(settled)
        else:
            settled(_result_of(self.work))

    def _watch_active(self, settled: Settled) -> None:
        call = self.work
        self._settled = settled
        self._func, self._canceller = call.func, call.canceller
        call.func, call.canceller = self._run, self._cancelled

    def cancel(self) -> None:
        if self.work.active():
            self.cancel_unheard()
            settled, self._settled = self._settled, drop
            settled(CANCELLED)

    def cancel_unheard(self) -> None:
        """Cancel an active timer without settling. The timer is over when this returns."""
        call = self.work
        call.func, call.canceller = self._func, self._canceller
        call.cancel()

    def _run(self, *args: Any, **kwargs: Any) -> None:
        call, settled = self.work, self._settled
        # The timer must not keep referring to this canceller, which refers to the timer.
        call.func, call.canceller = self._func, self._canceller
        self._settled = drop
        self.is_ending = True
        try:
            self._func(*args, **kwargs)
        except BaseException:
            failure = Failure()
            if settled(failure) is failure:
                raise
        else:
            settled(NOT_DONE_YET)

    def _cancelled(self, call: Any) -> None:
        call.func, call.canceller = self._func, self._canceller
        call.canceller(call)
        settled, self._settled = self._settled, drop
        settled(Failure(CancelledError()))

    def where(self) -> str:
        return f"timer: {function_at(self._function)}{_due(self.work, self.clock)}"

    def describe(self) -> str:
        return f"timer {function_name(self._function)}"

    @property
    def _function(self) -> Any:
        """The user's function. A timer that was cancelled no longer has it."""
        return getattr(self, "_func", None) or getattr(self.work, "func", self.work)


@define(eq=False)
class ForeignCallCanceller(OneShot):
    """Cancels a timer that cannot tell when it runs. It settles when the response is over."""

    work: Any

    def watch(self, settled: Settled) -> None:
        self._settled = settled
        if not self.work.active():
            was_cancelled = getattr(self.work, "cancelled", False)
            self.settle(Failure(CancelledError()) if was_cancelled else NOT_DONE_YET)

    def cancel(self) -> None:
        if self.work.active():
            self.work.cancel()
        self.settle(Failure(CancelledError()))

    def response_over(self) -> None:
        self.settle(NOT_DONE_YET)

    def where(self) -> str:
        return f"timer: {named(self.work)}{_due(self.work, self.clock)}"

    def describe(self) -> str:
        return f"timer {named(self.work)}"


def timer_canceller(call: Any) -> Canceller:
    """The canceller for any `IDelayedCall`."""
    is_like_twisted = hasattr(call, "func") and hasattr(call, "canceller")
    return DelayedCallCanceller(call) if is_like_twisted else ForeignCallCanceller(call)


def _due(call: Any, clock: IReactorTime | None) -> str:
    if not call.active():
        return ", over"
    seconds = getattr(call, "seconds", None) or (clock or global_reactor()).seconds
    return f", due in {call.getTime() - seconds():.1f} s"


def _result_of(call: Any) -> object:
    """How a DelayedCall that is no longer active ended: a second ``cancel`` raises the answer."""
    try:
        call.cancel()
    except AlreadyCancelled:
        return Failure(CancelledError())
    except AlreadyCalled:
        pass
    return NOT_DONE_YET
