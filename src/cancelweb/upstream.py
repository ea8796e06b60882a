"""Requests to other servers, dropped with the request that they are made for.

For Twisted's `Agent` and whatever is built on one, such as treq; knows nothing of either but the
interfaces. Answering with what an upstream says is for `proxy`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.components import proxyForInterface
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from ._kinds.cancellations import is_cancellation
from ._kinds.cancellers import global_reactor
from ._scopes.refusal import begin
from ._scopes.shield import Tracker, tracker_here
from ._stoppable.inflow import Inflow
from ._stoppable.reactors import in_reactor_thread
from .interfaces import ICancellable

__all__ = ["Body", "CancellingAgent", "stream_body"]


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

    Attributes:
        agent: the ``IAgent`` that does the work.
    """

    agent: Any

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
            bodyProducer = _RequestBody(bodyProducer)
        answer: Deferred[Any] = self.agent.request(method, uri, headers, bodyProducer)
        return answer.addCallbacks(_Response, _undisguised, callbackArgs=(tracker_here(),))


def _undisguised(failure: Failure) -> Failure:
    """A cancelled request fails with ResponseFailed, say, for which handlers have an `except`."""
    return Failure(CancelledError()) if is_cancellation(failure) else failure


class _RequestBody(proxyForInterface(IBodyProducer)):  # type: ignore[misc]
    """A request's body that can be cancelled while it is sent.

    Twisted closes the connection once the Deferred has failed. That of its own
    `FileBodyProducer` never fires if it is cancelled.
    """

    def startProducing(self, consumer: Any) -> Deferred[None]:
        # Without a canceller: what the producer's Deferred may say after a cancel is ignored.
        sent: Deferred[None] = Deferred()
        self.original.startProducing(consumer).chainDeferred(sent)
        return sent.addErrback(self._stop)

    def _stop(self, failure: Failure) -> Failure:
        if failure.check(CancelledError):
            self.original.stopProducing()
        return failure


class _Response(proxyForInterface(IResponse)):  # type: ignore[misc]
    """A response whose body can be dropped, read or not."""

    def __init__(self, original: Any, tracker: Tracker | None) -> None:
        super().__init__(original)
        self._delivery = _Delivery(original)
        if tracker is not None:
            tracker.track(self._delivery)

    def deliverBody(self, protocol: Any) -> None:
        self._delivery.begin(protocol)


@implementer(ICancellable, IPushProducer)
@define(eq=False)
class _Delivery(Protocol):
    """Stands between a response and whoever reads its body, whose transport it is."""

    disconnecting: ClassVar[bool] = False  # see TransportProxyProducer

    response: Any
    _reader: Any = None
    _is_dropped: bool = False
    _settled: Deferred[None] = field(factory=Deferred)

    def begin(self, reader: Any) -> None:
        """Have the body delivered, once; one that was dropped fails as if it had been cut then."""
        if self._is_dropped:
            reader.makeConnection(self)
            reader.connectionLost(Failure(CancelledError()))
            return
        response, self.response = self.response, None
        if response is None:
            raise RuntimeError("the body of this response is delivered already")
        self._reader = reader
        response.deliverBody(self)

    def connectionMade(self) -> None:
        self._reader.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        if self._reader is not None:
            self._reader.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        reader, self._reader = self._reader, None
        self._settled.callback(None)
        if reader is not None:
            reader.connectionLost(reason)

    def cancel(self) -> None:
        if self.response is not None:
            self.begin(Protocol())
        self._is_dropped = True
        self.abortConnection()

    def when_settled(self) -> Deferred[None]:
        return self._settled

    def abortConnection(self) -> None:
        """Drop the rest. What `readBody` looks for in vain in Twisted's own transport."""
        self.loseConnection()
        reader, self._reader = self._reader, None
        if reader is not None:
            # At once: a Deferred whose canceller has called this must not fail a second time.
            reader.connectionLost(Failure(CancelledError()))

    def loseConnection(self) -> None:
        self._connection.loseConnection()

    def stopProducing(self) -> None:
        self._connection.stopProducing()

    def pauseProducing(self) -> None:
        self._connection.pauseProducing()

    def resumeProducing(self) -> None:
        self._connection.resumeProducing()

    @property
    def _connection(self) -> Any:
        return self.transport


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
