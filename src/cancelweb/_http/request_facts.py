"""Facts about a Twisted request, read from its attributes without knowing its scope.

cancelweb reads these facts at each event, because ``notifyFinish`` never fires for an end that came
before the call (Twisted ticket 4899).
"""

from __future__ import annotations

from typing import Any

from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.error import UnsupportedMethod
from twisted.web.http import (
    INTERNAL_SERVER_ERROR,
    NO_BODY_CODES,
    NOT_ALLOWED,
    NOT_IMPLEMENTED,
    OK,
)
from twisted.web.server import supportedMethods

from .._scopes.states import Fate
from .._twisted.checks import check
from .._twisted.http2 import is_reset, stream_connection_of, streams_of
from ..causes import Cause, Disconnected

check("requests")


def fate_of(request: Any) -> Fate:
    """Whether a request is open, finished or lost."""
    # Test doubles may lack ``finished`` and ``channel``.
    if getattr(request, "finished", False):
        return Fate.FINISHED
    # Twisted sets the channel of a lost request to None. An HTTP/2 stream can be reset earlier, in
    # the same read that opened it. A write to it would raise in ``dataReceived``, and so close the
    # connection with all other streams.
    channel = getattr(request, "channel", request)
    return Fate.LOST if channel is None or is_reset(channel) else Fate.OPEN


def has_begun(request: Any) -> bool:
    """Whether part of the response has been written."""
    return bool(getattr(request, "startedWriting", False))


def answer_to_come(request: Any, result: object) -> tuple[int, int] | None:
    """The status with which Twisted is about to answer, and the length of the handler's body.

    Args:
        request: a request whose response has not begun.
        result: the result that is returned for the handler's call.

    Returns:
        The status and the length; None if the result is not an answer. The length is 0 if Twisted
        writes the body itself.
    """
    if isinstance(result, Failure):
        return _status_of(result, request.method), 0
    if not isinstance(result, bytes):
        return None
    status = getattr(request, "code", OK)
    has_body = request.method != b"HEAD" and status not in NO_BODY_CODES
    return status, len(result) if has_body else 0


def _status_of(failure: Failure, method: bytes) -> int:
    if failure.check(UnsupportedMethod) is None:
        return INTERNAL_SERVER_ERROR
    return NOT_ALLOWED if method in supportedMethods else NOT_IMPLEMENTED


def answer_of(request: Any) -> tuple[int | None, int]:
    """The status of a response, None if no part was written; and how many bytes were written."""
    if not getattr(request, "startedWriting", False):
        return None, 0
    return getattr(request, "code", None), getattr(request, "sentLength", 0)


def h2_connection_of(request: Any) -> Any:
    """The connection of a request over HTTP/2; None for other requests, and for lost ones."""
    return stream_connection_of(getattr(request, "channel", None))


def has_streams(protocol: Any) -> bool:
    """Whether a connection has HTTP/2 streams that are not over.

    Twisted buffers the data of a stream, and passes it to the transport as fast as the client takes
    it. A stream is over when its last piece has been passed on.
    """
    while isinstance(protocol, ProtocolWrapper):
        protocol = protocol.wrappedProtocol  # from TLS to the protocol inside it
    return bool(streams_of(protocol))


def is_taken_over(request: Any, channel: Any) -> bool:
    """Whether the connection was upgraded to another protocol, so ``notifyFinish`` never fires.

    Twisted's WebSocket puts the ``connectionLost`` of its own protocol on the channel. Others, such
    as Autobahn's, take the transport away from the channel. An Upgrade header alone proves nothing.
    """
    if "connectionLost" in getattr(channel, "__dict__", ()):
        return True
    had_transport = getattr(request, "transport", None) is not None
    return had_transport and channel is not None and getattr(channel, "transport", 1) is None


def have_copy_notice(request: Any) -> None:
    """Make the copy of a request in a `twisted.web.distrib` worker report its own end.

    Twisted puts the ``finish`` of the front server's request on the copy. Without this function
    ``finished`` of the copy is never set, and its ``notifyFinish`` never fires.
    """
    remote_finish = getattr(request, "__dict__", {}).get("finish")
    if remote_finish is None or hasattr(request, "channel"):
        return

    def finish() -> None:
        request.finish, request.finished = remote_finish, 1
        remote_finish()
        listeners, request.notifications = request.notifications, []
        for each in listeners:
            each.callback(None)

    # The front server's listeners may have been copied along. They cannot be called from here.
    listeners = getattr(request, "notifications", [])
    own = [each for each in listeners if hasattr(each, "errback")]
    request.finish, request.notifications = finish, own


def cause_of_death(fate: Fate) -> Cause | None:
    """The cause for a request that was over before its scope began; None if it was finished."""
    return None if fate is Fate.FINISHED else Disconnected()
