"""The counts of one second of a burst, and the log lines for them, which have a bounded length.

`bursts` decides when requests are counted and when lines are written.
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
"""How many different paths are counted per second, at most. Clients may send any number of them."""

NAMED = 3
"""How many paths a line names, the most frequent ones."""

LONGEST = 200
"""The most characters of a path, or of the text of a cause or an error, in a line."""

Page = tuple[bytes, bytes]
"""A method and a path."""


class _What(Enum):
    """The subject of a line of counts: the words for one request and for several."""

    FAILED = "request ended with an error", "requests ended with errors"
    CANCELLED = "request was cancelled", "requests were cancelled"
    SPARED = "request was spared", "requests were spared"

    @classmethod
    def of(cls, outcome: Outcome) -> _What:
        """The subject of the line in which this outcome is counted."""
        if outcome.failure is not None:
            return cls.FAILED
        return cls.SPARED if outcome.cause is None else cls.CANCELLED


@define(eq=False)
class Tally:
    """The count of requests that ended in one second in the same way and for the same cause.

    A tally keeps no `Outcome`, because a cause or a failure may refer to its request.

    Attributes:
        what: the subject of the line.
        ended: how the requests ended.
        cause: the name of the cause's class.
        error: the name of the failure's class.
        text: how and why the first request ended.
        count: the number of requests.
        paths: the number of requests by method and path; at most `MOST_PATHS` entries.
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
        """An empty tally for outcomes like this one."""
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
        """The facts for the log event."""
        return {
            "ended": self.ended,
            "cause": self.cause,
            "error": self.error,
            "count": self.count,
            "paths": {_page_text(page): count for page, count in self._most()},
        }

    def described(self) -> str:
        """The text for the log line."""
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
    """Log the counts: one line each for failed, cancelled and spared requests.

    Args:
        tallies: the tallies of one second.
        seconds: how long that second really was.
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
