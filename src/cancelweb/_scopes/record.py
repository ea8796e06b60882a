"""What is noted of a scope on its way, and the telling of it in the end.

There is a record only where there is something to tell: a request that completes has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any

from attrs import define
from twisted.python.failure import Failure

from .._log import log
from ..causes import Cause, Ended, Observer, Outcome


@define(eq=False)
class Record:
    """The parts of an `Outcome` that come together over time."""

    ended: Ended = Ended.COMPLETED
    cancelled: float | None = None
    failure: Failure | None = None
    would_have_cancelled: Cause | None = None

    def worsen(self, ended: Ended) -> None:
        """Some work ended so; the worst counts."""
        self.ended = max(self.ended, ended)

    def fail(self, failure: Failure) -> None:
        """There was a real failure; the first counts."""
        self.worsen(Ended.FAILED)
        self.failure = self.failure or failure

    def outcome(
        self, request: Any, cause: Cause | None, opened: float, stopped: float, closed: float
    ) -> Outcome:
        """The outcome; of the request it tells the method and the path."""
        return Outcome(
            method=request.method,
            path=path_of(request),
            cause=cause,
            ended=self.ended,
            opened=opened,
            cancelled=self.cancelled,
            stopped=stopped,
            closed=closed,
            failure=self._cleaned_failure(),
            would_have_cancelled=self.would_have_cancelled,
        )

    def _cleaned_failure(self) -> Failure | None:
        if self.failure is None:
            return None
        # Of a copy of the exception, where it can be copied: whoever else holds it may yet raise
        # or log it with its frames, and an observer who keeps an outcome is not to keep those.
        try:
            error = copy(self.failure.value)
        except Exception:
            error = self.failure.value
        cleaned = Failure(error, self.failure.type)
        cleaned.cleanFailure()
        return cleaned


def path_of(request: Any) -> bytes:
    """The request's target, still quoted, without the query."""
    path: bytes = request.uri.partition(b"?")[0]
    return path


def tell(observers: Iterable[Observer], outcome: Outcome) -> None:
    """Tell observers, each of which may fail for itself."""
    for observer in observers:
        try:
            observer(outcome)
        except BaseException:
            log.failure("observer {observer} failed", observer=observer)
