"""Which Deferreds a cancel only lets go: nothing stops the work behind them.

Finds them, before they are cancelled, and keeps an eye on each. What follows is for the scopes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from os.path import dirname, sep
from typing import Any
from weakref import ReferenceType, ref

from attrs import frozen
from twisted.internet.defer import Deferred

from .._twisted.access import canceller_of
from .._twisted.checks import check
from .._twisted.drivers import driver_behind
from .._twisted.variables import is_endless_body

check("let go")

_SUSPECTS = frozenset(
    (
        *("race.<locals>.cancel", "_fork.<locals>.<lambda>"),  # they pass it on
        *("readBody.<locals>.cancel", "Wait._cancel"),  # the last is our own
        "Deferred.fromFuture.<locals>.cancel",
    )
)
"""The cancellers, by their names, that may let a part of the work go."""

LET_GO = "_cancelweb_let_go"
"""Where a Deferred of ours keeps what its canceller had to let go, a sequence of `Unstopped`."""

_POSITION = re.compile(r".+:\d+ in .+")

_NOT_OF_USERS = (dirname(asyncio.__file__) + sep, dirname(dirname(__file__)) + sep)
"""Where code is that would be the place of all its users: ``asyncio.to_thread``, or our own."""


@frozen(eq=False)
class Unstopped:
    """What was asked to stop, though nothing could stop it, or tell whether it has stopped.

    Attributes:
        what: what it is.
        where: the place where it was awaited, in one line; empty if Python cannot tell.
        runs: refers weakly to what lives for as long as the work runs, at the least: the Deferred,
            to which the code that will fire it refers. None if there is no such thing.
    """

    what: str
    where: str = ""
    runs: ReferenceType[Any] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the work is known to have ended, or there never was any."""
        return self.runs is not None and self.runs() is None


def may_let_go(canceller: Callable[..., object] | None) -> bool:
    """Whether a leaf's canceller may let a part of the work go: a quick look, on the safe side."""
    return canceller is None or getattr(canceller, "__qualname__", None) in _SUSPECTS


def is_stoppable_leaf(deferred: Deferred[Any]) -> bool:
    """Whether this is a leaf, as most Deferreds are, with a canceller that stops the work.

    It is a Deferred of no other class.
    """
    canceller = canceller_of(deferred)
    return not (deferred.called or may_let_go(canceller) or driver_behind(canceller) is not None)


def unstoppable_of(found: Iterable[Deferred[Any]]) -> list[Deferred[Any]]:
    """Those of several leaves that nothing can stop."""
    return [leaf for leaf in found if is_unstoppable(leaf)]


def is_unstoppable(leaf: Deferred[Any]) -> bool:
    """Whether a cancel does no more than end the wait."""
    if canceller_of(leaf) is not None:
        return is_endless_body(leaf)
    # An override decides what a cancel does. One that was called passes it on, if we cannot.
    return getattr(leaf.cancel, "__func__", None) is Deferred.cancel and not leaf.called


def watch_over_all(found: Iterable[Deferred[Any]], told: str) -> tuple[Unstopped, ...]:
    """Keep an eye on Deferreds that are about to be cancelled in vain.

    Args:
        found: the Deferreds.
        told: where their work waits, line by line, the innermost last.
    """
    where = position_in(told)
    return tuple(Unstopped(f"a {type(each).__name__}", where, ref(each)) for each in found)


def position_in(told: str) -> str:
    """The innermost line of code among the lines that tell where work waits, or an empty str.

    Code of asyncio itself, or of cancelweb, is named only where there is no other.
    """
    positions = [line for line in told.splitlines() if _POSITION.fullmatch(line)]
    others = [line for line in positions if not line.startswith(_NOT_OF_USERS)]
    return (others or positions or [""])[-1]
