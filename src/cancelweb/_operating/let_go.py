"""The work that was let go, as a monitor keeps it: by the place where it waited.

The status page asks every second, and ten thousand pieces may run, so each place is kept apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from .._scopes.bursts import MOST_PLACES
from .._still_running import LetGo


class LetGoWork:
    """The work that was let go and may still run, and how often work was let go at each place.

    Attributes:
        all: what may still run, the oldest first.
        places: how often work was let go, by place; the first `MOST_PLACES` count.
    """

    def __init__(self) -> None:
        self.all: dict[LetGo, None] = {}
        self.places: Counter[str] = Counter()
        self._running: dict[str, dict[LetGo, None]] = {}

    def add(self, let_go: LetGo) -> None:
        """Note work that was let go now."""
        self.all[let_go] = None
        if let_go.where in self.places or len(self.places) < MOST_PLACES:
            self.places[let_go.where] += 1
            self._running.setdefault(let_go.where, {})[let_go] = None

    def ended(self, let_go: LetGo) -> None:
        """Note that the work has ended."""
        self.all.pop(let_go, None)
        if running := self._running.get(let_go.where):
            running.pop(let_go, None)
            if not running:
                del self._running[let_go.where]

    def running_at(self, place: str) -> Mapping[LetGo, None]:
        """What may still run at one of the places, the oldest first."""
        return self._running.get(place, {})
