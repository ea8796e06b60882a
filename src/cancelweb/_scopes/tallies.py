"""What is counted in one second of a burst, and the lines that tell it, which are bounded.

When requests are counted and when lines are written is for `bursts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from heapq import nlargest
from operator import itemgetter

from attrs import define, field

from .._log import ended_text, log, printable, why
from ..causes import Ended, Outcome

MOST_PATHS = 100
"""How many paths are counted one by one in a second: clients choose them, and need repeat none."""

NAMED = 3
"""How many of these a line names: the most frequent."""

LONGEST = 200
"""Characters of a path, or of the text of a cause or an error, in a line."""

Page = tuple[bytes, bytes]
"""A method and a path."""


class _What(Enum):
    """What a line of counts is about: the words for one request and for several."""

    FAILED = "request ended with an error", "requests ended with errors"
    CANCELLED = "request was cancelled", "requests were cancelled"
    SPARED = "request was left alone", "requests were left alone"

    @classmethod
    def of(cls, outcome: Outcome) -> _What:
        """That of the line in which this is counted."""
        if outcome.failure is not None:
            return cls.FAILED
        return cls.SPARED if outcome.cause is None else cls.CANCELLED


@define(eq=False)
class Tally:
    """The requests of one second that ended in the same way and for the same cause.

    It keeps no `Outcome`: a cause or a failure may refer to its request.

    Attributes:
        what: the line that it belongs to.
        ended: how they ended.
        cause: the name of the cause's class.
        error: the name of the failure's class.
        text: how and why the first of them ended.
        count: how many they are.
        paths: by method and path, how many; of `MOST_PATHS` at most.
    """

    what: _What
    ended: Ended
    cause: str | None
    error: str | None
    text: str
    count: int = 0
    paths: dict[Page, int] = field(factory=dict)

    @classmethod
    def like(cls, outcome: Outcome) -> Tally:
        """An empty one, for outcomes like this."""
        reason, failure = outcome.cause or outcome.would_have_cancelled, outcome.failure
        return cls(
            what=_What.of(outcome),
            ended=outcome.ended,
            cause=None if reason is None else type(reason).__name__,
            error=None if failure is None else type(failure.value).__name__,
            text=_short(f"{ended_text(outcome.ended)}: {why(outcome)}"),
        )

    def add(self, page: Page) -> None:
        """Count one request."""
        self.count += 1
        if page in self.paths:
            self.paths[page] += 1
        elif len(self.paths) < MOST_PATHS:
            self.paths[page] = 1

    def facts(self) -> dict[str, object]:
        """What the event tells of it."""
        return {
            "ended": self.ended,
            "cause": self.cause,
            "error": self.error,
            "count": self.count,
            "paths": {_page_text(page): count for page, count in self._most()},
        }

    def described(self) -> str:
        """What the line tells of it."""
        most = self._most()
        parts = [f"{count:,} {_short(_page_text(page))}" for page, count in most]
        others = self.count - sum(count for _, count in most)
        if others:
            parts.append(f"{others:,} of other paths")
        return f"{self.text}: {', '.join(parts)}"

    def _most(self) -> list[tuple[Page, int]]:
        return nlargest(NAMED, self.paths.items(), key=itemgetter(1))


def _page_text(page: Page) -> str:
    method, path = page
    return f"{printable(method)} {printable(path)}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def log_counts(tallies: Iterable[Tally], seconds: float) -> None:
    """Log what was counted: a line for what was cancelled, and for what ended otherwise.

    Args:
        tallies: those of one second.
        seconds: how long that was.
    """
    for what in _What:
        if alike := [each for each in tallies if each.what is what]:
            _log_line(what, alike, seconds)


def _log_line(what: _What, tallies: list[Tally], seconds: float) -> None:
    one, several = what.value
    count = sum(each.count for each in tallies)
    log.info(
        "{count:,} more {what_text} in {seconds:.1f} s: {counts_text}",
        count=count,
        seconds=seconds,
        counts=[each.facts() for each in tallies],
        what_text=one if count == 1 else several,
        counts_text="; ".join(each.described() for each in tallies),
    )
