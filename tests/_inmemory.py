"""A client in memory: a real Site, channel and Request, on a clock that the test moves.

What belongs here: one connection whose other end is the test, and ways to look at the log
and for reference cycles afterwards. What does not: real sockets, and resources to be tested.
"""

from typing import Any, cast

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.server import Site


class Transport(StringTransport):
    """The server's end of a connection: closes it a turn after the server has asked for it.

    Attributes:
        aborted: Whether the server threw the connection away, with all that was unsent.
    """

    aborted = False

    def __init__(self, clock: Clock) -> None:
        super().__init__(lenient=True)
        self._clock = clock
        self._protocol: Any = None

    def connect(self, protocol: Any) -> None:
        """Connect a protocol of the server."""
        self._protocol = protocol
        protocol.makeConnection(self)

    def deliver(self, data: bytes) -> None:
        """Bytes arrive at the server, unless it has closed the connection."""
        if self._protocol is not None and not self.disconnecting:
            self._protocol.dataReceived(data)

    def write(self, data: bytes) -> None:
        """Take bytes, which are lost if there is nobody left to send them to."""
        if self._protocol is not None and not self.aborted:
            super().write(data)

    def writeSequence(self, data: Any) -> None:
        """Take bytes in pieces, likewise."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close."""
        if not self.disconnecting:
            self.disconnecting = True
            self._clock.callLater(0, self.lose, Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        """Throw away."""
        if not self.aborted:
            self.aborted = self.disconnecting = True
            self._clock.callLater(0, self.lose, Failure(ConnectionAborted()))

    def lose(self, reason: Failure) -> None:
        """Tell the producer, and then the protocol, as every transport of Twisted does."""
        protocol, self._protocol = self._protocol, None
        if protocol is None:
            return
        producer, self.producer = self.producer, None
        self.connected, self.disconnected = False, True
        if producer is not None:
            producer.stopProducing()
        protocol.connectionLost(reason)


class H2Connection:
    """A connection over HTTP/2 between a Site and a client, which may be any protocol."""

    def __init__(self, site: Site, clock: Clock, client: Protocol) -> None:
        from twisted.web._http2 import H2Connection as Channel

        channel: Any = Channel(reactor=cast(Any, clock))
        channel.requestFactory, channel.site, channel.factory = site.requestFactory, site, site
        channel.callLater, channel.timeOut = clock.callLater, None
        self.clock, self.channel = clock, channel
        self.server, self._client_end = Transport(clock), Transport(clock)
        self.server.connect(channel)
        self._client_end.connect(client)
        self.pump()

    def pump(self) -> None:
        """Let everything that either side has sent arrive, until there is no more."""
        self.clock.advance(0)
        while self.server.value() or self._client_end.value():
            for source, target in [
                (self._client_end, self.server),
                (self.server, self._client_end),
            ]:
                data = source.value()
                source.clear()
                if data:
                    target.deliver(data)
            self.clock.advance(0)

    def disconnect(self) -> None:
        """The client leaves, with all its streams."""
        self.server.lose(Failure(ConnectionDone()))
