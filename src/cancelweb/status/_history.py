"""The numbers of the last minutes: samples, and lines through them for a chart.

Each rendering of the page adds a sample. While the page has no readers there are no samples, and
the line has a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise

from attrs import define, field, frozen

SECONDS = 120
"""How far back a chart goes; also its width."""

HEIGHT = 40
"""The height of a chart."""

GAP = 5.0
"""If two samples are further apart than these seconds, the line between them is left out."""

Point = tuple[float, float]


@frozen
class Line:
    """What one chart shows.

    Attributes:
        now: the newest value.
        most: the greatest value.
        runs: the points, as pairs of time in seconds and value, the oldest first. Each gap begins
            a new run.
    """

    now: float
    most: float
    runs: list[list[Point]]

    def drawn(self, end: float) -> list[list[Point]]:
        """The points of a chart that ends at this time, measured from the upper left corner."""
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
        """Add a sample, and drop the samples that are too old."""
        self._samples.append((now, in_flight, cancelled))
        while not 0 <= now - self._samples[0][0] <= SECONDS:
            self._samples.popleft()

    def in_flight(self) -> Line:
        """Requests in flight."""
        return _line((time, in_flight) for time, in_flight, _ in self._samples)

    def cancelled(self) -> Line:
        """Requests cancelled per second."""
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
