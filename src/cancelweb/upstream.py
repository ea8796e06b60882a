"""Requests to other servers, dropped with the request that they are made for.

For Twisted's `Agent` and whatever is built on one, such as treq; knows nothing of either but the
interfaces. Answering with what an upstream says is for `proxy`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from zope.interface import implementer

from ._kinds.cancellations import is_cancellation
from ._kinds.cancellers import global_reactor
from ._scopes.checks import NOT_GIVEN, NotGiven, check_header, validator
from ._scopes.refusal import begin
from ._scopes.scope import Scope
from ._scopes.shield import tracker_here
from ._scopes.states import RUNNING
from ._stoppable.exchanges import RequestBody, Response
from ._stoppable.inflow import Inflow
from ._stoppable.reactors import in_reactor_thread
from ._twisted.checks import check

__all__ = ["Body", "CancellingAgent", "stream_body"]

# Read elsewhere, of whatever agent; this module is the one that imports Twisted's.
check("bodies")


@implementer(IAgent)
@define(eq=False)
class CancellingAgent:
    """An agent whose exchanges end with the scope in which they began.

    Twisted's agent closes the connection of a request whose Deferred is cancelled while it
    connects and while it waits for the response's headers. This one does so as well while a body
    is sent from a file, and while the response's body is read, by whatever means, or lies unread:
    when the scope is cancelled, and when the response to the scope's own client is finished.

    Shielded work may read to its end what it has asked for; what it has left unread is the scope's
    then. Detached coroutines and runs of `cancelweb.Shared` have no scope. A request that had begun
    when it was detached is still the scope's.

    Without a current scope, what can be cancelled are the request, as above, and ``readBody``.
    A request that is cancelled fails with ``CancelledError``, and not, as that of a plain agent,
    with an error of the connection. A cancelled scope begins none, but see `cancelweb.cleaning`.

    The upstream can be told for how long its answer is waited for: what is left of the limits of
    the scope (`~cancelweb.Scope.remaining`) goes into a header, as seconds, unless the caller has
    set it. Shielded work, and a scope that has ended, have no limits to tell of.

    Attributes:
        agent: the ``IAgent`` that does the work.
        timeout_header: the name of the header; that which the scope's own entry points were given
            as their ``timeout_header``, unless given. None for none.
    """

    agent: Any
    timeout_header: str | NotGiven | None = field(
        default=NOT_GIVEN, validator=validator(check_header)
    )

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: Any = None,
    ) -> Deferred[IResponse]:
        """See ``IAgent.request``."""
        return begin("a request to another server", self._begin, method, uri, headers, bodyProducer)

    def _begin(
        self, method: bytes, uri: bytes, headers: Headers | None, bodyProducer: Any
    ) -> Deferred[IResponse]:
        if bodyProducer is not None:
            bodyProducer = RequestBody(bodyProducer)
        tracker = tracker_here()
        if isinstance(tracker, Scope):
            headers = self._with_time(headers, tracker)
        answer: Deferred[Any] = self.agent.request(method, uri, headers, bodyProducer)
        return answer.addCallbacks(Response, _undisguised, callbackArgs=(tracker,))

    def header_in(self, scope: Scope) -> str | None:
        """The header that tells the upstream of the time that is left to a scope, or None."""
        given = self.timeout_header
        return scope.options.timeout_header if isinstance(given, NotGiven) else given

    def _with_time(self, headers: Headers | None, scope: Scope) -> Headers | None:
        name, remaining = self.header_in(scope), scope.remaining()
        if name is None or remaining is None or scope.state is not RUNNING:
            return headers
        headers = Headers() if headers is None else headers.copy()
        if not headers.hasHeader(name):
            # Of 0 an upstream may make that there is no limit.
            headers.setRawHeaders(name, [f"{max(remaining, 0.001):.3f}"])
        return headers


def _undisguised(failure: Failure) -> Failure:
    """A cancelled request fails with ResponseFailed, say, for which handlers have an `except`."""
    return Failure(CancelledError()) if is_cancellation(failure) else failure


def stream_body(response: IResponse) -> Body:
    """Read the body of a response as it comes.

    A handler may return the iterator: its client is then sent the body as fast as it reads, and
    the upstream waits for a slow one.

    Args:
        response: one whose body nobody has asked for, of whatever agent.

    Returns:
        An async iterator of bytes. It raises what the upstream has failed with, after all that
        came before. The connection is closed when the iterator is cancelled, closed, or dropped
        before its end.
    """
    return Body(response)


class Body(AsyncIterator[bytes]):
    """The body of a response, chunk by chunk; what `stream_body` returns."""

    def __init__(self, response: Any) -> None:
        self._reader = _Reader()
        response.deliverBody(self._reader)

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._reader.inflow.get()
        except CancelledError:
            self._reader.drop()
            raise
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Close the connection, unless the body is whole. May be called again."""
        self._reader.drop()

    def __del__(self) -> None:
        in_reactor_thread(global_reactor(), self._reader.drop)


@define(eq=False)
class _Reader(Protocol):
    """Reads a body. Its connection refers to it; only whoever iterates refers to the `Body`."""

    inflow: Inflow = field(factory=Inflow)

    def connectionMade(self) -> None:
        self.inflow.producer = self.transport

    def dataReceived(self, data: bytes) -> None:
        self.inflow.put(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # Where only the end of the connection tells the end of the body, it is that.
        is_whole = reason.check(ResponseDone, PotentialDataLoss)
        self.inflow.end(None if is_whole else reason)

    def drop(self) -> None:
        transport: Any = self.transport
        # There is none where the response has refused to be read.
        if transport is not None:
            transport.loseConnection()
