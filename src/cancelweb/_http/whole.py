"""Whole responses: a client may leave with the whole response before the handler finishes it.

Clients such as curl close the connection as soon as they have received ``Content-Length`` bytes.
Twisted reports that as a loss; cancelweb counts such a response as finished.
"""

from __future__ import annotations

from typing import Any

from twisted.web.http import NO_BODY_CODES

from .._twisted.access import unsent_bytes
from .._twisted.checks import check
from .._twisted.http2 import queue_of, stream_connection_of
from .request_facts import has_begun

_CAN_TELL = check("whole responses")


def has_whole_response(request: Any, stream: Any) -> bool:
    """Whether a client that has left may have the whole response, which is not finished yet.

    That is so if all of it was written, and neither the transport nor an HTTP/2 stream still holds
    any of it. Data that the kernel has taken counts as received, as it does after a ``finish``.

    Args:
        request: a lost request.
        stream: the channel that the request had; over HTTP/2, its stream.
    """
    # The order matters: test doubles have no transport, and lack what `_is_written` reads.
    return has_begun(request) and _CAN_TELL and _is_sent(request, stream) and _is_written(request)


def count_as_finished(request: Any) -> None:
    """Mark a lost and guarded request as one whose response was finished."""
    request.finished, request.finish = 1, _finish_late


def left_with_whole_response(request: Any) -> bool:
    """Whether `count_as_finished` has marked the request; its handler has not finished it."""
    return getattr(request, "finish", None) is _finish_late


def _finish_late(*args: object) -> None:
    """Replaces the ``finish`` of such a request, which comes too late to do anything."""


def has_no_body(request: Any) -> bool:
    """Whether the response has no body, so that Twisted drops what the handler writes."""
    return request.method == b"HEAD" or getattr(request, "code", 0) in NO_BODY_CODES


def _is_written(request: Any) -> bool:
    """Whether the whole body that the head announces has been written."""
    if has_no_body(request):
        return True
    values = request.responseHeaders.getRawHeaders(b"content-length", ())
    # Without a length, only ``finish`` or the end of the connection marks the end of a body.
    is_known = len(values) == 1 and values[0].strip().isdigit()
    return is_known and bool(getattr(request, "sentLength", 0) >= int(values[0]))


def _is_sent(request: Any, stream: Any) -> bool:
    connection = stream_connection_of(stream)
    if connection is None:
        transport = getattr(request, "transport", None)
        return transport is not None and _is_empty(transport)
    # The connection may hold data of other streams only; that cannot be distinguished.
    return not queue_of(stream) and _is_empty(connection.transport)


def _is_empty(transport: Any) -> bool:
    while transport is not None:
        if unsent_bytes(transport):
            return False
        transport = getattr(transport, "transport", None)  # from TLS to the transport below it
    return True
