"""Break a response off: abort the HTTP/1 connection or reset the HTTP/2 stream.

A client must see that a truncated response is truncated. `answering`, `turned_away` and
`site_pages` decide when a response is broken off.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

from .._scopes.states import Fate
from .._twisted.http2 import reset_with_error
from .dead_requests import drop_producer
from .request_facts import fate_of
from .request_scope import RequestScope


def break_off(scope: RequestScope, request: Any) -> None:
    """Break off a response that has begun; later writes to the request do nothing."""
    scope.life.give_up()
    # Over HTTP/2 nothing else stops a producer, and Twisted would call a pull producer forever.
    # The request is guarded now, because a `finish` would reach an HTTP/2 stream before the reset,
    # which comes in the next turn.
    drop_producer(request, scope.context, Fate.LOST)
    transport = getattr(request, "transport", None)
    if transport is not None:
        transport.abortConnection()
    else:
        # While Twisted loops over the streams of a lost connection, none of them may be removed.
        scope.clock.callLater(0, _reset, request, getattr(request, "channel", None))


def _reset(request: Any, stream: Any) -> None:
    if stream is None or fate_of(request) is not Fate.OPEN:
        return
    if not reset_with_error(stream):
        # A request without a transport may still be an HTTP/1 one, whose channel can only be
        # closed.
        getattr(stream, "abortConnection", stream.loseConnection)()
    # Twisted reports no loss to the request when this side resets the stream.
    request.connectionLost(Failure(ConnectionAborted()))
