"""One piece of work: how far it is on the way to its end, and where its result goes.

`work_set` has the order in which work is stopped; `life` acts on its end.
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
from .states import ASKED, ENDED, SURVIVOR, UNASKED, Step
from .telling import NOWHERE, Telling, log_in


class HasContext(Protocol):
    """A scope, as work sees it."""

    @property
    def context(self) -> Context | None:
        """The context of the handler."""


class Holder(Protocol):
    """The `Stopping` of a scope, as work sees it."""

    @property
    def scope(self) -> HasContext:
        """The scope."""

    def ended(self, work: Work, result: object) -> object:
        """Handle the end of work; returns the result for the next callback."""


@define(eq=False)
class Work:
    """One piece of work.

    Attributes:
        canceller: the canceller of the work.
        arrived: takes the result of work that a handler returned. None for tracked work, whose
            result belongs to the code that tracks it.
        holder: the `Stopping` of the scope. None once the work has ended or was released, or the
            scope has closed.
        step: how far the work is.
        asked_at: when the work was asked to stop, in seconds on the scope's clock.
        survival: the function to call at the end of a survivor.
        unstopped: the parts of the work that nothing could stop.
        alarm: names the work a survivor after its scope has closed.
        telling: logs for the work after its scope has closed.
        claim: the claim of the scope, kept alive until work that outlives the scope has ended.
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
    claim: object = None

    @property
    def is_returned(self) -> bool:
        """Whether a handler returned the work, so that its result is the response."""
        return self.arrived is not None

    @property
    def is_waited_for(self) -> bool:
        """Whether the scope waits for the work before it runs the hooks."""
        return self.step is UNASKED or self.step is ASKED

    @property
    def is_askable(self) -> bool:
        """Whether the work may be asked to stop. Not while its last function is on the stack."""
        return self.step is UNASKED and not self.canceller.is_ending

    def settled(self, result: object) -> object:
        """Handle the end of the work, once; returns the result for the next callback."""
        if self.holder is not None:
            context = self.holder.scope.context
            return self._left(self.holder.ended(self, result), context)
        self.end()
        self.canceller.forget()
        return self._left(self.outlived(result), self.telling.context)

    def _left(self, rest: object, context: Context | None) -> object:
        """The result for the next callback, after logging a failure that no other code will see."""
        is_lost = self.canceller.is_result_lost
        if is_lost and isinstance(rest, Failure) and not is_cancellation(rest):
            log_in(context, log.failure, "tracked work failed", failure=rest)
        return rest

    def outlived(self, result: object) -> object:
        """Handle an end after the scope has closed; returns the result for the next callback."""
        if not self.is_returned:
            return result
        if isinstance(result, Failure) and not is_cancellation(result):
            text = "work that outlived its scope failed"
            self.telling.log(log.failure, text, failure=result)
        return None

    def end(self) -> None:
        """Note the end of the work, which may be a survivor."""
        self.step, self.claim = ENDED, None
        survival, self.survival = self.survival, None
        if survival is not None:
            survival()
        if self.alarm is not None and self.alarm.active():
            self.alarm.cancel()

    def close(self, telling: Telling, claim: object) -> None:
        """Drop every reference to the scope, which closes, because the work may run on.

        Args:
            telling: logs for the work from now on.
            claim: the claim of the scope, or None.
        """
        self.holder, self.telling = None, telling
        if self.step is ASKED or self.step is SURVIVOR:
            self.claim = claim
        self.canceller.forget()
        if self.is_returned:
            self.arrived = _drop


def _drop(result: Any) -> None:
    """Ignore the result of returned work whose scope has closed."""
