"""How the numbers went in the last minutes: samples, and lines through them for a chart.

Nothing here samples by itself: who looks at the page does. While nobody looks there are no samples,
and the line has a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise

from attrs import define, field, frozen

SECONDS = 120
"""How far back it goes, and how wide a chart is."""

HEIGHT = 40
"""How high a chart is."""

GAP = 5.0
"""Seconds without a sample from which on nothing is known of what was between."""

Point = tuple[float, float]


@frozen
class Line:
    """What one chart shows.

    Attributes:
        now: the newest value.
        most: the greatest.
        runs: the points without gaps between them; time in seconds, the oldest first, and value.
    """

    now: float
    most: float
    runs: list[list[Point]]

    def drawn(self, end: float) -> list[list[Point]]:
        """The points on a chart that ends at that time, from its upper left corner."""
        scale = (HEIGHT - 2) / max(self.most, 1)
        return [
            [(SECONDS - (end - time), HEIGHT - 1 - value * scale) for time, value in run]
            for run in self.runs
        ]


@define(eq=False)
class History:
    """Samples of two numbers: how many requests are in flight, and how many were cancelled."""

    _samples: deque[tuple[float, int, int]] = field(factory=deque)

    def note(self, now: float, in_flight: int, cancelled: int) -> None:
        """Note how it is now, and forget what is too old."""
        self._samples.append((now, in_flight, cancelled))
        while not 0 <= now - self._samples[0][0] <= SECONDS:
            self._samples.popleft()

    def in_flight(self) -> Line:
        """Requests in flight."""
        return _line((time, in_flight) for time, in_flight, _ in self._samples)

    def cancelled(self) -> Line:
        """Requests cancelled in a second."""
        return _line(self._rates())

    def _rates(self) -> Iterator[Point]:
        for (before, _, had), (time, _, has) in pairwise(self._samples):
            if before < time <= before + GAP:
                yield time, (has - had) / (time - before)


def _line(points: Iterable[Point]) -> Line:
    runs: list[list[Point]] = []
    for time, value in points:
        if not runs or time - runs[-1][-1][0] > GAP:
            runs.append([])
        runs[-1].append((time, value))
    values = [value for run in runs for _, value in run]
    return Line(now=values[-1] if values else 0, most=max(values, default=0), runs=runs)
