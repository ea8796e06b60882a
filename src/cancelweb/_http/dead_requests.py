"""Dead requests: what is done to one that is finished or lost does nothing, instead of raising.

Also the producers of such requests, which nothing asks for more.
"""

from __future__ import annotations

from contextvars import Context
from typing import Any

from .._log import log
from .._scopes.states import Fate
from .._scopes.telling import log_in
from .lost_content import LOST_CONTENT
from .request_facts import fate_of


def ignore(*args: object) -> None:
    """Stands where a dead request would raise."""


def _refuse_producer(producer: Any, streaming: bool) -> None:
    """There is nobody left to produce for."""
    _stop_producer(producer, None)


class _ClosedChannel:
    """Stands for the channel that a finished request has given up."""

    isSecure = staticmethod(lambda: False)  # what Twisted says without a channel
    registerProducer = staticmethod(_refuse_producer)
    unregisterProducer = loseConnection = staticmethod(ignore)


CLOSED_CHANNEL = _ClosedChannel()


def guarded_fate_of(request: Any) -> Fate:
    """What has become of a request; one that is over is guarded."""
    fate = fate_of(request)
    if fate is not Fate.OPEN:
        guard(request, fate)
    return fate


def guard(request: Any, fate: Fate) -> None:
    """The request is finished or lost: what is done to it from now on does nothing.

    No-ops in the request's own ``__dict__``, from the moment of its death: no proxy, and no cost
    while it lives.
    """
    if fate is Fate.FINISHED:
        guard_finished(request)
    else:
        guard_lost(request)


def guard_finished(request: Any) -> None:
    """See `guard`. ``finish`` is left alone: called twice, it warns, as in Twisted."""
    # Most requests end here, and few keys in a dict are cheap.
    request.write, request.channel = ignore, CLOSED_CHANNEL


def guard_answered(request: Any) -> None:
    """See `guard`: cancelweb has answered in the place of the handler, which cannot know of it.

    So the handler's own ``finish`` is its first, and no mistake to warn of.
    """
    guard_finished(request)
    request.finish = ignore


def guard_lost(request: Any) -> None:
    """See `guard`."""
    request.write = request.finish = ignore
    request.registerProducer = _refuse_producer
    request.unregisterProducer = request.loseConnection = ignore
    request.content = LOST_CONTENT


def drop_producer(request: Any, context: Context | None, fate: Fate = Fate.OPEN) -> None:
    """Stop the producer of a living request: it cannot be finished with one.

    Args:
        request: may have one.
        context: that of the handler, for the log.
        fate: what becomes of the request; it is guarded before the producer can call ``finish``.
    """
    producer = getattr(request, "producer", None)
    if producer is not None:
        request.unregisterProducer()
    if fate is not Fate.OPEN:
        guard(request, fate)
    if producer is not None:
        _stop_producer(producer, context)


def release_producer(request: Any, channel: Any, context: Context | None) -> Any:
    """A request was lost: stop its producer, if Twisted does not; returns it, or None."""
    producer = getattr(request, "producer", None)
    if producer is not None and request.transport is None:
        # Over HTTP/2 nothing else stops it, and a pull producer would be pulled for ever.
        channel.unregisterProducer()
        _stop_producer(producer, context)
    return producer


def _stop_producer(producer: Any, context: Context | None) -> None:
    """Stop a producer, which may fail for itself."""
    try:
        producer.stopProducing()
    except BaseException:
        log_in(context, log.failure, "{producer} could not be stopped", producer=producer)
