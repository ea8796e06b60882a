"""One piece of work: how far it is, and what becomes of its result.

The order in which work is stopped is in `work_set`, what follows from its end in `life`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any, Protocol

from attrs import define
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from .._kinds.cancellations import is_cancellation
from .._kinds.cancellers import Canceller
from .._kinds.let_go import Unstopped
from .._log import log
from .states import ASKED, ENDED, UNASKED, Step
from .telling import NOWHERE, Telling, log_in


class HasContext(Protocol):
    """What work needs of a scope."""

    @property
    def context(self) -> Context | None:
        """That of its handler."""


class Holder(Protocol):
    """What work needs of the set that it is in."""

    @property
    def scope(self) -> HasContext:
        """The scope to which the set belongs."""

    def ended(self, work: Work, result: object) -> object:
        """Work has ended; returns what is left of its result for the next callback."""


@define(eq=False)
class Work:
    """One piece of work.

    Attributes:
        canceller: how it is stopped.
        arrived: takes the result of what a handler returned. None for tracked work, whose result
            belongs to the code that tracks it.
        holder: the set that it is in; None once it has ended, is released, or its scope closed.
        step: how far it is.
        asked_at: when it was asked to stop, in seconds on the scope's clock.
        survival: what to call at its end, if it was named a survivor.
        unstopped: what of it was let go when it was asked to stop.
        alarm: names it a survivor after its scope has closed.
        telling: logs for it after that.
    """

    canceller: Canceller
    arrived: Callable[[Any], object] | None = None
    holder: Holder | None = None
    step: Step = UNASKED
    asked_at: float = 0.0
    survival: Callable[[], object] | None = None
    unstopped: Sequence[Unstopped] = ()
    alarm: IDelayedCall | None = None
    telling: Telling = NOWHERE

    @property
    def is_returned(self) -> bool:
        """Whether a handler returned it, so that its result is the response."""
        return self.arrived is not None

    @property
    def is_waited_for(self) -> bool:
        """Whether its scope waits for it before it cleans up."""
        return self.step is UNASKED or self.step is ASKED

    @property
    def is_askable(self) -> bool:
        """Whether it may be asked to stop: not while its last function is on the stack."""
        return self.step is UNASKED and not self.canceller.is_ending

    def settled(self, result: object) -> object:
        """Told of the end, once; returns what is left of the result for the next callback."""
        if self.holder is not None:
            context = self.holder.scope.context
            return self._left(self.holder.ended(self, result), context)
        self.end()
        self.canceller.forget()
        return self._left(self.outlived(result), self.telling.context)

    def _left(self, rest: object, context: Context | None) -> object:
        """What is left of a result; logs a failure that no other code will see."""
        is_lost = self.canceller.is_result_lost
        if is_lost and isinstance(rest, Failure) and not is_cancellation(rest):
            log_in(context, log.failure, "tracked work failed", failure=rest)
        return rest

    def outlived(self, result: object) -> object:
        """It has ended after its scope; returns what is left of the result."""
        if not self.is_returned:
            return result
        if isinstance(result, Failure) and not is_cancellation(result):
            text = "work that outlived its scope failed"
            self.telling.log(log.failure, text, failure=result)
        return None

    def end(self) -> None:
        """It has ended, maybe after it was named a survivor."""
        self.step = ENDED
        survival, self.survival = self.survival, None
        if survival is not None:
            survival()
        if self.alarm is not None and self.alarm.active():
            self.alarm.cancel()

    def close(self, telling: Telling) -> None:
        """Its scope closes: work that runs on must not refer to anything of it.

        Args:
            telling: logs for it from now on.
        """
        self.holder, self.telling = None, telling
        self.canceller.forget()
        if self.is_returned:
            self.arrived = _drop


def _drop(result: Any) -> None:
    """Takes the result of returned work whose scope has closed."""
