"""One piece of tracked work, and how a scope asks its work to stop.

What follows from the end of a piece of work is the lifetime's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import CoroutineType
from typing import Any, ClassVar, Protocol
from weakref import ReferenceType, ref

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from .._kinds.cancellers import Canceller
from .._kinds.deferreds import forgive, innermost, is_cancellation
from .._log import log
from ..causes import Cause, Ended
from .acquire import Acquisition
from .record import Record
from .states import ASKED, RUNNING, SETTLED, SURVIVOR, Step
from .survivors import Survival, survive


class Keeper(Protocol):
    """Whoever tracks work."""

    cause: Cause | None
    request: Any

    @property
    def record(self) -> Record:
        """Where it is noted how work ended."""

    @property
    def clock(self) -> IReactorTime:
        """Where its time is taken from."""

    @property
    def monitors(self) -> tuple[Any, ...]:
        """Who are told of survivors."""

    def drop(self, work: Work) -> None:
        """The work is over."""

    def advance(self) -> None:
        """Go on, if there is nothing left to wait for."""


class Work:
    """One piece of work, whose result is its owner's.

    Attributes:
        keeper: None once the scope has closed.
        canceller: an `ICancellable` or a Deferred.
        asked: when it was asked to stop.
        due: when, if it still runs, it will be named a survivor.
        coroutine: what was tracked or returned; a coroutine tells where it waits.
        heir: who has taken its place, since the same work was tracked or returned once more.
    """

    is_returned: ClassVar[bool] = False
    """Whether a handler returned it, so that its result is the response."""

    step: Step = RUNNING
    asked: float = 0.0
    due: float = 0.0
    coroutine: Any = None
    heir: Work | None = None
    survival: Survival | None = None
    _alarm: IDelayedCall | None = None

    def __init__(self, keeper: Keeper, canceller: Any) -> None:
        self.keeper: Keeper | None = keeper
        self.canceller = canceller

    def settled(self, result: Any) -> Any:
        """Told of the end, once; returns what is left of the result for whoever is next."""
        self.step = SETTLED
        self.end_survival()
        keeper = self.keeper
        if keeper is None:
            if self._alarm is not None:
                self._alarm.cancel()
            self.forget()
            return result if self.heir is None else self.heir.settled(result)
        if not self._was_stopped(result, keeper):
            keeper.drop(self)
        keeper.advance()
        return result

    def _was_stopped(self, result: object, keeper: Keeper) -> bool:
        """Note how it ended; returns whether it was stopped by its scope."""
        if not isinstance(result, Failure):
            return False
        if is_cancellation(result):
            # Or by its owner, for reasons of his own.
            keeper.record.worsen(Ended.STOPPED)
            return keeper.cause is not None
        keeper.record.fail(result)
        return False

    def ask(self, call: Callable[..., object]) -> None:
        """Ask it to stop; a canceller that fails leaves a survivor."""
        try:
            call(self.canceller.cancel)
        except BaseException:
            log.failure("the canceller {canceller} failed", canceller=self.canceller)
            if self.step is ASKED:
                self.survives(0.0)

    def watch_over(self, clock: IReactorTime, seconds: float) -> None:
        """Its scope has closed and holds nothing: have it named all the same, if it runs on."""
        if self.step is ASKED:
            self._alarm = clock.callLater(seconds, _outlived, ref(self), seconds)

    def survives(self, seconds: float) -> None:
        """It still runs, so many seconds after it was asked to stop: nobody waits any longer."""
        self.step = SURVIVOR
        keeper = self.keeper
        if keeper is not None:
            keeper.record.worsen(Ended.SURVIVED)
            self.survival = survive(self, keeper, seconds)

    def inherit(self, former: Work) -> None:
        """It is the same work: take its place, with whatever has become of it so far."""
        former.heir, former.keeper = self, None
        self.canceller, self.step = former.canceller, former.step
        self.asked, self.due = former.asked, former.due
        self.survival, former.survival = former.survival, None

    def outlives(self, seconds: float) -> None:
        """It still runs, so many seconds after it was asked to stop by a scope that had closed."""
        self.step, self._alarm = SURVIVOR, None
        log.warn(
            "{canceller} of a request that is over still runs {seconds:g} s after it was asked to "
            "stop",
            canceller=self.canceller,
            seconds=seconds,
        )

    def end_survival(self) -> None:
        """It has ended, although it had been named a survivor."""
        survival, self.survival = self.survival, None
        if survival is not None:
            survival.end()

    def forget(self) -> None:
        """The scope closes. A cancellation of ours that nobody has handled by now is no error."""
        self.keeper = None
        if isinstance(self.canceller, Acquisition):
            self.canceller.forget()
        elif self.step is SETTLED and isinstance(self.canceller, Deferred):
            forgive(self.canceller)


def _outlived(reference: ReferenceType[Work], seconds: float) -> None:
    work = reference()
    if work is not None:
        work.outlives(seconds)


def running(works: Iterable[Work] | None, beside_returned: bool = False) -> list[Work]:
    """What may still be asked to stop: what a handler returned first, then the newest first.

    Args:
        works: all that a scope tracks.
        beside_returned: leave out what a handler returned.
    """
    if not works:
        return []
    left = [each for each in works if each.step is RUNNING and not is_ending(each.canceller)]
    if beside_returned:
        left = [each for each in left if not each.is_returned]
    if len(left) > 1:
        left.reverse()
        left.sort(key=lambda work: not work.is_returned)
    return left


def is_ending(canceller: object) -> bool:
    """Whether the work's last function is on the stack, so that it cannot be stopped."""
    return isinstance(canceller, Canceller) and canceller.is_ending


