"""What can be told of a request of Twisted, without knowing its scope: facts, not reports.

Reports may be missing: ``notifyFinish`` tells nothing of what was before (Twisted ticket 4899).
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
from .._twisted.access import is_reset, stream_connection_of, streams_of
from .._twisted.checks import check
from ..causes import Cause, Disconnected

check("requests")


def fate_of(request: Any) -> Fate:
    """What has become of a request: ``notifyFinish`` does not tell late-comers (ticket 4899)."""
    # Test doubles may have neither this nor a channel; a lost request has None for a channel.
    if getattr(request, "finished", False):
        return Fate.FINISHED
    # To write to a stream of HTTP/2
    # that was reset in the read in which it was opened would raise out of Twisted's dataReceived,
    # which costs all its siblings their connection.
    channel = getattr(request, "channel", request)
    return Fate.LOST if channel is None or is_reset(channel) else Fate.OPEN


def has_begun(request: Any) -> bool:
    """Whether something of the response has been written."""
    return bool(getattr(request, "startedWriting", False))


def answer_to_come(request: Any, result: object) -> tuple[int, int] | None:
    """What Twisted is about to answer: the status, and the length of the body of a handler's own.

    Args:
        request: nothing of its response has been written.
        result: what is given back for the handler's call.

    Returns:
        None if that is no answer yet.
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
    """The status of a request's response, None if nothing of it was written; and how many bytes."""
    if not getattr(request, "startedWriting", False):
        return None, 0
    return getattr(request, "code", None), getattr(request, "sentLength", 0)


def h2_connection_of(request: Any) -> Any:
    """The connection of a request over HTTP/2; None for others, and for what was lost."""
    return stream_connection_of(getattr(request, "channel", None))


def has_streams(protocol: Any) -> bool:
    """Whether a connection has streams of HTTP/2 that are not over.

    Twisted keeps what is written to them, and hands it to the transport in pieces, as fast as the
    client takes it; a stream is over when its last piece has been handed on.
    """
    while isinstance(protocol, ProtocolWrapper):
        protocol = protocol.wrappedProtocol  # from TLS to what is in it
    return bool(streams_of(protocol))


def is_taken_over(request: Any, channel: Any) -> bool:
    """Whether another protocol has the connection: ``notifyFinish`` will never fire.

    Twisted's WebSocket puts the ``connectionLost`` of its own protocol on the channel; others,
    such as Autobahn's, take the transport away from it. What the client has asked for proves
    nothing.
    """
    if "connectionLost" in getattr(channel, "__dict__", ()):
        return True
    had_transport = getattr(request, "transport", None) is not None
    return had_transport and channel is not None and getattr(channel, "transport", 1) is None


def have_copy_notice(request: Any) -> None:
    """Have a worker's copy of a request notice its own end, as any other request does.

    `twisted.web.distrib` puts the ``finish`` of the front's request on the copy, so that neither
    ``finished`` nor ``notifyFinish`` of the copy ever tell.
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

    # Those of the front, if they were sent along, cannot be told from here.
    listeners = getattr(request, "notifications", [])
    own = [each for each in listeners if hasattr(each, "errback")]
    request.finish, request.notifications = finish, own


def cause_of_death(fate: Fate) -> Cause | None:
    """The cause for a request that was over before anybody could be told why; None: answered."""
    return None if fate is Fate.FINISHED else Disconnected()
