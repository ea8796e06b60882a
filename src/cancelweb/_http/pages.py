"""What is sent to a client: a whole body, and that it was the last of its connection.

When, and to which request, is for `answering` and `turned_away`; error pages are for `error_pages`.
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
from .._twisted.access import stream_connection_of
from .._twisted.checks import check

_CAN_CLOSE = check("last answers")


def send(request: Any, body: bytes) -> None:
    """Answer with a whole body."""
    if body or request.method != b"HEAD":
        request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body)
    request.finish()


def make_last(request: Any) -> None:
    """Have the client told that its connection is closed behind this answer, and close it."""
    channel: Any = getattr(request, "channel", None)
    # A stream of HTTP/2 is over with its response, and may not have a header of connections.
    if hasattr(channel, "persistent"):
        request.setHeader(b"connection", b"close")
        channel.persistent = False
    elif not _CAN_CLOSE and stream_connection_of(channel) is None:
        request.setHeader(b"connection", b"close")


def tell_listeners(
    request: Any, ours: Sequence[object], failure: Failure, context: Context | None
) -> None:
    """Tell the other listeners of ``notifyFinish`` that the request was cancelled.

    Work that no handler has returned to us has no other ear: a Klein view, or the tutorial's own
    recipe. What is sent next would tell them of a success, which stops nothing.

    Args:
        request: the one that is cancelled.
        ours: what cancelweb itself has among the listeners.
        failure: what the others are told.
        context: that of the handler, for the log.
    """
    listeners = getattr(request, "notifications", [])
    others = [each for each in listeners if each not in ours]
    if others:
        request.notifications = [each for each in listeners if each in ours]
    for each in others:
        try:
            each.errback(failure)
        except BaseException:
            # It was fired by hand, say. The client is answered all the same.
            log_in(context, log.failure, "a listener of {request} failed", request=request)
        if isinstance(each, Deferred):
            forgive(each)
