"""What the demonstration counts, for each page that is open in a browser."""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from .. import Disconnected, Ended, Outcome, TimedOut


@define(eq=False)
class Tally:
    """The numbers of one page. A chain of requests counts as one.

    Attributes:
        counts: how many requests have ended, by how.
        left: how many of these had been left by their client.
        slowest: the longest time that work took to stop after its client had left, in seconds.
    """

    counts: Counter[str] = field(factory=Counter)
    left: int = 0
    slowest: float = 0.0

    def note(self, outcome: Outcome) -> None:
        """Count how a request ended."""
        how = ending(outcome)
        self.counts[how] += 1
        self.left += isinstance(outcome.cause or outcome.would_have_cancelled, Disconnected)
        if how == "stopped" and outcome.cancelled is not None:
            self.slowest = max(self.slowest, outcome.stopped - outcome.cancelled)


def ending(outcome: Outcome) -> str:
    """How a request ended, in the page's words.

    ``wasted`` is work that ran to its end after its client had left.
    """
    if outcome.ended not in (Ended.COMPLETED, Ended.STOPPED):
        return "trouble"
    if outcome.cause is not None:
        return "timed_out" if isinstance(outcome.cause, TimedOut) else "stopped"
    return "wasted" if isinstance(outcome.would_have_cancelled, Disconnected) else "answered"


def page_of(path: bytes) -> bytes:
    """The page that a request with this path came from; empty if it came from no page."""
    last = path.rpartition(b"/")[2]
    return last if last.startswith(b"page-") else b""
