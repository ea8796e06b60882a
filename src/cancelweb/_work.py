"""One piece of tracked work, and the order in which work is asked to stop.

What follows from the end of a piece of work is the lifetime's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any, Protocol

from attrs import define
from twisted.python.failure import Failure

from ._cancellers import DeferredCanceller
from ._deferreds import clean, ignore_cancellation, is_cancellation
from ._log import log


class Step(Enum):
    """How far one piece of work is on its way to its end."""

    RUNNING = auto()
    ASKED = auto()
    SURVIVOR = auto()
    SETTLED = auto()


UNSETTLED = frozenset({Step.RUNNING, Step.ASKED})
"""What a scope waits for before it cleans up; not for survivors."""


class Keeper(Protocol):
    """Whoever tracks work."""

    def judge(self, work: Work, result: object) -> bool:
        """Note how the work ended; returns whether it was stopped."""

    def dismiss(self, work: Work, stopped: bool) -> None:
        """The work is over, and its result taken: go on, if it was the last to wait for."""


@define(eq=False)
class Work:
    """One piece of work."""

    keeper: Keeper | None
    """None once the scope has closed."""
    canceller: Any
    receive: Callable[[Any], None] | None = None
    """Takes the result of what a handler returned; None for work whose result is its owner's."""
    step: Step = Step.RUNNING

    def settled(self, result: Any) -> Any:
        """Told of the end, once; returns what is left of the result for whoever is next."""
        self.step = Step.SETTLED
        keeper = self.keeper
        if keeper is None:
            return self._settled_late(result)
        stopped = keeper.judge(self, result)
        rest = result if self.receive is None else None
        if self.receive is not None:
            clean(result) if stopped else self.receive(result)
        keeper.dismiss(self, stopped)
        return rest

    def _settled_late(self, result: Any) -> Any:
        """A survivor has ended, or work that came after its scope had closed."""
        if self.receive is None:
            self.forget()
            return result
        if isinstance(result, Failure) and not is_cancellation(result):
            log.failure("work that outlived its scope failed", failure=result)
        return None

    def forget(self) -> None:
        """The scope closes. A cancellation that nobody has handled by now is no error."""
        self.keeper = None
        if self.step is Step.SETTLED and isinstance(self.canceller, DeferredCanceller):
            self.canceller.deferred.addErrback(ignore_cancellation)


def running(works: Iterable[Work]) -> list[Work]:
    """What may still be asked to stop: what a handler returned first, then the newest first."""
    left = [work for work in works if work.step is Step.RUNNING]
    left.reverse()
    left.sort(key=lambda work: work.receive is None)
    return left
