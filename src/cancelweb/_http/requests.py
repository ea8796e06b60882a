"""What can be told of a request, and what can be done to it, without knowing its scope.

Twisted's own behaviour is worked around here, and nowhere else.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES
from twisted.web.pages import errorPage

from .._kinds.deferreds import forgive
from .._log import log
from .._scopes.states import Fate
from .._twisted.access import has_encoder, is_reset, stream_connection_of, streams_of
from .._twisted.checks import check
from ..causes import Cause, Disconnected, Draining, ResponseFinished

check("requests")
_CAN_CLOSE = check("last answers")


def fate_of(request: Any) -> Fate:
    """What has become of a request: ``notifyFinish`` does not tell late-comers (ticket 4899)."""
    if request.finished:
        return Fate.FINISHED
    # Test doubles have no channel at all; a lost request has None. To write to a stream of HTTP/2
    # that was reset in the read in which it was opened would raise out of Twisted's dataReceived,
    # which costs all its siblings their connection.
    channel = getattr(request, "channel", request)
    return Fate.LOST if channel is None or is_reset(channel) else Fate.OPEN


def hear_of_finish(request: Any) -> None:
    """Have a worker's copy of a request notice its own end, as any other request does.

    `twisted.web.distrib` puts the ``finish`` of the front's request on the copy, so that neither
    ``finished`` nor ``notifyFinish`` of the copy ever tell.
    """
    remote_finish = vars(request).get("finish")
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
    own = [each for each in listeners if isinstance(each, Deferred)]
    request.finish, request.notifications = finish, own


def connection_of(request: Any) -> Any:
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


def cause_of_death(fate: Fate) -> Cause:
    """The cause for a request that was gone before anybody could be told why."""
    return ResponseFinished() if fate is Fate.FINISHED else Disconnected()


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


_OF_THE_PAGE = (
    b"content-length",
    b"content-range",
    b"content-disposition",
    b"accept-ranges",
    b"location",
    b"expires",
)


def send(request: Any, body: bytes) -> None:
    """Answer with a whole body."""
    if body or request.method != b"HEAD":
        request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body)
    request.finish()


def send_error(request: Any, status: int, cause: Cause) -> None:
    """Answer with an error page in place of the handler's."""
    say_goodbye(request, cause)
    # What the handler has said of its page is not true of this one, which nobody may keep.
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


def has_begun(request: Any) -> bool:
    """Whether something of the response has been written."""
    return bool(getattr(request, "startedWriting", False))


def reset_stream(request: Any, stream: Any) -> None:
    """Break off a response over HTTP/2; Twisted tells nobody that this side has reset it."""
    # Without Request.transport this may be a connection over HTTP/1, which can only be closed.
    getattr(stream, "abortConnection", stream.loseConnection)()
    request.connectionLost(Failure(ConnectionAborted()))


def tell_listeners(request: Any, subscription: object, failure: Failure) -> None:
    """Tell whoever else listens to ``notifyFinish`` that the request was cancelled.

    It is the only ear of work that nobody has returned to us: a Klein view, or the tutorial's own
    recipe. What is sent next would tell them of a success, which stops nothing.
    """
    listeners = getattr(request, "notifications", [])
    others = [each for each in listeners if each is not subscription]
    if others:
        request.notifications = [each for each in listeners if each is subscription]
    for each in others:
        each.errback(failure)
        forgive(each)


def drop_producer(request: Any) -> None:
    """Stop the producer of a living request: it cannot be finished with one."""
    producer = getattr(request, "producer", None)
    if producer is not None:
        request.unregisterProducer()
        stop_producer(producer)


def release_producer(request: Any, channel: Any) -> Any:
    """A request was lost: stop its producer, if Twisted does not; returns it, or None."""
    producer = getattr(request, "producer", None)
    if producer is not None and request.transport is None:
        # Over HTTP/2 nothing else stops it, and a pull producer would be pulled for ever.
        channel.unregisterProducer()
        stop_producer(producer)
    return producer


def stop_producer(producer: Any) -> None:
    """Stop a producer, which may fail for itself."""
    try:
        producer.stopProducing()
    except BaseException:
        log.failure("{producer} could not be stopped", producer=producer)


def ignore(*args: object) -> None:
    """Stands where a dead request would raise."""


def _refuse_producer(producer: Any, streaming: bool) -> None:
    """There is nobody left to produce for."""
    stop_producer(producer)


class _ClosedChannel:
    """Stands for the channel that a finished request has given up."""

    isSecure = staticmethod(lambda: False)  # what Twisted says without a channel
    registerProducer = staticmethod(_refuse_producer)
    unregisterProducer = loseConnection = staticmethod(ignore)


CLOSED_CHANNEL = _ClosedChannel()


def guard(request: Any, fate: Fate) -> None:
    """The request is finished or lost: what is done to it from now on does nothing.

    No-ops in the request's own ``__dict__``, from the moment of its death: no proxy, and no cost
    while it lives. On a request that was finished ``finish`` is left alone: called twice, it
    warns, as in Twisted.
    """
    if fate is Fate.FINISHED:
        # Most requests end here, and few keys in a dict are cheap.
        request.write, request.channel = ignore, CLOSED_CHANNEL
    else:
        request.write = request.finish = ignore
        request.registerProducer = _refuse_producer
        request.unregisterProducer = request.loseConnection = ignore
