"""Find the Deferreds that a cancel only lets go, because nothing stops the work behind them.

Finds them before the cancel, and keeps a weak reference to each to tell when it has ended.
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
        *("race.<locals>.cancel", "_fork.<locals>.<lambda>"),  # these pass the cancel on
        *("readBody.<locals>.cancel", "Wait._cancel"),  # the last is cancelweb's own
        "Deferred.fromFuture.<locals>.cancel",
    )
)
"""The names of the cancellers that may let part of the work go."""

LET_GO = "_cancelweb_let_go"
"""The attribute of our Deferreds that lists what their canceller let go, as `Unstopped`."""

_POSITION = re.compile(r".+:\d+ in .+")

_NOT_OF_USERS = (dirname(asyncio.__file__) + sep, dirname(dirname(__file__)) + sep)
"""The code of asyncio and cancelweb: a line there would be the same for all callers."""


@frozen(eq=False)
class Unstopped:
    """Work that was asked to stop, though nothing could stop it or observe its end.

    Attributes:
        what: what the work is, in a few words.
        where: the line at which it was awaited; empty if Python cannot tell.
        runs: a weak reference to an object that lives at least as long as the work runs: the
            Deferred that the work's code will fire. None if there is no such object.
    """

    what: str
    where: str = ""
    runs: ReferenceType[Any] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the work is known to have ended, or never existed."""
        return self.runs is not None and self.runs() is None


def may_let_go(canceller: Callable[..., object] | None) -> bool:
    """Whether a leaf's canceller may let part of the work go: a quick look; errs towards yes."""
    return canceller is None or getattr(canceller, "__qualname__", None) in _SUSPECTS


def is_stoppable_leaf(deferred: Deferred[Any]) -> bool:
    """Whether a Deferred is a leaf with a canceller that stops the work, as most Deferreds are.

    Call this only for instances of Deferred itself, not of a subclass.
    """
    canceller = canceller_of(deferred)
    return not (deferred.called or may_let_go(canceller) or driver_behind(canceller) is not None)


def unstoppable_of(found: Iterable[Deferred[Any]]) -> list[Deferred[Any]]:
    """The leaves that nothing can stop."""
    return [leaf for leaf in found if is_unstoppable(leaf)]


def is_unstoppable(leaf: Deferred[Any]) -> bool:
    """Whether a cancel of this leaf only ends the wait for its work."""
    if canceller_of(leaf) is not None:
        return is_endless_body(leaf)
    # An overridden ``cancel`` decides what it stops. A called Deferred whose result cannot be read
    # passes the cancel on itself.
    return getattr(leaf.cancel, "__func__", None) is Deferred.cancel and not leaf.called


def watch_over_all(found: Iterable[Deferred[Any]], told: str) -> tuple[Unstopped, ...]:
    """Note Deferreds that are about to be cancelled in vain.

    Args:
        found: the Deferreds.
        told: where their work waits, line by line, the innermost last.
    """
    where = position_in(told)
    return tuple(Unstopped(f"a {type(each).__name__}", where, ref(each)) for each in found)


def position_in(told: str) -> str:
    """The innermost line of code in a text that tells where work waits, or an empty str.

    Lines of asyncio or cancelweb count only if there are no others.
    """
    positions = [line for line in told.splitlines() if _POSITION.fullmatch(line)]
    others = [line for line in positions if not line.startswith(_NOT_OF_USERS)]
    return (others or positions or [""])[-1]
