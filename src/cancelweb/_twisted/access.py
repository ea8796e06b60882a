"""Reading the private names of Twisted: one function for each, which works without the name too.

What follows from what is read is for the modules that call these.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet import defer
from twisted.python.failure import Failure
from twisted.web import server  # noqa: F401 - what is not there yet cannot be checked

from .checks import check

# --- Deferreds ---

DebugInfo: Any = getattr(defer, "DebugInfo", object)
"""What logs a failure that no code has handled, when its Deferred is garbage."""

_FAILURE_GROUP: Any = getattr(defer, "FailureGroup", ())


def replace_debug_info(deferred: Any, replacement: Any) -> None:
    """Have another object keep a Deferred's failure until it is handled, or log it."""
    former = deferred._debugInfo
    if former is not None:
        replacement.failResult, former.failResult = former.failResult, None
    deferred._debugInfo = replacement


def failures_of_race(error: object) -> Sequence[Failure]:
    """The failures of all sides, if this is what ``race`` fails with; else none."""
    return getattr(error, "failures", ()) if isinstance(error, _FAILURE_GROUP) else ()


def canceller_of(deferred: Any) -> Callable[..., object] | None:
    """What Twisted calls to cancel a Deferred that has not fired; ``cancel`` if it is not known."""
    return getattr(deferred, "_canceller", deferred.cancel)  # type: ignore[no-any-return]


def members_of(deferred_list: Any) -> list[Any] | None:
    """The Deferreds of a `DeferredList`, or None."""
    return getattr(deferred_list, "_deferredList", None)


# --- requests ---

_ENCODER = None if check("encoders") else ...


def is_in_fake_head(request: Any) -> bool:
    """Whether Twisted renders a GET in place of a HEAD just now, and drops what is written."""
    return bool(getattr(request, "_inFakeHead", False))


def has_encoder(request: Any) -> bool:
    """Whether Twisted compresses what is written. Where that cannot be told, it may."""
    return getattr(request, "_encoder", _ENCODER) is not None


def is_waiting_for_transport(channel: Any) -> bool:
    """Whether a channel of HTTP/1 has paused its producer until its transport has sent more."""
    return bool(getattr(channel, "_waitingForTransport", False))


def unsent_bytes(transport: Any) -> int:
    """How much a transport, of TCP or TLS, holds that it has not handed on.

    What was written over TLS in the turn in which the connection is lost cannot be seen any more.
    """
    try:
        begun = len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
        rest = len(getattr(transport, "_appSendBuffer", ()))
        return begun + rest + int(getattr(transport, "_tempDataLen", 0))
    except TypeError:
        # A test double has an answer to everything.
        return 1


# --- HTTP/2 ---


def stream_connection_of(channel: Any) -> Any:
    """The connection of a request's channel that is a stream of HTTP/2, else None."""
    return getattr(channel, "_conn", None)


def window_of(stream: Any) -> int:
    """How many bytes the client has room for, those in the stream's queue not yet deducted.

    0 where that cannot be told.
    """
    conn = getattr(stream_connection_of(stream), "conn", None)
    window: int = 0 if conn is None else conn.local_flow_control_window(stream.streamID)
    return window


def queue_of(stream: Any) -> Any:
    """What was written to a stream, and has not been handed on to the connection's transport."""
    return stream_connection_of(stream)._outboundStreamQueues.get(stream.streamID)


def streams_of(protocol: Any) -> Any:
    """The open streams of a protocol that a Site has built; None unless it speaks HTTP/2."""
    return getattr(getattr(protocol, "_channel", None), "streams", None)


_H2: Any = sys.modules.get("h2.connection")  # where it is installed, Twisted has imported it
_CLOSED = getattr(getattr(_H2, "ConnectionState", None), "CLOSED", None)


def _is_closed(conn: Any) -> bool:
    """Whether h2 lets nothing be written on a connection: one side has said goodbye, or erred."""
    return conn.state_machine.state is _CLOSED


def _is_over(conn: Any, number: int) -> bool:
    """Whether a stream is closed."""
    stream = conn.streams.get(number)
    return stream is None or bool(stream.closed)


def _is_over_by_count(conn: Any, number: int) -> bool:
    """The same by public names of h2, which looks at all streams of the connection."""
    # h2 forgets closed streams when it counts those that are open.
    _ = conn.open_inbound_streams
    try:
        conn.local_flow_control_window(number)
    except Exception:
        # A NoSuchStreamError; h2 is not imported for its name.
        return True
    return False


def _never(*_: object) -> bool:
    """Stands for a look that this Twisted or this h2 does not allow."""
    return False


_look_at_connection = _is_closed if check("goodbyes") else _never
_look_at_stream = _is_over if check("states of streams") else _is_over_by_count


def _is_reset(channel: Any) -> bool:
    connection = getattr(channel, "_conn", None)
    if connection is None:
        return False
    conn = connection.conn
    return _look_at_connection(conn) or _look_at_stream(conn, channel.streamID)


is_reset: Callable[[Any], bool] = _is_reset if check("streams") else _never
"""Whether a request's channel is a stream of HTTP/2 on which nothing can be written any more.

Twisted may not have told anyone yet: the client has reset it, or has said goodbye, in the read that
is being handled; or Twisted itself has said goodbye, and waits for the client to close.
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
"""Reset a stream of HTTP/2 with INTERNAL_ERROR; returns False, and does nothing, if it cannot.

``abortConnection`` resets it with NO_ERROR, which a client may take for the end of the response.
"""


def h2_connection_class() -> Any:
    """Twisted's protocol for a connection over HTTP/2, which takes the clock.

    Raises:
        ImportError: this Twisted has none of this name; or h2 is not installed.
    """
    from twisted.web._http2 import H2Connection

    return H2Connection


# --- the database ---


def driver_connection_of(connection: Any) -> Any:
    """The driver's connection in one of adbapi's."""
    return connection._connection


def pool_of(connection: Any) -> Any:
    """The pool of one of adbapi's connections."""
    return connection._pool


def reactor_of(pool: Any) -> Any:
    """The reactor of one of adbapi's pools."""
    return pool._reactor


def with_connection(pool: Any) -> Callable[..., Any]:
    """What ``runWithConnection`` of one of adbapi's pools calls in a thread."""
    return pool._runWithConnection  # type: ignore[no-any-return]


def in_interaction(pool: Any) -> Callable[..., Any]:
    """What ``runInteraction`` of one of adbapi's pools calls in a thread."""
    return pool._runInteraction  # type: ignore[no-any-return]
