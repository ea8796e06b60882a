"""Send a whole body, close the connection after it, and tell the listeners of ``notifyFinish``.

`answering` and `turned_away` decide when; `error_pages` makes error pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .._kinds.cancellations import forgive
from .._log import log
from .._scopes.telling import log_in
from .._twisted.checks import check
from .._twisted.http2 import stream_connection_of

_CAN_CLOSE = check("last answers")


def send(request: Any, body: bytes) -> None:
    """Send a whole body and finish the request."""
    if body or request.method != b"HEAD":
        request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body)
    request.finish()


def make_last(request: Any) -> None:
    """Close an HTTP/1.1 connection after this answer, and announce that to the client."""
    channel: Any = getattr(request, "channel", None)
    # HTTP/2 forbids the Connection header.
    if hasattr(channel, "persistent"):
        request.setHeader(b"connection", b"close")
        channel.persistent = False
    elif not _CAN_CLOSE and stream_connection_of(channel) is None:
        request.setHeader(b"connection", b"close")


def tell_listeners(
    request: Any, ours: Sequence[object], failure: Failure, context: Context | None
) -> None:
    """Tell the other listeners of ``notifyFinish`` that the request was cancelled.

    Work that no handler returned to cancelweb listens there, such as a Klein view or the recipe of
    Twisted's tutorial. The answer that is sent next would fire these Deferreds with success, which
    stops nothing.

    Args:
        request: the cancelled request.
        ours: cancelweb's own listeners, which are not called.
        failure: the failure for the other listeners.
        context: the context of the handler, for the log.
    """
    listeners = getattr(request, "notifications", [])
    others = [each for each in listeners if each not in ours]
    if others:
        request.notifications = [each for each in listeners if each in ours]
    for each in others:
        try:
            each.errback(failure)
        except BaseException:
            # Other code may have fired this Deferred already. The client is answered anyway.
            log_in(context, log.failure, "a listener of {request} failed", request=request)
        if isinstance(each, Deferred):
            forgive(each)
