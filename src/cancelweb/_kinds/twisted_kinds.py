"""How to stop the kinds of work that Twisted has.

One canceller a kind; which is used for what is registered in `_cancellers`.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import Any, ClassVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import CooperativeTask, LoopingCall, TaskFinished
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from .cancellers import Canceller, OneShot, Settled, global_reactor, log_rest


@define(eq=False)
class DeferredCanceller(Canceller):
    """Cancels a Deferred; what `ICancellable` makes of one. Scopes use the Deferred itself."""

    deferred: Deferred[Any]

    def watch(self, settled: Settled) -> None:
        self.deferred.addBoth(settled)

    def cancel(self) -> None:
        self.deferred.cancel()


class DelayedCallCanceller(Canceller):
    """Cancels a timer; notices when it has run, has raised, or was cancelled by somebody else.

    For timers whose ``func`` and ``canceller`` can be replaced. Not of attrs, whose ``__init__``
    would set what few of them ever need.
    """

    _settled: Settled
    _func: Any
    _canceller: Any

    def __init__(self, call: Any) -> None:
        self.call = call

    def watch(self, settled: Settled) -> None:
        call = self.call
        if call.called or call.cancelled:
            settled(_result_of(call))
            return
        self._settled = settled
        self._func, self._canceller = call.func, call.canceller
        call.func, call.canceller = self._run, self._cancelled

    def cancel(self) -> None:
        if self.call.active():
            self.call.cancel()

    def _run(self, *args: Any, **kwargs: Any) -> None:
        call, settled = self.call, self._settled
        # They must not go on referring to us, who refer to them.
        call.func, call.canceller = self._func, self._canceller
        self._settled = log_rest
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
        settled, self._settled = self._settled, log_rest
        settled(Failure(CancelledError()))


@define(eq=False)
class ForeignCallCanceller(OneShot):
    """Cancels a timer that does not tell when it has run: it is over when the response is."""

    call: Any

    def watch(self, settled: Settled) -> None:
        self._settled = settled
        if not self.call.active():
            self.settle(_result_of(self.call))

    def cancel(self) -> None:
        if self.call.active():
            self.call.cancel()
        self.settle(Failure(CancelledError()))

    def response_over(self) -> None:
        self.settle(NOT_DONE_YET)


def timer_canceller(call: Any) -> Canceller:
    """The canceller for any `IDelayedCall`."""
    is_like_twisted = hasattr(call, "func") and hasattr(call, "canceller")
    return DelayedCallCanceller(call) if is_like_twisted else ForeignCallCanceller(call)


def _result_of(call: Any) -> object:
    was_cancelled = getattr(call, "cancelled", False)
    return Failure(CancelledError()) if was_cancelled else NOT_DONE_YET


@define(eq=False)
class LoopingCallCanceller(Canceller):
    """Stops a LoopingCall."""

    loop: LoopingCall
    _cancel_called: bool = field(default=False, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.loop.starttime is None:
            # Nothing tells of a start that is still to come.
            raise RuntimeError(f"{self.loop!r} was never started: call its start() first")

    def watch(self, settled: Settled) -> None:
        with warnings.catch_warnings():
            # The Deferred that start() returned is to be had nowhere else.
            warnings.simplefilter("ignore", DeprecationWarning)
            done = self.loop.deferred
        if done is None:
            settled(NOT_DONE_YET)
        else:
            done.addBoth(self._ended, settled)

    def _ended(self, result: Any, settled: Settled) -> Any:
        if isinstance(result, Failure):
            return settled(result)
        settled(Failure(CancelledError()) if self._cancel_called else NOT_DONE_YET)
        return result

    def cancel(self) -> None:
        self._cancel_called = True
        if self.loop.running:
            self.loop.stop()


@define(eq=False)
class CooperativeTaskCanceller(Canceller):
    """Stops a CooperativeTask."""

    task: CooperativeTask[Any]

    def watch(self, settled: Settled) -> None:
        done = self.task.whenDone()
        done.addCallback(lambda _: NOT_DONE_YET)
        done.addBoth(lambda result: log_rest(settled(result)))

    def cancel(self) -> None:
        with contextlib.suppress(TaskFinished):
            self.task.stop()


@define(eq=False)
class ProcessCanceller(OneShot):
    """Sends a child process TERM, and KILL if it is still there after a grace period.

    Attributes:
        grace: how many seconds a process has between the two signals.
    """

    grace: ClassVar[float] = 3.0

    process: Any
    _cancel_called: bool = field(default=False, init=False, repr=False)
    _protocol: Any = field(default=None, init=False, repr=False)
    _former: Any = field(default=None, init=False, repr=False)
    _kill: IDelayedCall | None = field(default=None, init=False, repr=False)

    def watch(self, settled: Settled) -> None:
        self._settled = settled
        protocol = getattr(self.process, "proto", None)
        if hasattr(protocol, "__dict__"):
            # The process is over when its protocol is told so; `pid` is None before that.
            self._protocol, self._former = protocol, vars(protocol).get("processEnded")
            self._protocol.processEnded = self._ended
        elif self.process.pid is None:
            self.settle(NOT_DONE_YET)

    def cancel(self) -> None:
        self._cancel_called = True
        if self._signal("TERM"):
            clock = self.clock or global_reactor()
            self._kill = clock.callLater(self.grace, self._signal, "KILL")

    def response_over(self) -> None:
        if self._protocol is None:
            self.settle(NOT_DONE_YET)

    def _signal(self, name: str) -> bool:
        try:
            self.process.signalProcess(name)
        except ProcessExitedAlready:
            return False
        return True

    def _ended(self, reason: Failure) -> None:
        if self._kill is not None and self._kill.active():
            self._kill.cancel()
        if self._former is None:
            del self._protocol.processEnded
        else:
            self._protocol.processEnded = self._former
        if self.end_with(self._protocol.processEnded, reason):
            self.settle(self._result(reason))

    def _result(self, reason: Failure) -> object:
        if self._cancel_called:
            return Failure(CancelledError())
        return NOT_DONE_YET if reason.check(ProcessDone) else reason
