"""Whole responses: a client may leave with all of one before the handler calls ``finish``.

Clients such as curl close as soon as they have what ``Content-Length`` announces, and Twisted calls
that a loss. cancelweb counts the response as finished then.
"""

from __future__ import annotations

from typing import Any

from twisted.web.http import NO_BODY_CODES

from .._twisted.access import queue_of, stream_connection_of, unsent_bytes
from .._twisted.checks import check
from .request_facts import has_begun

_CAN_TELL = check("whole responses")


def has_whole_response(request: Any, stream: Any) -> bool:
    """Whether a client that has left may have the whole response, which is not finished yet.

    Neither the transport nor a stream of HTTP/2 held any of it. What the kernel has taken counts as
    received, as it does behind a ``finish``.

    Args:
        request: is lost.
        stream: its channel, if that is a stream of HTTP/2.
    """
    # Test doubles have no transport, and may lack what is looked at then.
    return has_begun(request) and _CAN_TELL and _is_sent(request, stream) and _is_written(request)


def count_as_finished(request: Any) -> None:
    """Have a lost request, which is guarded, count as one whose response was finished."""
    request.finished, request.finish = 1, _finish_late


def left_with_whole_response(request: Any) -> bool:
    """Whether the client has left so; the handler has not finished the response, nor will it."""
    return getattr(request, "finish", None) is _finish_late


def _finish_late(*args: object) -> None:
    """Stands for the ``finish`` of such a request, which comes too late to do anything."""


def has_no_body(request: Any) -> bool:
    """Whether the response consists of its head: what is written besides reaches nobody."""
    return request.method == b"HEAD" or getattr(request, "code", 0) in NO_BODY_CODES


def _is_written(request: Any) -> bool:
    """Whether all that the response's head announces has been written; what follows is no body."""
    if has_no_body(request):
        return True
    values = request.responseHeaders.getRawHeaders(b"content-length", ())
    # Without one, the end of a body is what ``finish`` writes, or the end of the connection.
    is_known = len(values) == 1 and values[0].strip().isdigit()
    return is_known and bool(getattr(request, "sentLength", 0) >= int(values[0]))


def _is_sent(request: Any, stream: Any) -> bool:
    connection = stream_connection_of(stream)
    if connection is None:
        transport = getattr(request, "transport", None)
        return transport is not None and _is_empty(transport)
    # What the connection holds may be of other streams. That cannot be told.
    return not queue_of(stream) and _is_empty(connection.transport)


def _is_empty(transport: Any) -> bool:
    while transport is not None:
        if unsent_bytes(transport):
            return False
        transport = getattr(transport, "transport", None)  # from TLS to what is below it
    return True
