"""Rapid resets: HTTP/2 clients that abandon requests whose work or cleanup is still running.

This module counts such requests per connection; `turned_away` answers 429. HTTP/1 needs no count,
because a client abandons a request by closing its connection.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from .._twisted.http2 import stream_connection_of

MAX_ABANDONED = 2000
"""The default limit. Requests that end in time do not reach it: Twisted 26.10 lets a client reset
1,000 streams and 33 more per second, and work and hooks have 15 seconds by default."""

ABANDONED = "_cancelweb_abandoned"
"""The attribute in which a connection has the claims of its abandoned requests."""


class Claim:
    """Counts one abandoned request on its connection, for as long as this object is alive.

    Only what still runs for the request refers to it: its scope, then the work that outlives the
    scope, and what was let go. So the count also falls if that work is garbage.
    """

    __slots__ = ("__weakref__",)


def claim_on(channel: Any) -> Claim | None:
    """Count an abandoned request on its connection; None over HTTP/1.

    Args:
        channel: the channel of the request; over HTTP/2, its stream.
    """
    connection = stream_connection_of(channel)
    if connection is None:
        return None
    claims: WeakSet[Claim] = vars(connection).setdefault(ABANDONED, WeakSet())
    claims.add(claim := Claim())
    return claim


def is_overrun(connection: object, max_abandoned: int | None) -> bool:
    """Whether a connection has reached the limit, so that further requests are turned away."""
    claims: WeakSet[Claim] | tuple[()] = getattr(connection, ABANDONED, ())
    return len(claims) >= (max_abandoned or MAX_ABANDONED)
