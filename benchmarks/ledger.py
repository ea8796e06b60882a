"""What a contender is credited with: the work that it has begun, completed and cancelled.

The work itself keeps the books, not the contender; of what is served to whom nothing is known here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import define

SOON = 0.001
"""Seconds that the work takes which is waited for."""


def ignore(event: str, at: int) -> None:
    """Tell nobody."""


@define(eq=False)
class Ledger:
    """Counts, and the last time that work was cancelled.

    Attributes:
        begun: how much work was begun.
        completed: how much came to its end.
        cancelled: how much was cancelled.
        last: when the last was, in nanoseconds on a clock that all processes share.
        tell: told what happens, and when.
    """

    begun: int = 0
    completed: int = 0
    cancelled: int = 0
    last: int = 0
    tell: Callable[[str, int], None] = ignore

    def begin(self) -> None:
        """Work begins."""
        self.begun += 1
        self.tell("begun", time.monotonic_ns())

    def complete(self) -> None:
        """Work has come to its end."""
        self.completed += 1

    def cancel(self) -> None:
        """Work was cancelled."""
        self.cancelled += 1
        self.last = time.monotonic_ns()
        self.tell("cancelled", self.last)

    def running(self) -> int:
        """How much runs."""
        return self.begun - self.completed - self.cancelled

    def counts(self) -> dict[str, int]:
        """The books."""
        return {
            "begun": self.begun,
            "completed": self.completed,
            "cancelled": self.cancelled,
            "running": self.running(),
            "last": self.last,
        }


@define(eq=False)
class Books:
    """Both ledgers of a server.

    Attributes:
        soon: of the work that ends soon.
        never: of the work that ends only when it is cancelled.
    """

    soon: Ledger
    never: Ledger
