"""Rapid resets: clients that abandon requests over HTTP/2 faster than these are cleaned up.

Only the count and its limit; the answer is in `turned_away`. Over HTTP/1 there is nothing to count:
a request that is lost takes its connection along.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from .._scopes.scope import Scope
from .._scopes.states import State
from .._twisted.access import stream_connection_of

MAX_CLEANUPS = 100
"""As many as a client may have open at once over HTTP/2, in Twisted as in most servers."""

ATTRIBUTE = "_cancelweb_abandoned"
"""Where a connection keeps the scopes of its lost requests, for as long as they are not closed."""


def note_abandoned(channel: Any, scope: Scope) -> None:
    """The request was lost, and its scope still waits for work or for hooks."""
    connection = stream_connection_of(channel)
    if connection is not None:
        vars(connection).setdefault(ATTRIBUTE, WeakSet()).add(scope)


def is_overrun(connection: object, max_cleanups: int | None) -> bool:
    """Whether as many abandoned requests as may be have still to be cleaned up."""
    abandoned: WeakSet[Scope] | None = getattr(connection, ATTRIBUTE, None)
    most = max_cleanups or MAX_CLEANUPS
    if abandoned is None or len(abandoned) < most:
        return False
    # User code may keep scopes that have closed long ago.
    abandoned -= {each for each in abandoned if each.state is State.CLOSED}
    return len(abandoned) >= most
