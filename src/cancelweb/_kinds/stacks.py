"""Stacks as records, logs and pages have them: the first and last few lines, cut if they are long.

A stack may have thousands of frames, and its lines may be descriptions that users wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Protocol

from .where import line_of, steps_of

FIRST = 4
"""How many lines of a long stack are kept at its beginning, where the user's own code often is."""

LAST = 8
"""How many are kept at its end, where the work waits."""

LONGEST = 300
"""How many characters of a line are kept: its end, which has the function."""


def stack_of(waits: object) -> str:
    """Where a coroutine, generator, Deferred or task waits, the innermost line last; may be empty.

    A long stack is cut in its middle.
    """
    steps = list(steps_of(waits))
    left_out = len(steps) - FIRST - LAST
    if left_out <= 1:
        return "\n".join(map(line_of, steps))
    first, last = map(line_of, steps[:FIRST]), map(line_of, steps[-LAST:])
    return "\n".join(chain(first, [f"… {left_out:,} more frames …"], last))


def shortened(text: str) -> str:
    """A description of where work waits, cut as a stack is: its middle lines, and long lines."""
    lines: Sequence[str] = text.splitlines()
    left_out = len(lines) - FIRST - LAST - 1
    if left_out > 0:
        lines = [*lines[:FIRST], f"… {left_out + 1:,} more lines …", *lines[-LAST:]]
    return "\n".join(map(_end_of, lines))


class Tells(Protocol):
    """An object that can tell where its work waits, such as a `Canceller`."""

    def where(self) -> str:
        """One or more lines, the innermost last."""


def innermost_line(canceller: Tells) -> str:
    """The last line that tells where the work waits."""
    return _end_of(canceller.where().rpartition("\n")[2])


def _end_of(line: str) -> str:
    return line if len(line) <= LONGEST else f"…{line[1 - LONGEST :]}"
