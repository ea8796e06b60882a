"""One exchange with an upstream server, dropped while a body is sent, read, or still unread.

For `upstream`. Of Twisted's agent, this module uses only the interfaces.
"""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.components import proxyForInterface
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

from .._scopes.shield import Tracker
from ..interfaces import ICancellable


class RequestBody(proxyForInterface(IBodyProducer)):  # type: ignore[misc]
    """A request body that can be cancelled while it is sent.

    Twisted closes the connection once the body's Deferred has failed. The Deferred of Twisted's own
    `FileBodyProducer` never fires after a cancel, so this class has one of its own.
    """

    _sent: Deferred[None] | None = None

    def startProducing(self, consumer: Any) -> Deferred[None]:
        # No canceller: after a cancel, Twisted ignores the result of the producer's own Deferred.
        sent: Deferred[None] = Deferred()
        self._sent = sent
        self.original.startProducing(consumer).chainDeferred(sent)
        return sent.addErrback(self._stop)

    def drop(self) -> None:
        """Send no more, because the response is over. Twisted ignores the rest, but reads it."""
        # An agent that answers by itself never starts the body.
        if self._sent is not None and not self._sent.called:
            self.original.stopProducing()

    def _stop(self, failure: Failure) -> Failure:
        if failure.check(CancelledError):
            self.original.stopProducing()
        return failure


class Response(proxyForInterface(IResponse)):  # type: ignore[misc]
    """A response whose body can be dropped, read or not."""

    def __init__(self, original: Any, tracker: Tracker | None, body: RequestBody | None) -> None:
        super().__init__(original)
        self._delivery = Delivery(original, body)
        if tracker is not None:
            tracker.track(self._delivery)

    def deliverBody(self, protocol: Any) -> None:
        self._delivery.begin(protocol)


@implementer(ICancellable, IPushProducer)
@define(eq=False)
class Delivery(Protocol):
    """Passes a response's body to the protocol that reads it, as that protocol's transport."""

    disconnecting: ClassVar[bool] = False  # as in Twisted's TransportProxyProducer

    response: Any
    _body: RequestBody | None
    _reader: Any = None
    _is_dropped: bool = False
    _settled: Deferred[None] = field(factory=Deferred)

    def begin(self, reader: Any) -> None:
        """Deliver the body, once. A dropped body fails as if the connection had been cut then.

        Raises:
            RuntimeError: the body is being delivered, or has been.
        """
        if self._is_dropped:
            reader.makeConnection(self)
            reader.connectionLost(Failure(CancelledError()))
            return
        response, self.response = self.response, None
        if response is None:
            raise RuntimeError("this response's body was already delivered: it can be read once")
        self._reader = reader
        response.deliverBody(self)

    def connectionMade(self) -> None:
        self._reader.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        if self._reader is not None:
            self._reader.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        reader, self._reader = self._reader, None
        if self._body is not None:
            self._body.drop()
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
        """Drop the rest. ``readBody`` needs this method, which Twisted's own transport lacks."""
        self.loseConnection()
        reader, self._reader = self._reader, None
        if reader is not None:
            # Tell the reader now: the Deferred whose canceller called this must not fail again.
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
