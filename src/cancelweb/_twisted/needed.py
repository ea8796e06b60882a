"""The rows of the table of private or undocumented names of Twisted; the table is in `names`."""

from __future__ import annotations

from typing import Any

from attrs import frozen

NONE: Any = object()
"""Means that there is no stand-in."""


@frozen
class Needed:
    """Names that one use needs.

    Attributes:
        use: the argument for `check`.
        names: each as ``module:Class.attribute`` or ``module:Class``, or if releases differ, as
            ``module:Class.attribute|other``.
        without: what fails or changes if one of the names is missing; follows "Without it,".
        stand_in: what a missing attribute reads as, on all instances of its class. Used for
            attributes that many modules read; it is the value that asks for the most caution.
    """

    use: str
    names: tuple[str, ...]
    without: str
    stand_in: Any = NONE


def of(prefix: str, *names: str) -> tuple[str, ...]:
    """Names with the same prefix."""
    return tuple(prefix + name for name in names)
