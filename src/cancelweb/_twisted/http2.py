"""Read the private names of Twisted's HTTP/2 and of the library h2, as `access` does for others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.web import server  # noqa: F401 - imports h2 if it is installed

from .checks import check


def stream_connection_of(channel: Any) -> Any:
    """The connection of a request's channel, if the channel is an HTTP/2 stream; else None."""
    return getattr(channel, "_conn", None)


def window_of(stream: Any) -> int:
    """How many bytes the client has room for, including those in the stream's queue.

    0 if that is unknown.
    """
    conn = getattr(stream_connection_of(stream), "conn", None)
    window: int = 0 if conn is None else conn.local_flow_control_window(stream.streamID)
    return window


def queue_of(stream: Any) -> Any:
    """What was written to a stream, and was not passed on to the connection's transport yet."""
    return stream_connection_of(stream)._outboundStreamQueues.get(stream.streamID)


def streams_of(protocol: Any) -> Any:
    """The open streams of a protocol that a Site has built, or None if it does not speak HTTP/2."""
    return getattr(getattr(protocol, "_channel", None), "streams", None)


def negotiates_http2(protocol: Any) -> bool:
    """Whether TLS has negotiated HTTP/2 for a protocol that a Site has built."""
    transport = getattr(http2_channel_of(protocol), "transport", None)
    return getattr(transport, "negotiatedProtocol", None) == b"h2"


def http2_channel_of(protocol: Any) -> Any:
    """What a protocol that a Site has built passes its reads to; None for other protocols.

    Over HTTP/2 this is the connection, once something was read.
    """
    return getattr(protocol, "_channel", None)


def h2_of(connection: Any) -> Any:
    """The connection of the library h2 behind Twisted's."""
    return connection.conn


def _cap(conn: Any, size: int) -> None:
    if conn.encoder.header_table_size > size:
        conn.encoder.header_table_size = size


_H2: Any = sys.modules.get("h2.connection")  # if h2 is installed, Twisted has imported it
_CLOSED = getattr(getattr(_H2, "ConnectionState", None), "CLOSED", None)


def _is_closed(conn: Any) -> bool:
    return conn.state_machine.state is _CLOSED


def _is_over(conn: Any, number: int) -> bool:
    """Whether a stream is closed."""
    stream = conn.streams.get(number)
    return stream is None or bool(stream.closed)


def _is_over_by_count(conn: Any, number: int) -> bool:
    """Do what `_is_over` does with public names of h2, which looks at all streams."""
    # h2 forgets closed streams when it counts the open ones.
    _ = conn.open_inbound_streams
    try:
        conn.local_flow_control_window(number)
    except Exception:
        # A NoSuchStreamError, whose class would have to be imported from h2.
        return True
    return False


def _never(*_: object) -> bool:
    """Stands in for a look that this Twisted or this h2 does not allow."""
    return False


is_closed: Callable[[Any], bool] = _is_closed if check("goodbyes") else _never
"""Whether h2 allows no more writes on a connection, after a GOAWAY or an error of one side."""

_look_at_stream = _is_over if check("states of streams") else _is_over_by_count


cap_header_table: Callable[[Any, int], object] = _cap if check("header tables") else _never
"""Have h2 remember at most so many bytes of header fields for the headers that it sends."""


def _is_reset(channel: Any) -> bool:
    connection = getattr(channel, "_conn", None)
    if connection is None:
        return False
    conn = connection.conn
    return is_closed(conn) or _look_at_stream(conn, channel.streamID)


is_reset: Callable[[Any], bool] = _is_reset if check("streams") else _never
"""Whether a request's channel is an HTTP/2 stream on which nothing can be written any more.

Twisted may not have reported it yet. The client may have reset the stream, or said goodbye, in the
bytes that are being handled. Or Twisted has said goodbye, and waits for the client to close.
"""


def _reset(stream: Any) -> bool:
    connection = stream_connection_of(stream)
    if connection is None:
        return False
    connection.conn.reset_stream(stream.streamID, 2)  # INTERNAL_ERROR: RFC 9113, section 7
    if connection._tryToWriteControlData():
        connection._requestDone(stream.streamID)
    return True


reset_with_error: Callable[[Any], bool] = _reset if check("resets") and check("streams") else _never
"""Reset an HTTP/2 stream with INTERNAL_ERROR; if that is impossible, do nothing and return False.

``abortConnection`` uses NO_ERROR, which a client may take for the end of the response.
"""


def h2_connection_class() -> Any:
    """Twisted's protocol for an HTTP/2 connection, which can be given a clock.

    Raises:
        ImportError: this Twisted lacks the name, or h2 is not installed.
    """
    from twisted.web._http2 import H2Connection

    return H2Connection
