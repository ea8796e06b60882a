"""The record of a scope: collects the facts for the `Outcome`, and reports it to observers.

The default observer is called only for outcomes that it would log.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from attrs import define
from twisted.python.failure import Failure

from .._kinds.cancellations import is_cancellation
from .._log import full_name_of, log
from ..causes import Cause, Ended, Observer, Outcome, ResponseFinished
from .bursts import is_counted_with_others, kind_of, log_on, log_outcome
from .context import call_in
from .options import added
from .parts import Subject
from .telling import log_in

_ONLY_LOGGED: tuple[Observer, ...] = (log_outcome,)


@define(eq=False)
class Record:
    """The facts of an `Outcome` that are collected while the scope is open.

    Attributes:
        ended: how the work has ended so far; the worst end counts.
        failure: the first failure that is not a cancellation.
        would_have_cancelled: the first cause that a dry run, or the request's method, kept from
            cancelling the scope.
        leftovers: how many pieces of leftover work were asked to stop.
        notes: facts that the user has added.
    """

    ended: Ended = Ended.COMPLETED
    failure: Failure | None = None
    would_have_cancelled: Cause | None = None
    leftovers: int = 0
    notes: dict[str, object] | None = None

    def worsen(self, ended: Ended) -> None:
        """Note how some work ended."""
        self.ended = max(self.ended, ended)

    def fail(self, failure: Failure) -> None:
        """Note a failure that is not a cancellation."""
        self.worsen(Ended.FAILED)
        self.failure = self.failure or failure

    def note(self, failure: Failure, is_leftover: bool = False) -> None:
        """Note the failure or the cancellation of work.

        Args:
            failure: the failure that the work ended with.
            is_leftover: whether this is a cancellation of leftover work, which does not count.
        """
        if not is_cancellation(failure):
            self.fail(failure)
        elif not is_leftover:
            self.worsen(Ended.STOPPED)

    def spare(self, cause: Cause) -> None:
        """Note a cause that did not cancel the scope."""
        self.would_have_cancelled = self.would_have_cancelled or cause

    def tell(
        self, scope: Subject, cleaning_began: float | None, close: Callable[[], object]
    ) -> None:
        """Tell monitors that the scope closes, close it, and tell observers how it ended.

        Observers come last, so that nothing they raise or do can reach the request.
        """
        observers = self._observers(scope)
        if not observers:
            close()
            return
        clock = scope.clock
        closed = clock.seconds()
        if observers is _ONLY_LOGGED and self._is_counted(scope, closed):
            close()
            return
        stopped = closed if cleaning_began is None else cleaning_began
        outcome, context = self._outcome(scope, stopped, closed), scope.context
        close()
        for observer in observers:
            try:
                if observer is log_outcome:
                    log_on(clock, outcome, context)
                elif context is None:
                    call_in(None, None, observer, outcome)
                else:
                    # The same as `call_in`, but much faster.
                    context.copy().run(observer, outcome)
            except BaseException:
                text = "observer {observer} failed"
                log_in(context, log.failure, text, observer=observer)

    def _observers(self, scope: Subject) -> tuple[Observer, ...]:
        observers = scope.options.observers
        if observers is None:
            observers = _ONLY_LOGGED if self._is_eventful(scope) else ()
        for monitor in scope.options.monitors:
            observers = added(observers, monitor.scope_closed(scope) or ())
        return observers

    def _is_eventful(self, scope: Subject) -> bool:
        """Whether the default observer would log this outcome."""
        # Every `Ended` except `COMPLETED` is true.
        return bool(self.ended or scope.cancelled is not None or self.would_have_cancelled)

    def _is_counted(self, scope: Subject, now: float) -> bool:
        """Whether the log only counts this request, so that no `Outcome` has to be made."""
        kind = kind_of(scope._cause, self.ended, self.would_have_cancelled, self.failure)
        page = scope._request.method, path_of(scope._request)
        return is_counted_with_others(scope.clock, now, kind, page)

    def _outcome(self, scope: Subject, stopped: float, closed: float) -> Outcome:
        status, sent = scope.answered_with()
        handler = scope.rare.inner_handler or scope.handler
        # Positional arguments, because keyword arguments take much longer.
        return Outcome(
            scope._request.method,
            path_of(scope._request),
            scope._cause,
            self.ended,
            closed if scope.opened is None else scope.opened,
            scope.cancelled,
            stopped,
            closed,
            self._cleaned_failure(),
            self.would_have_cancelled,
            self.leftovers,
            status,
            sent,
            None if handler is None else full_name_of(handler),
            self.notes or {},
        )

    def _cleaned_failure(self) -> Failure | None:
        if self.failure is None:
            return None
        # An observer may keep the outcome, which must not keep the frames. Other code may still
        # raise or log the exception with its frames. So the frames are removed from a copy of the
        # exception, if it can be copied.
        try:
            error = copy(self.failure.value)
        except Exception:
            error = self.failure.value
        cleaned = Failure(error, self.failure.type)
        cleaned.cleanFailure()
        return cleaned


def asked_for(scope: Subject) -> Cause:
    """Why work is asked to stop: the cause of its scope, or that the response is finished."""
    return scope.cause or ResponseFinished()


def path_of(request: Any) -> bytes:
    """The request's target, still quoted, without the query."""
    path: bytes = request.uri.partition(b"?")[0]
    return path
