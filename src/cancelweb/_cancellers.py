"""How to stop each kind of work: one canceller a kind, every registration in one block.

Nothing here knows scopes or requests.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import warnings
from typing import Any, ClassVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.task import CooperativeTask, LoopingCall, TaskFinished
from twisted.python.components import registerAdapter
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from ._deferreds import as_deferred, innermost
from ._watching import Canceller, OneShot, Settled, log_rest
from .interfaces import ICancellable


def find_canceller(work: object) -> Any:
    """The `ICancellable` of a piece of work, or None. A coroutine is started."""
    if type(work) is Deferred:
        # Nobody else can have registered an adapter for exactly this class: ours stands there.
        return DeferredCanceller(work)
    canceller = ICancellable(work, None)
    if canceller is None:
        deferred = as_deferred(work)
        canceller = None if deferred is None else DeferredCanceller(deferred)
    return canceller


def canceller_for(work: object) -> Any:
    """The `ICancellable` of a piece of work.

    Raises:
        TypeError: nothing is known of this kind of work; says how to register it.
    """
    canceller = find_canceller(work)
    if canceller is None:
        kind = type(work).__qualname__
        raise TypeError(
            f"cancelweb cannot stop {work!r}: no canceller is registered for {kind}. Register "
            f"one: twisted.python.components.registerAdapter(YourCanceller, {kind}, "
            "cancelweb.ICancellable)"
        )
    return canceller


@define(eq=False)
class DeferredCanceller(Canceller):
    """Cancels a Deferred, unless the cancellation of other work has reached it already."""

    deferred: Deferred[Any]
    _innermost: Deferred[Any] | None = field(default=None, init=False)

    def watch(self, settled: Settled) -> None:
        self.deferred.addBoth(settled)

    def arm(self) -> None:
        self._innermost = innermost(self.deferred)

    def cancel(self) -> None:
        # `called` turns true under a cancel even where the work goes on (an inlineCallbacks that
        # waits in its `finally`); a second cancel would cut that wait short.
        if self._innermost is None or not self._innermost.called:
            self.deferred.cancel()


@define(eq=False)
class DelayedCallCanceller(OneShot):
    """Cancels a timer; notices when it has run, has raised, or was cancelled by somebody else."""

    call: Any
    _func: Any = field(default=None, init=False)
    _canceller: Any = field(default=None, init=False)

    def watch(self, settled: Settled) -> None:
        call = self.call
        if not call.active():
            was_cancelled = getattr(call, "cancelled", False)
            settled(Failure(CancelledError()) if was_cancelled else NOT_DONE_YET)
            return
        self._settled = settled
        if hasattr(call, "func") and hasattr(call, "canceller"):
            self._func, self._canceller = call.func, call.canceller
            call.func, call.canceller = self._run, self._cancelled

    def cancel(self) -> None:
        if self.call.active():
            self.call.cancel()
        self.settle(Failure(CancelledError()))

    def response_over(self) -> None:
        if self._func is None:
            self.settle(NOT_DONE_YET)

    def _run(self, *args: Any, **kwargs: Any) -> None:
        if self.settle_with(self._restore(), *args, **kwargs):
            self.settle(NOT_DONE_YET)

    def _cancelled(self, call: Any) -> None:
        self._restore()
        call.canceller(call)
        self.settle(Failure(CancelledError()))

    def _restore(self) -> Any:
        # The call must not go on referring to us, who refer to it.
        self.call.func, self.call.canceller = self._func, self._canceller
        return self._func



@define(eq=False)
class LoopingCallCanceller(Canceller):
    """Stops a LoopingCall."""

    loop: LoopingCall
    _cancel_called: bool = field(default=False, init=False)

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
    _cancel_called: bool = field(default=False, init=False)
    _protocol: Any = field(default=None, init=False)
    _kill: IDelayedCall | None = field(default=None, init=False)

    def watch(self, settled: Settled) -> None:
        self._settled = settled
        self._protocol = getattr(self.process, "proto", None)
        if self._protocol is not None:
            # The process is over when its protocol is told so; `pid` is None before that.
            self._protocol.processEnded = self._ended
        elif self.process.pid is None:
            self.settle(NOT_DONE_YET)

    def cancel(self) -> None:
        self._cancel_called = True
        if self._signal("TERM"):
            clock = self.clock or _global_reactor()
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
        del self._protocol.processEnded
        if self.settle_with(self._protocol.processEnded, reason):
            self.settle(self._result(reason))

    def _result(self, reason: Failure) -> object:
        if self._cancel_called:
            return Failure(CancelledError())
        return NOT_DONE_YET if reason.check(ProcessDone) else reason


@define(eq=False)
class AsyncioFutureCanceller(Canceller):
    """Cancels an asyncio Future or Task; settled when it has really ended."""

    future: asyncio.Future[Any]

    def __attrs_post_init__(self) -> None:
        if not self.future.get_loop().is_running():
            raise RuntimeError(
                f"{self.future!r} can never end: its event loop does not run. Run the server "
                "under Twisted's asyncio reactor: twist --reactor=asyncio ..."
            )

    def watch(self, settled: Settled) -> None:
        self.future.add_done_callback(lambda future: log_rest(settled(_result_of(future))))

    def cancel(self) -> None:
        # As with a Deferred, a second request would cut short a task that cleans up.
        if not (isinstance(self.future, asyncio.Task) and self.future.cancelling()):
            self.future.cancel()


@define(eq=False)
class ConcurrentFutureCanceller(Canceller):
    """Cancels a concurrent.futures.Future that has not begun; one that runs is waited for."""

    future: concurrent.futures.Future[Any]

    def watch(self, settled: Settled) -> None:
        call_from_thread = _global_reactor().callFromThread

        def done(future: concurrent.futures.Future[Any]) -> None:
            # Called in the thread that did the work.
            call_from_thread(lambda: log_rest(settled(_result_of(future))))

        self.future.add_done_callback(done)

    def cancel(self) -> None:
        self.future.cancel()


def _result_of(future: Any) -> Any:
    try:
        return future.result()
    except BaseException:
        return Failure()


def _global_reactor() -> Any:
    from twisted.internet import reactor

    return reactor


for _canceller, _kind in [
    (DeferredCanceller, Deferred),
    (DelayedCallCanceller, IDelayedCall),
    (LoopingCallCanceller, LoopingCall),
    (CooperativeTaskCanceller, CooperativeTask),
    (ProcessCanceller, IProcessTransport),
    (AsyncioFutureCanceller, asyncio.Future),
    (ConcurrentFutureCanceller, concurrent.futures.Future),
]:
    registerAdapter(_canceller, _kind, ICancellable)
