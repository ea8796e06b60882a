"""What a sweep has done and found, as facts, and as text for people.

Nothing here runs anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from attrs import frozen

from ._lines import Line


class Problem(Enum):
    """What was wrong after the client had left."""

    NOT_STOPPED = "not stopped"
    """The handler waits on as if nothing had happened, has survived its cancellation, or waited for
    work that nothing could stop, and that was let go."""
    SWALLOWED = "swallowed the cancellation"
    """The handler was made to go on and did not end, but waits for something else."""
    LEFT = "left behind"
    """A delayed call, a temporary file, or a scope that has not closed."""
    ERROR = "error"
    """A failure was logged, such as an unhandled error in a Deferred."""
    HOOKS = "hooks"
    """The hooks of the scope did not run just once."""
    OTHERS = "others"
    """Another client, then or later, was not answered as it should have been."""
    CHECK = "check"
    """The check that you gave raised an AssertionError."""
    ENDLESS = "endless"
    """The request, left alone, never comes to an end."""


Problems = Iterable[tuple[Problem, str]]
"""What was found, and the text that tells it."""


@frozen
class Point:
    """A point at which the client left.

    Attributes:
        number: which of its pass, from 1.
        seconds: since the request.
        lines: where the handler waited. Empty for one that consists of callbacks.
        pending: the delayed calls that it waited for.
        is_forced: the Deferred that was awaited had fired already, and was made to wait.
        is_beside: another client waited for the same.
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
    """Something that is wrong.

    Attributes:
        problem: what kind.
        text: says it.
        point: where the client had left; None where it is wrong when nobody leaves.
    """

    problem: Problem
    text: str
    point: Point | None = None

    def __str__(self) -> str:
        return f"{self.problem.value}: {self.text}"


TITLES = {
    (False, False): "left while it waited",
    (True, False): "left where it was forced to wait: what it awaits had fired already",
    (False, True): "left while another client waited for the same",
}
"""The parts of a report, by whether a point is forced, and is beside another client."""


@frozen
class Report:
    """What a sweep has covered, and what it has found; its ``str`` tells it all.

    Attributes:
        request: what was asked for.
        points: where the client left, in order.
        findings: what is wrong.
        is_complete: whether the points were all that there are.
    """

    request: str
    points: tuple[Point, ...] = ()
    findings: tuple[Finding, ...] = ()
    is_complete: bool = True

    @property
    def lines(self) -> frozenset[Line]:
        """All lines that the client left at."""
        return frozenset(line for point in self.points for line in point.lines)

    def __str__(self) -> str:
        text = [
            f"sweep of {self.request}: {len(self.points)} points, {len(self.findings)} findings"
        ]
        if not self.is_complete:
            text.append("  There are more points: the request had not ended.")
        for (is_forced, is_beside), title in TITLES.items():
            text += self._section(is_forced, is_beside, title)
        text += [f"when nobody left:\n        {e}" for e in self.findings if e.point is None]
        return "\n".join(text)

    def _section(self, is_forced: bool, is_beside: bool, title: str) -> list[str]:
        text = []
        for point in self.points:
            if (point.is_forced, point.is_beside) == (is_forced, is_beside):
                text.append(f"  {point}")
                found = [each for each in self.findings if each.point is point]
                text += [f"        {each}" for each in found]
        return [f"{title}:", *text] if text else []


class SweepFailed(AssertionError):
    """A sweep has found something.

    Attributes:
        report: all of it.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report
