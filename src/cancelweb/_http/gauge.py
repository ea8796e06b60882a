"""How far the response of a request of Twisted has come, for the limits of its scope.

Facts only: what has been written, what the client has taken, and how long it says it will wait.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import inf
from typing import Any

from .._log import log
from .._scopes.gauge import Gauge
from .._twisted.access import (
    is_reset,
    is_waiting_for_transport,
    stream_connection_of,
    window_of,
)
from .._twisted.checks import check
from .request_facts import has_begun

check("writes")
check("unsent bytes")
_KNOWS_PAUSES = check("pauses")

_SECONDS = re.compile(rb"[0-9]+(\.[0-9]*)?|\.[0-9]+")


class ResponseGauge(Gauge):
    """Looks at a request of Twisted, or at a double that may lack anything."""

    def produced(self, request: Any) -> object:
        """See `Gauge`: None while the client has paused the producer of the response."""
        if not has_begun(request):
            return 0
        # A handler without a producer is never held up, however slow the client is.
        if getattr(request, "producer", None) is not None and _is_full(request):
            return None
        return 1 + _sent(request) + _dropped(request)

    def taken(self, request: Any) -> object:
        """See `Gauge`: None while there is room for more."""
        if not (has_begun(request) and _is_full(request)):
            return None
        if stream_connection_of(request.channel) is not None:
            return _taken_of_stream(request)
        # A producer writes only after the client has made room. Between two writes the transport
        # may look the same each time.
        written = None if getattr(request, "producer", None) is None else _sent(request)
        return _unsent(request.channel.transport), written

    has_begun = staticmethod(has_begun)

    def seconds_asked(self, request: Any, header: str) -> float | None:
        """See `Gauge`. What makes no sense is ignored."""
        values = request.requestHeaders.getRawHeaders(header.encode("ascii"), ())
        if len(values) == 1 and _SECONDS.fullmatch(values[0].strip()):
            seconds = float(values[0])
            if 0 < seconds < inf:
                return seconds
        if values:
            log.debug(
                "ignored {header} {values}: it must be one number of seconds, more than 0",
                header=header,
                values=values,
            )
        return None


def _sent(request: Any) -> int:
    # The sum is a new object: a NaN, which stands in for a missing name, must not equal itself.
    sent: int = getattr(request, "sentLength", 0) + 0
    return sent


class _Dropped:
    """The ``write`` of a response without a body, as to a HEAD: Twisted drops all of it.

    To write is what counts for ``timeout``, not what comes of it, so this counts the calls.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self.calls = 0

    def __call__(self, data: bytes) -> None:
        self.calls += 1
        self._write(data)


def _dropped(request: Any) -> int:
    """How often a response without a body was written to, since this was first asked."""
    # Twisted replaces the method once such a response has begun.
    write = getattr(request, "__dict__", {}).get("write")
    if write is None:
        return 0
    if not isinstance(write, _Dropped):
        request.write = write = _Dropped(write)
    return write.calls


def _is_full(request: Any) -> bool:
    """Whether what was written waits for the client, so that Twisted pauses producers."""
    channel: Any = getattr(request, "channel", None)
    connection = stream_connection_of(channel)
    if connection is None or not _KNOWS_PAUSES:
        return is_waiting_for_transport(channel)
    return not is_reset(channel) and connection.remainingOutboundWindow(channel.streamID) <= 0


def _taken_of_stream(request: Any) -> object:
    """What differs as soon as the client gives a stream room, or takes what there is room for."""
    channel = request.channel
    connection, window = stream_connection_of(channel), window_of(channel)
    queued = window - connection.remainingOutboundWindow(channel.streamID)
    # While there is room, the stream waits for the transport. Otherwise what the transport sends
    # is of other streams, which do not save this one.
    unsent = _unsent(connection.transport) if window > 0 else None
    return window, _sent(request) - queued, unsent


def _unsent(transport: Any) -> tuple[int, int]:
    """What differs as soon as a connection sends some of what waits in it."""
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below  # from TLS to what is below it
    return len(getattr(transport, "dataBuffer", b"")), getattr(transport, "offset", 0)
