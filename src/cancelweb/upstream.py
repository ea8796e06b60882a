"""Requests to other servers (upstreams), dropped with the request they are made for.

For Twisted's `Agent` and clients that are built on one, such as treq. This module uses only their
interfaces. `proxy` answers with what an upstream says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from math import floor
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
from ._stoppable.agent_checks import check_agent, check_response
from ._stoppable.exchanges import RequestBody, Response
from ._stoppable.inflow import Inflow
from ._stoppable.reactors import in_reactor_thread
from ._twisted.checks import check
from ._typed import AnyAgent, AnyResponse

__all__ = ["Body", "CancellingAgent", "stream_body"]

# Other modules read the bodies of any agent; this module is the one that imports Twisted's agent.
check("bodies")


def _check_agent(_: object, __: object, value: AnyAgent) -> None:
    check_agent("agent", value)


@implementer(IAgent)
@define(eq=False)
class CancellingAgent:
    """Wraps an agent, and closes the connection of a request when the scope it began in is over.

    Twisted's agent closes the connection only if the request's Deferred is cancelled while it
    connects, or while it waits for the response's headers. This agent also closes it while a body
    is sent from a file, and while the response's body is read, by any means, or lies unread. It
    does so when the scope is cancelled, and when the response to the scope's own client is
    finished.

    Shielded work may finish reading what it has asked for. A body that it left unread belongs to
    the scope. Detached coroutines and runs of `cancelweb.Shared` have no scope, but a request that
    had begun when it was detached still belongs to the scope.

    Without a current scope, cancel the Deferred of the request, or that of ``readBody``: each
    closes the connection, too. A cancelled request fails with ``CancelledError``; with a plain
    agent it fails with a connection error. In a cancelled scope no request begins, except for
    cleanup: see `cancelweb.cleaning`.

    The agent can tell the other server how long this one will wait. What is left of the scope's
    limits (`~cancelweb.Scope.remaining`) goes into a header, in seconds, unless the caller has set
    that header. Shielded work, and a scope that has ended, have no limits to send.

    Attributes:
        agent (~twisted.web.iweb.IAgent): the ``IAgent`` that does the work.
        timeout_header (str | None): the name of that header, or None for none. By default the
            ``timeout_header`` that the scope's own entry points were given.

    Raises:
        TypeError, ValueError: an argument is not what it must be.
    """

    agent: AnyAgent = field(validator=_check_agent)
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
        body = None if bodyProducer is None else RequestBody(bodyProducer)
        tracker = tracker_here()
        if isinstance(tracker, Scope):
            headers = self._with_time(headers, tracker)
        answer: Deferred[Any] = self.agent.request(method, uri, headers, body)
        return answer.addCallbacks(Response, _undisguised, callbackArgs=(tracker, body))

    def header_in(self, scope: Scope) -> str | None:
        """The header that tells the upstream how much time a scope has left, or None."""
        given = self.timeout_header
        return scope.options.timeout_header if isinstance(given, NotGiven) else given

    def _with_time(self, headers: Headers | None, scope: Scope) -> Headers | None:
        name, remaining = self.header_in(scope), scope.remaining()
        if name is None or remaining is None or scope.state is not RUNNING:
            return headers
        headers = Headers() if headers is None else headers.copy()
        if not headers.hasHeader(name):
            # Rounded down, so that no hop has more time than the one before. An upstream may take 0
            # to mean that there is no limit.
            headers.setRawHeaders(name, [f"{max(floor(remaining * 1000), 1) / 1000:.3f}"])
        return headers


def _undisguised(failure: Failure) -> Failure:
    """Turn the ResponseFailed, say, of a cancelled request into a CancelledError.

    Handlers may have an ``except`` clause for the former, and would take it for an error.
    """
    return Failure(CancelledError()) if is_cancellation(failure) else failure


def stream_body(response: AnyResponse) -> Body:
    """Read the body of a response as it arrives.

    A handler may return the iterator. Its client then gets the body as fast as it reads, and the
    upstream waits for a slow client.

    Args:
        response: a response of any agent, whose body was not asked for yet.

    Returns:
        An async iterator of bytes. If the upstream fails, the iterator raises that failure after
        all bytes that came before. The connection is closed when the iterator is cancelled, closed,
        or dropped before its end.

    Raises:
        TypeError: this is not a response, for example because its Deferred was not awaited.
    """
    check_response("response", response)
    return Body(response)


class Body(AsyncIterator[bytes]):
    """The body of a response, chunk by chunk; `stream_body` returns it."""

    def __init__(self, response: AnyResponse) -> None:
        self._reader = _Reader()
        response.deliverBody(self._reader)

    @property
    def is_ready(self) -> bool:
        """Whether the next chunk, or the end, has arrived."""
        return self._reader.inflow.is_ready

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
    """Reads a body. The connection refers to this reader, and only the iterating code to `Body`."""

    inflow: Inflow = field(factory=Inflow)

    def connectionMade(self) -> None:
        self.inflow.producer = self.transport

    def dataReceived(self, data: bytes) -> None:
        self.inflow.put(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # PotentialDataLoss: only the end of the connection marks the end of this body.
        is_whole = reason.check(ResponseDone, PotentialDataLoss)
        self.inflow.end(None if is_whole else reason)

    def drop(self) -> None:
        transport: Any = self.transport
        # A response that refuses to be read gives its reader no transport.
        if transport is not None:
            transport.loseConnection()
