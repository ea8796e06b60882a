"""Progress of a response, for the time limits: written by the handler, taken by the client.

Also reads how long the client says it will wait. Facts only; the limits are in `_scopes.limits`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import inf
from typing import Any

from .._log import log
from .._scopes.gauge import Gauge
from .._twisted.access import is_waiting_for_transport
from .._twisted.checks import check
from .._twisted.http2 import is_reset, stream_connection_of, window_of
from .request_facts import has_begun

check("writes")
check("unsent bytes")
_KNOWS_PAUSES = check("pauses")

_SECONDS = re.compile(rb"[0-9]+(\.[0-9]*)?|\.[0-9]+")


class ResponseGauge(Gauge):
    """Reads the progress of a Twisted request, or of a test double that may lack any attribute."""

    def produced(self, request: Any) -> object:
        """See `Gauge`: None while the client has paused the producer of the response."""
        if not has_begun(request):
            return 0
        # A handler without a producer is never held up by a slow client.
        if getattr(request, "producer", None) is not None and _is_full(request):
            return None
        return 1 + _sent(request) + _dropped(request)

    def taken(self, request: Any) -> object:
        """See `Gauge`: None while there is room for more."""
        if not (has_begun(request) and _is_full(request)):
            return None
        if stream_connection_of(request.channel) is not None:
            return _taken_of_stream(request)
        # A producer writes only after the client has made room, so its writes count as taken. The
        # transport alone may look the same at each check, if the producer refills it in between.
        written = None if getattr(request, "producer", None) is None else _sent(request)
        return _unsent(request.channel.transport), written

    has_begun = staticmethod(has_begun)

    def seconds_asked(self, request: Any, header: str) -> float | None:
        """See `Gauge`. A value that is not one number above 0 is ignored."""
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
    # A NaN stands in for a missing private name and must never equal an earlier one. Tuples compare
    # their members by identity first, so this returns a new object each time.
    sent: int = getattr(request, "sentLength", 0) + 0
    return sent


class _Dropped:
    """Counts the calls of ``write`` on a response without a body, such as one to a HEAD.

    Twisted drops what is written there, yet each write counts for ``timeout``.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self.calls = 0

    def __call__(self, data: bytes) -> None:
        self.calls += 1
        self._write(data)


def _dropped(request: Any) -> int:
    """How often a response without a body was written to, since the first call of this function."""
    # Twisted replaces ``write`` on the instance when such a response begins.
    write = getattr(request, "__dict__", {}).get("write")
    if write is None:
        return 0
    if not isinstance(write, _Dropped):
        request.write = write = _Dropped(write)
    return write.calls


def _is_full(request: Any) -> bool:
    """Whether written data waits for the client, so that Twisted pauses producers."""
    channel: Any = getattr(request, "channel", None)
    connection = stream_connection_of(channel)
    if connection is None or not _KNOWS_PAUSES:
        return is_waiting_for_transport(channel)
    return not is_reset(channel) and connection.remainingOutboundWindow(channel.streamID) <= 0


def _taken_of_stream(request: Any) -> object:
    """A value that changes when the client gives a stream room, or takes data that has room."""
    channel = request.channel
    connection, window = stream_connection_of(channel), window_of(channel)
    queued = window - connection.remainingOutboundWindow(channel.streamID)
    # While the window is open, the stream waits for the transport. While it is closed, the
    # transport sends data of other streams only, which says nothing about this one.
    unsent = _unsent(connection.transport) if window > 0 else None
    return window, _sent(request) - queued, unsent


def _unsent(transport: Any) -> tuple[int, int]:
    """A value that changes when a connection sends some of its waiting data."""
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below  # from TLS to the transport below it
    return len(getattr(transport, "dataBuffer", b"")), getattr(transport, "offset", 0)
