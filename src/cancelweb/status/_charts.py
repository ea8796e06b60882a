"""The charts of the status page, as SVG."""

from __future__ import annotations

from ._assets import ROWS
from ._history import HEIGHT, SECONDS, History, Line, Point
from ._markup import HTML, joined
from ._words import number


def charts(history: History, now: float) -> HTML:
    """A chart for each number that is sampled, up to now."""
    return joined(
        _chart(title, line, now)
        for title, line in [
            ("Requests in flight", history.in_flight()),
            ("Cancelled per second", history.cancelled()),
        ]
    )


def _chart(title: str, line: Line, now: float) -> HTML:
    runs, most = line.drawn(now), f"at most {number(line.most)}"
    return ROWS["chart"].fill(
        id=title.lower().replace(" ", "-"),
        title=title,
        most=most,
        label=f"{title}, the last {SECONDS // 60} minutes: {most}, now {number(line.now)}",
        box=f"0 0 {SECONDS} {HEIGHT}",
        line=_path_of(runs),
        area=_path_of(_filled(runs)),
    )


def _path_of(runs: list[list[Point]]) -> str:
    """Lines as the ``d`` of an SVG path."""
    return " ".join("M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in run) for run in runs)


def _filled(runs: list[list[Point]]) -> list[list[Point]]:
    """Lines made into areas above the lower edge."""
    return [[(run[0][0], HEIGHT), *run, (run[-1][0], HEIGHT)] for run in runs]
