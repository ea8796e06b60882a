"""What is sent to a client: a whole body, an error page, or a goodbye.

When, and to which request, is for `answering` and `turned_away`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES
from twisted.web.pages import errorPage

from .._kinds.cancellations import forgive
from .._log import log
from .._twisted.access import has_encoder, stream_connection_of
from .._twisted.checks import check
from ..causes import Cause, Draining

_CAN_CLOSE = check("last answers")

_OF_THE_PAGE = (
    b"content-length",
    b"content-range",
    b"content-disposition",
    b"accept-ranges",
    b"location",
    b"expires",
)
"""Headers in which the handler tells of its own page. They are not true of an error page."""


def send(request: Any, body: bytes) -> None:
    """Answer with a whole body."""
    if body or request.method != b"HEAD":
        request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body)
    request.finish()


def send_error(request: Any, status: int, cause: Cause) -> None:
    """Answer with an error page in place of the handler's."""
    say_goodbye(request, cause)
    for name in _OF_THE_PAGE:
        request.responseHeaders.removeHeader(name)
    if not has_encoder(request):
        request.responseHeaders.removeHeader(b"content-encoding")
    request.setHeader(b"cache-control", b"no-store")
    request.etag = request.lastModified = None
    brief = RESPONSES.get(status, b"Stopped").decode("ascii")
    errorPage(status, brief, "The request was stopped before it was done.").render(request)


def say_goodbye(request: Any, cause: Cause) -> None:
    """Have the connection closed behind the answer, if the server is about to go."""
    if not isinstance(cause, Draining):
        return
    request.setHeader(b"retry-after", b"%d" % cause.retry_after)
    make_last(request)


def make_last(request: Any) -> None:
    """Have the client told that its connection is closed behind this answer, and close it."""
    channel: Any = getattr(request, "channel", None)
    # A stream of HTTP/2 is over with its response, and may not have a header of connections.
    if hasattr(channel, "persistent"):
        request.setHeader(b"connection", b"close")
        channel.persistent = False
    elif not _CAN_CLOSE and stream_connection_of(channel) is None:
        request.setHeader(b"connection", b"close")


def tell_listeners(request: Any, ours: Sequence[object], failure: Failure) -> None:
    """Tell the other listeners of ``notifyFinish`` that the request was cancelled.

    Work that no handler has returned to us has no other ear: a Klein view, or the tutorial's own
    recipe. What is sent next would tell them of a success, which stops nothing.

    Args:
        request: the one that is cancelled.
        ours: what cancelweb itself has among the listeners.
        failure: what the others are told.
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
            log.failure("a listener of {request} failed", request=request)
        if isinstance(each, Deferred):
            forgive(each)
