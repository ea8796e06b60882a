"""Rapid resets: HTTP/2 clients that abandon requests faster than these can be cleaned up.

This module counts abandoned requests per connection; `turned_away` answers 429. HTTP/1 needs no
count, because a client abandons a request by closing its connection.
"""

from __future__ import annotations

from typing import Any

from .._twisted.access import stream_connection_of

MAX_CLEANUPS = 100
"""The default limit: as many requests as an HTTP/2 client may have open at once in Twisted."""

ABANDONED = "_cancelweb_abandoned"
"""The attribute in which a connection keeps the scopes of its lost requests until they close."""


def abandoned_beside(channel: Any) -> set[object] | None:
    """The scopes of a connection's lost requests that have not closed; None over HTTP/1.

    Args:
        channel: the channel of a request; over HTTP/2, its stream.
    """
    connection = stream_connection_of(channel)
    if connection is None:
        return None
    abandoned: set[object] = vars(connection).setdefault(ABANDONED, set())
    return abandoned


def is_overrun(connection: object, max_cleanups: int | None) -> bool:
    """Whether a connection has reached the limit, so that further requests are turned away."""
    abandoned: set[object] = getattr(connection, ABANDONED, set())
    return len(abandoned) >= (max_cleanups or MAX_CLEANUPS)
