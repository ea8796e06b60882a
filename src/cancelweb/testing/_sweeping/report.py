"""What a sweep has covered and found, as data and as text.

Nothing here runs anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from attrs import frozen

from ..._checks import check_instance
from .lines import Line


class Problem(Enum):
    """What was wrong after the client had left."""

    NOT_STOPPED = "not stopped"
    """The handler still waits as if nothing had happened, it has survived its cancel, or it waited
    for work that was let go because nothing could stop it."""
    SWALLOWED = "swallowed the cancellation"
    """The handler was resumed and did not end, but waits for something else."""
    LEFT = "left behind"
    """A delayed call, a temporary file, or a scope that has not closed."""
    ERROR = "error"
    """A failure was logged, such as an unhandled error in a Deferred."""
    HOOKS = "hooks"
    """The hooks of the scope did not run exactly once."""
    OTHERS = "wrong answer"
    """Another client, at the same time or later, did not get the answer that it should have."""
    CHECK = "check"
    """Your ``check`` raised an AssertionError."""
    ENDLESS = "endless"
    """The request never ends, even if its client stays."""


Problems = Iterable[tuple[Problem, str]]
"""The problems that were found, each with a text."""


@frozen
class Point:
    """A point at which the client left.

    Attributes:
        number: its number in its pass, from 1.
        seconds: the time since the request.
        lines: where the handler waited. Empty for a handler that consists of callbacks.
        pending: the delayed calls that were on the clock.
        is_forced: whether the awaited Deferred had already fired, and the handler was made to wait.
        is_beside: whether another client waited for the same.
    """

    number: int
    seconds: float
    lines: tuple[Line, ...]
    pending: tuple[str, ...] = ()
    is_forced: bool = False
    is_beside: bool = False

    def __str__(self) -> str:
        where = "; ".join(map(str, self.lines)) or ", ".join(self.pending) or "waiting"
        return f"{self.number:>4}  {self.seconds:g} s  {where}"


@frozen
class Finding:
    """A problem that a sweep has found.

    Attributes:
        problem: its kind.
        text: its description.
        point: where the client left, or None if it stayed.
    """

    problem: Problem
    text: str
    point: Point | None = None

    def __str__(self) -> str:
        return f"{self.problem.value}: {self.text}"


TITLES = {
    (False, False): "the client left while the handler waited",
    (True, False): "the client left at a forced wait (the awaited Deferred had already fired)",
    (False, True): "the client left while another client waited for the same",
}
"""The headings of a report, by whether a point is forced, and whether another client waited."""


@frozen
class Report:
    """What a sweep has covered and found; its ``str`` is the whole report.

    Attributes:
        request: the request that was made.
        points: where the client left, in order.
        findings: the problems.
        is_complete: whether these points are all that there are.
    """

    request: str
    points: tuple[Point, ...] = ()
    findings: tuple[Finding, ...] = ()
    is_complete: bool = True

    @property
    def lines(self) -> frozenset[Line]:
        """All lines at which the client left."""
        return frozenset(line for point in self.points for line in point.lines)

    def __str__(self) -> str:
        points, findings = _count(self.points, "point"), _count(self.findings, "finding")
        text = [f"sweep of {self.request}: {points}, {findings}"]
        if not self.is_complete:
            text.append("  There are more points: the request had not ended.")
        for (is_forced, is_beside), title in TITLES.items():
            text += self._section(is_forced, is_beside, title)
        text += [f"the client stayed:\n        {e}" for e in self.findings if e.point is None]
        return "\n".join(text)

    def _section(self, is_forced: bool, is_beside: bool, title: str) -> list[str]:
        text = []
        for point in self.points:
            if (point.is_forced, point.is_beside) == (is_forced, is_beside):
                text.append(f"  {point}")
                found = [each for each in self.findings if each.point is point]
                text += [f"        {each}" for each in found]
        return [f"{title}:", *text] if text else []


def _count(things: tuple[object, ...], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


class SweepFailed(AssertionError):
    """A sweep has found problems.

    Attributes:
        report: the whole report.
    """

    def __init__(self, report: Report) -> None:
        check_instance("report", report, Report, "a cancelweb.testing.Report")
        super().__init__(str(report))
        self.report = report
