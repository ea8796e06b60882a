"""Stop Twisted's loops (`LoopingCall`), cooperative tasks and child processes.

One canceller per kind; `registry` maps kinds to cancellers.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from types import GeneratorType
from typing import Any, ClassVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import CooperativeTask, LoopingCall, TaskFinished
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from .._twisted.checks import check
from .cancellers import Canceller, OneShot, Settled, drop, global_reactor
from .stacks import stack_of
from .where import function_at, function_name

_TELLS_ENDS_OF_LOOPS = check("loops")
_TELLS_ENDS_OF_PROCESSES = check("tracked processes")
check("unstarted loops")

_LOOK_EVERY = 0.1
"""Seconds between two looks at a process, used where nothing tells when it has ended."""


@define(eq=False)
class LoopingCallCanceller(OneShot):
    """Stops a LoopingCall."""

    work: LoopingCall
    _cancel_called: bool = field(default=False, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if getattr(self.work, "starttime", 0) is None:
            # A loop offers no way to learn that it has been started later.
            raise RuntimeError(f"{self.work!r} was never started. Call its start() first.")

    def watch(self, settled: Settled) -> None:
        self._settled = settled
        done = self._when_ended()
        if done is not None:
            done.addBoth(self._ended)
        elif _TELLS_ENDS_OF_LOOPS or not self.work.running:
            self.settle(NOT_DONE_YET)

    def _when_ended(self) -> Deferred[Any] | None:
        """The Deferred that start() returned; no other attribute of the loop holds it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return getattr(self.work, "deferred", None)

    def _ended(self, result: Any) -> Any:
        if isinstance(result, Failure):
            return self.settle(result)
        self.settle(Failure(CancelledError()) if self._cancel_called else NOT_DONE_YET)
        return result

    def cancel(self) -> None:
        self._cancel_called = True
        if self.work.running:
            self.work.stop()
        if not _TELLS_ENDS_OF_LOOPS:
            self.settle(Failure(CancelledError()))

    def response_over(self) -> None:
        if not _TELLS_ENDS_OF_LOOPS:
            self.settle(NOT_DONE_YET)

    def where(self) -> str:
        every = "" if self.work.interval is None else f", every {self.work.interval:g} s"
        return f"loop: {function_at(self.work.f)}{every}"

    def describe(self) -> str:
        return f"loop {function_name(self.work.f)}"


@define(eq=False)
class CooperativeTaskCanceller(Canceller):
    """Stops a CooperativeTask."""

    work: CooperativeTask[Any]
    is_result_lost = True

    def watch(self, settled: Settled) -> None:
        done = self.work.whenDone()
        done.addCallback(lambda _: NOT_DONE_YET)
        done.addBoth(lambda result: drop(settled(result)))

    def cancel(self) -> None:
        with contextlib.suppress(TaskFinished):
            self.work.stop()

    def where(self) -> str:
        # The iterator has no public name, and a task holds no other generator.
        generators = [each for each in vars(self.work).values() if isinstance(each, GeneratorType)]
        return stack_of(next(iter(generators), None)) or self.describe()

    def describe(self) -> str:
        return "cooperative task"


@define(eq=False)
class ProcessCanceller(OneShot):
    """Sends a child process TERM, then KILL if it still runs after a grace period.

    Another process may hold the pipes open. After a further grace period without an end, or at
    once if there was no need to kill, they are closed.

    Attributes:
        grace: seconds between two steps.
    """

    grace: ClassVar[float] = 3.0

    work: Any
    _cancel_called: bool = field(default=False, init=False, repr=False)
    _protocol: Any = field(default=None, init=False, repr=False)
    _former: Any = field(default=None, init=False, repr=False)
    _next_step: IDelayedCall | None = field(default=None, init=False, repr=False)

    def watch(self, settled: Settled) -> None:
        self._settled = settled
        protocol = getattr(self.work, "proto", None)
        if hasattr(protocol, "__dict__"):
            # The process is over when its protocol is told so; `pid` becomes None before that.
            self._protocol, self._former = protocol, vars(protocol).get("processEnded")
            self._protocol.processEnded = self._ended
        elif self.work.pid is None:
            self.settle(NOT_DONE_YET)

    def cancel(self) -> None:
        self._cancel_called = True
        self._signal("TERM")
        self._next_step = self._later(self._force)
        if not _TELLS_ENDS_OF_PROCESSES:
            self._look()

    def _later(self, step: Callable[[], object]) -> IDelayedCall:
        clock = self.clock or global_reactor()
        return clock.callLater(self.grace, step)

    def _force(self) -> None:
        if self._signal("KILL"):
            self._next_step = self._later(self._close_pipes)
        else:
            self._close_pipes()

    def _close_pipes(self) -> None:
        if self.work.pid is None:
            # Twisted reports the end of a process once its pipes are closed, too.
            self.work.loseConnection()

    def _look(self) -> None:
        if self.work.pid is None:
            self._disarm()
            self.settle(Failure(CancelledError()))
        else:
            clock = self.clock or global_reactor()
            clock.callLater(_LOOK_EVERY, self._look)

    def response_over(self) -> None:
        if self._protocol is None:
            self.settle(NOT_DONE_YET)

    def describe(self) -> str:
        return "process that has ended" if self.work.pid is None else f"process {self.work.pid}"

    def _signal(self, name: str) -> bool:
        """Send a signal, and tell whether the process was there to get it."""
        try:
            self.work.signalProcess(name)
        except ProcessExitedAlready:
            return False
        return True

    def _disarm(self) -> None:
        if self._next_step is not None and self._next_step.active():
            self._next_step.cancel()

    def _ended(self, reason: Failure) -> None:
        self._disarm()
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
