"""Breaking a response off at this end, so that half of one never looks like a whole one.

Over HTTP/1 the connection is aborted, over HTTP/2 the stream is reset. Why is for `answering`,
`turned_away` and `error_pages`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

from .._scopes.states import Fate
from .._twisted.access import reset_with_error
from .dead_requests import drop_producer
from .request_facts import fate_of
from .request_scope import RequestScope


def break_off(scope: RequestScope, request: Any) -> None:
    """Break off what has begun. From now on nothing is written to the request."""
    scope.life.give_up()
    # Over HTTP/2 nothing else stops a producer, and one that is pulled would be pulled for ever.
    # Over HTTP/2, whose streams are reset in the next turn, a `finish` would come before the reset.
    drop_producer(request, scope.context, Fate.LOST)
    transport = getattr(request, "transport", None)
    if transport is not None:
        transport.abortConnection()
    else:
        # A stream that goes while its connection tells its siblings of a loss would break
        # Twisted's loop over them.
        scope.clock.callLater(0, _reset, request, getattr(request, "channel", None))


def _reset(request: Any, stream: Any) -> None:
    if stream is None or fate_of(request) is not Fate.OPEN:
        return
    if not reset_with_error(stream):
        # Without Request.transport this may be a connection over HTTP/1, which can only be closed.
        getattr(stream, "abortConnection", stream.loseConnection)()
    # Twisted tells nobody that this side has reset it.
    request.connectionLost(Failure(ConnectionAborted()))
