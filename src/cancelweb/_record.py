"""What is noted of a scope on its way, for the `Outcome` in the end.

Kept only where there is something to tell: a request that completes unwatched has no record.
"""

from __future__ import annotations

from attrs import define
from twisted.python.failure import Failure

from .causes import Cause, Ended


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

    def cleaned_failure(self) -> Failure | None:
        """The failure without its frames; whoever else holds it keeps them."""
        if self.failure is None:
            return None
        copy = Failure(self.failure.value, self.failure.type)
        copy.cleanFailure()
        return copy
