"""Wait until connections are quiet: their bytes are sent, and no new request comes.

The last step of a drain.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.tcp import Server

from .._http.request_facts import has_streams
from .._twisted.checks import check

check("unsent")

FLUSH = 1.0
"""Seconds that connections have to send what was written at the very end."""

LINGER = 0.5
"""Seconds without a new request after which open connections count as idle.

A client that was not told that its connection is about to close may be sending a request on it. The
request is lost if nothing reads it (RFC 9112, section 9.6).
"""

GLANCE = 0.01
"""Seconds between two looks at the connections."""


async def until_quiet(clock: IReactorTime, opened: Callable[[], int], deadline: float) -> None:
    """Wait until connections have sent their bytes, and for the last requests.

    "Finished" is not "sent": at shutdown, Twisted closes connections even if they hold unsent
    bytes. The reactor shows such bytes only as a connection that wants to write.

    Args:
        clock: a reactor, or a clock that has no connections.
        opened: returns how many scopes have ever been opened.
        deadline: until when to wait for clients that do not read; `FLUSH` seconds at least.
    """
    began = quiet_since = clock.seconds()
    known = opened()
    # Twisted writes the bytes that a handler returned only after the handler's scope closed.
    await deferLater(clock, 0)
    while (now := clock.seconds()) < max(deadline, began + FLUSH):
        if known != opened():
            known, quiet_since = opened(), now
        # Endless requests do not extend FLUSH.
        lingers = now < min(began + FLUSH, quiet_since + LINGER) and connections_of(clock)
        if not lingers and not _is_sending(clock):
            return
        await deferLater(clock, GLANCE)


def _is_sending(clock: IReactorTime) -> bool:
    if not IReactorFDSet.providedBy(clock):
        return False
    if any(isinstance(each, Server) for each in clock.getWriters()):
        return True
    return any(has_streams(getattr(each, "protocol", None)) for each in connections_of(clock))


def connections_of(clock: IReactorTime) -> list[Server]:
    """The connections of clients that a reactor reads from."""
    if not IReactorFDSet.providedBy(clock):
        return []
    return [each for each in clock.getReaders() if isinstance(each, Server)]
