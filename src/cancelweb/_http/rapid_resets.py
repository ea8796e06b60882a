"""Rapid resets: clients that abandon requests over HTTP/2 faster than these are cleaned up.

Only the count and its limit; the answer is in `turned_away`. Over HTTP/1 there is nothing to count:
a request that is lost takes its connection along.
"""

from __future__ import annotations

from typing import Any

from .._twisted.access import stream_connection_of

MAX_CLEANUPS = 100
"""As many as a client may have open at once over HTTP/2, in Twisted as in most servers."""

ABANDONED = "_cancelweb_abandoned"
"""Where a connection keeps the scopes of its lost requests, for as long as they are not closed."""


def abandoned_beside(channel: Any) -> set[object] | None:
    """The scopes of a connection's lost requests that are still cleaned up; None over HTTP/1.

    Args:
        channel: that of a request.
    """
    connection = stream_connection_of(channel)
    if connection is None:
        return None
    abandoned: set[object] = vars(connection).setdefault(ABANDONED, set())
    return abandoned


def is_overrun(connection: object, max_cleanups: int | None) -> bool:
    """Whether the limit is reached: no more requests may be cleaned up at once."""
    abandoned: set[object] = getattr(connection, ABANDONED, set())
    return len(abandoned) >= (max_cleanups or MAX_CLEANUPS)
