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
    _found_at: float | None = field(default=None, init=False)
    """When all workers had a second to answer, last."""

    def are_known(self, now: float) -> bool:
        """Whether they were looked for lately. Otherwise there may be some that are unknown yet."""
        return self._found_at is not None and now - self._found_at < self.lost_after

    def found(self, workers: Set[str], now: float) -> None:
        """Note which workers have answered when all had a second for that."""
        self._found_at = now
        self.answered(workers, now)

    def enough(self) -> int:
        """How many answers a question needs: that of one worker at least."""
        return max(len(self._last), 1)

    def answered(self, workers: Set[str], now: float) -> None:
        """Note which workers have answered, and drop those that are lost."""
        self._last.update(dict.fromkeys(workers, now))
        lost = [each for each, last in self._last.items() if now - last >= self.lost_after]
        for each in lost:
            del self._last[each]

    def are_all(self, answered: Set[str], now: float) -> bool:
        """Whether these are all workers, except lost ones."""
        return self.are_known(now) and bool(answered) and self._last.keys() <= answered
