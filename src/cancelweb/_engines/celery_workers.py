"""Which Celery workers there are, as far as their answers tell.

Keeps times, and asks nothing.
"""

from __future__ import annotations

from collections.abc import Set

from attrs import define, field


@define(eq=False)
class Workers:
    """The workers that have answered, and when.

    Attributes:
        lost_after: how many seconds a worker may be silent before it counts as lost.
    """

    lost_after: float
    _last: dict[str, float] = field(factory=dict, init=False)
    _complete: float | None = field(default=None, init=False)
    """When all workers had a second to answer, last."""

    def enough(self, now: float) -> int | None:
        """How many answers the next question needs; None if there may be workers unknown yet."""
        if self._complete is None or now - self._complete >= self.lost_after:
            return None
        return len(self._last) or None

    def answered(self, workers: Set[str], is_complete: bool, now: float) -> None:
        """Note which workers have answered, and drop those that are lost."""
        self._last.update(dict.fromkeys(workers, now))
        if is_complete:
            self._complete = now
        lost = [each for each, last in self._last.items() if now - last >= self.lost_after]
        for each in lost:
            del self._last[each]

    def silent(self, answered: Set[str]) -> Set[str]:
        """The workers that have not answered this time, but are not lost."""
        return self._last.keys() - answered