def is_unsettled(work: Work) -> bool:
    """Whether a scope waits for this work before it cleans up; not for survivors."""
    return work.step is RUNNING or work.step is ASKED


def ask_all(
    works: list[Work], clock: IReactorTime, patience: float, call: Callable[..., object]
) -> None:
    """Ask work to stop, in this order; what the stopping of other work has reached is not asked.

    Args:
        works: none of which has been asked.
        clock: where cancellers take time from.
        patience: the seconds after which it will be named a survivor.
        call: calls a canceller's ``cancel``.
    """
    if len(works) == 1:
        # Most scopes have no more, and nothing that could reach it before it is asked.
        [work] = works
        if isinstance(work.canceller, Canceller):
            work.canceller.clock = clock
        now = clock.seconds()
        work.step, work.asked, work.due = ASKED, now, now + patience
        work.ask(call)
        return
    armed = [(work, _arm(work.canceller, clock), _position(work.coroutine)) for work in works]
    now = clock.seconds()
    for work, waits_for, position in armed:
        if work.step is RUNNING:
            work.step, work.asked, work.due = ASKED, now, now + patience
            is_reached = waits_for is not None and waits_for.called
            if not is_reached and position == _position(work.coroutine):
                work.ask(call)


def _position(coroutine: Any) -> list[tuple[int, int]]:
    """Where a coroutine waits; elsewhere, once what it awaits was cancelled and resumed it."""
    frames = []
    while isinstance(coroutine, CoroutineType) and coroutine.cr_frame is not None:
        frames.append((id(coroutine), coroutine.cr_frame.f_lasti))
        coroutine = coroutine.cr_await
    return frames


def _arm(canceller: Any, clock: IReactorTime) -> Deferred[Any] | None:
    """Make ready for a cancel; returns the Deferred that a cancel would reach.

    Once another cancel has reached that, it is ``called``, even where the work goes on (as an
    ``inlineCallbacks`` that waits in its ``finally``): a second cancel would cut that wait short.
    """
    if isinstance(canceller, Canceller):
        canceller.clock = clock
        return None
    return innermost(canceller) if isinstance(canceller, Deferred) else None
