"""Guard dead requests: calls on a finished or lost request do nothing, instead of raising.

This module also stops the producers of such requests.
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
    """Replaces a method that would raise on a dead request."""


def _refuse_producer(producer: Any, streaming: bool) -> None:
    """Replaces ``registerProducer``: stop the producer at once."""
    _stop_producer(producer, None)


class _ClosedChannel:
    """Replaces the channel that a finished request has given up."""

    isSecure = staticmethod(lambda: False)  # as a Twisted request without a channel answers
    registerProducer = staticmethod(_refuse_producer)
    unregisterProducer = loseConnection = staticmethod(ignore)


CLOSED_CHANNEL = _ClosedChannel()


def guarded_fate_of(request: Any) -> Fate:
    """The fate of a request; a request that is finished or lost is guarded first."""
    fate = fate_of(request)
    if fate is not Fate.OPEN:
        guard(request, fate)
    return fate


def guard(request: Any, fate: Fate) -> None:
    """Make every later call on a finished or lost request do nothing.

    The no-ops go into the request's own ``__dict__`` when it dies. There is no proxy, and no cost
    while the request is alive.
    """
    if fate is Fate.FINISHED:
        guard_finished(request)
    else:
        guard_lost(request)


def guard_finished(request: Any) -> None:
    """See `guard`. ``finish`` stays as it is: a second call warns, as in plain Twisted."""
    # Nearly all requests end here, and each attribute that is set costs time.
    request.write, request.channel = ignore, CLOSED_CHANNEL


def guard_answered(request: Any) -> None:
    """See `guard`: cancelweb has answered instead of the handler.

    The handler does not know that, so its ``finish`` must not warn.
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
    """Stop the producer of a living request, which Twisted cannot finish while it has one.

    Args:
        request: the request, with or without a producer.
        context: the context of the handler, for the log.
        fate: what becomes of the request. If that is not OPEN, the request is guarded before its
            producer can call ``finish``.
    """
    producer = getattr(request, "producer", None)
    if producer is not None:
        request.unregisterProducer()
    if fate is not Fate.OPEN:
        guard(request, fate)
    if producer is not None:
        _stop_producer(producer, context)


def release_producer(request: Any, channel: Any, context: Context | None) -> Any:
    """Stop the producer of a lost request, if Twisted does not; returns the producer, or None."""
    producer = getattr(request, "producer", None)
    if producer is not None and request.transport is None:
        # Over HTTP/2 nothing else stops a producer, and Twisted would call a pull producer forever.
        channel.unregisterProducer()
        _stop_producer(producer, context)
    return producer


def _stop_producer(producer: Any, context: Context | None) -> None:
    """Stop a producer; log an exception that it raises."""
    try:
        producer.stopProducing()
    except BaseException:
        log_in(context, log.failure, "{producer} could not be stopped", producer=producer)
