"""What is told of each private or undocumented name of Twisted; the table is `names`."""

from __future__ import annotations

from typing import Any

from attrs import frozen

NONE: Any = object()
"""Stands for no stand-in."""


@frozen
class Needed:
    """Names that one use needs.

    Attributes:
        use: what `check` is called with.
        names: each as ``module:Class.attribute`` or ``module:Class``; where releases differ, as
            ``module:Class.attribute|other``.
        without: what does not work, or works differently, where one of them is missing.
        stand_in: what an attribute that is missing reads as, on all instances of its class. For
            those that many modules read; each reads as what asks for the most caution.
    """

    use: str
    names: tuple[str, ...]
    without: str
    stand_in: Any = NONE


def of(prefix: str, *names: str) -> tuple[str, ...]:
    """Names that begin alike."""
    return tuple(prefix + name for name in names)
