"""One piece of tracked work, and how a scope asks its work to stop.

What follows from the end of a piece of work is the lifetime's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ._deferreds import clean, ignore_cancellation, is_cancellation
from ._log import log
from ._record import Record
from ._states import Step
from ._twisted_kinds import DeferredCanceller
from ._watching import Canceller
from .causes import Cause, Ended


class Keeper(Protocol):
    """Whoever tracks work."""

    cause: Cause | None

    @property
    def record(self) -> Record:
        """Where it is noted how work ended."""

    def dismiss(self, work: Work, stopped: bool) -> None:
        """The work is over, and its result taken: go on, if it was the last to wait for."""


@define(eq=False)
class Work:
    """One piece of work.

    Attributes:
        keeper: None once the scope has closed.
        canceller: an `ICancellable`.
        receive: takes the result of what a handler returned; None for work whose result is its
            owner's.
    """

    keeper: Keeper | None
    canceller: Any
    receive: Callable[[Any], None] | None = None
    step: Step = field(default=Step.RUNNING, init=False)
    asked: float = field(default=0.0, init=False)
    """When it was asked to stop."""

    def settled(self, result: Any) -> Any:
        """Told of the end, once; returns what is left of the result for whoever is next."""
        self.step = Step.SETTLED
        keeper, receive = self.keeper, self.receive
        if keeper is None:
            return self._settled_late(result)
        stopped = self._note(result, keeper)
        if receive is not None:
            (clean if stopped else receive)(result)
            result = None
        keeper.dismiss(self, stopped)
        return result

    def _note(self, result: object, keeper: Keeper) -> bool:
        """Note how it ended; returns whether it was stopped."""
        if not isinstance(result, Failure):
            return False
        # Tracked work may have been cancelled by its owner, for reasons of his own.
        is_expected = keeper.cause is not None or self.receive is None
        if is_expected and is_cancellation(result):
            keeper.record.worsen(Ended.STOPPED)
            return True
        if self.receive is None:
            keeper.record.fail(result)
        return False

    def _settled_late(self, result: Any) -> Any:
        """A survivor has ended, or work that came after its scope had closed."""
        if self.receive is None:
            self.forget()
            return result
        if isinstance(result, Failure) and not is_cancellation(result):
            log.failure("work that outlived its scope failed", failure=result)
        return None

    def ask(self, now: float, call: Callable[..., object]) -> None:
        """Ask it to stop; a canceller that fails leaves a survivor."""
        self.step, self.asked = Step.ASKED, now
        try:
            call(self.canceller.cancel)
        except Exception:
            log.failure("the canceller {canceller} failed", canceller=self.canceller)
            if self.step is Step.ASKED:
                self._survives()

    def survives(self, seconds: float) -> None:
        """It still runs, so many seconds after it was asked to stop: nobody waits any longer."""
        self._survives()
        log.warn(
            "{canceller} still runs {seconds:g} s after it was asked to stop",
            canceller=self.canceller,
            seconds=seconds,
        )

    def _survives(self) -> None:
        self.step = Step.SURVIVOR
        if self.keeper is not None:
            self.keeper.record.worsen(Ended.SURVIVED)

    def forget(self) -> None:
        """The scope closes. A cancellation that nobody has handled by now is no error."""
        self.keeper = None
        if self.receive is not None:
            self.receive = _drop
        elif self.step is Step.SETTLED and isinstance(self.canceller, DeferredCanceller):
            self.canceller.deferred.addErrback(ignore_cancellation)


def _drop(result: object) -> None:
    """Stands for a response that is over; `Work` then refers to nothing of it."""


def running(works: Iterable[Work]) -> list[Work]:
    """What may still be asked to stop: what a handler returned first, then the newest first."""
    left = [work for work in works if work.step is Step.RUNNING]
    left.reverse()
    left.sort(key=lambda work: work.receive is None)
    return left


def is_unsettled(work: Work) -> bool:
    """Whether a scope waits for this work before it cleans up; not for survivors."""
    return work.step is Step.RUNNING or work.step is Step.ASKED


def ask_all(works: list[Work], clock: IReactorTime, call: Callable[..., object]) -> bool:
    """Ask work to stop, in this order; what the stopping of other work has ended is not asked.

    Args:
        works: none of which has been asked.
        clock: where cancellers take time from.
        call: calls a canceller's ``cancel``.

    Returns:
        Whether some of it has not ended at once.
    """
    for work in works:
        if isinstance(work.canceller, Canceller):
            work.canceller.clock = clock
            work.canceller.arm()
    for work in works:
        if work.step is Step.RUNNING:
            work.ask(clock.seconds(), call)
    return any(work.step is Step.ASKED for work in works)
