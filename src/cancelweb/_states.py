"""The states that a request, its scope, and each piece of its work go through.

Enums only, in the order in which they are gone through.
"""

from __future__ import annotations

from enum import Enum, auto


class Fate(Enum):
    """What became of the request."""

    OPEN = auto()
    FINISHED = auto()
    LOST = auto()


class Phase(Enum):
    """How far the scope is on its way to its end."""

    OPEN = auto()
    CLEANING = auto()
    CLOSED = auto()


class Step(Enum):
    """How far one piece of work is on its way to its end."""

    RUNNING = auto()
    ASKED = auto()
    SURVIVOR = auto()
    SETTLED = auto()
