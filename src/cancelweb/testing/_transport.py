"""The server's end of a connection in memory, which behaves as Twisted's TCP connections do.

Carries bytes, whatever they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

BUFFER_SIZE = 2**16
"""How many bytes a server's transport takes before it pauses the producer; as in
``twisted.internet.abstract.FileDescriptor``."""

SERVER = IPv4Address("TCP", "127.0.0.1", 80)
CLIENT = IPv4Address("TCP", "127.0.0.1", 50000)


class Transport(StringTransport):
    """A connection whose other end is the test.

    What the server writes arrives at once, unless the client does not read. If the server closes
    the connection, that happens a turn later. While the server has paused its transport, it sees
    neither bytes nor the end, as with TCP.

    Args:
        clock: for what happens a turn later.
        arrived: called, a turn later, when there is something for the client to read.

    Attributes:
        aborted: whether the server aborted the connection.
    """

    aborted = False
    disconnected = False

    def __init__(self, clock: Clock, arrived: Callable[[], object] | None = None) -> None:
        super().__init__(hostAddress=SERVER, peerAddress=CLIENT, lenient=True)
        self._clock = clock
        self._arrived = arrived
        self._protocol: Any = None
        self._unread = bytearray()
        self._unsent = bytearray()
        self._lost: Failure | None = None
        self._is_read = True
        self._room = BUFFER_SIZE
        self._has_paused = False
        self._is_resuming = False
        self._is_gathering = False

    @property
    def _tempDataLen(self) -> int:  # noqa: N802
        """How many bytes wait for the client; as in ``twisted.internet.abstract.FileDescriptor``.

        There, what is written while the client does not read never reaches ``dataBuffer``.
        """
        return len(self._unsent)

    @property
    def has_ended(self) -> bool:
        """Whether the server has closed the connection in order, and all that it sent was read."""
        return self.disconnecting and not self.aborted and not self._unsent

    def connect(self, protocol: Any) -> None:
        """Connect the server's protocol."""
        self._protocol = protocol
        protocol.makeConnection(self)

    # --- what the client does ---

    def deliver(self, data: bytes) -> None:
        """Let bytes arrive; they wait while the server does not read."""
        if self.connected and not self.disconnecting:
            self._unread += data
            self._flush_unread()

    @contextmanager
    def in_one_read(self) -> Iterator[None]:
        """Make what is delivered inside arrive in one piece, at the end or before the loss.

        In nested blocks, it arrives at the end of the outermost.
        """
        was_gathering, self._is_gathering = self._is_gathering, True
        try:
            yield
        finally:
            self._is_gathering = was_gathering
            self._flush_unread()

    def lose(self, reason: Failure) -> None:
        """Lose the connection; a server that does not read notices later."""
        self._is_gathering = False
        self._flush_unread()
        self._lost = self._lost or reason
        if self.producerState == "producing" or self.disconnecting:
            self._lose()

    def read(self, is_reading: bool, is_full: bool = False) -> None:
        """Make the client stop reading, with its buffers perhaps full already, or read again."""
        self._is_read = is_reading
        self._room = -1 if is_full else BUFFER_SIZE
        self._flush_unsent()

    # --- what the server does ---

    def write(self, data: bytes) -> None:
        """Take bytes to send; after the end of the connection they are lost."""
        if self.connected and not self.aborted:
            self._unsent += data
            if self._lost is not None:
                # Sending is what makes a connection notice that its other end is gone.
                self._clock.callLater(0, self._lose)
            self._flush_unsent()

    def writeSequence(self, data: Any) -> None:  # noqa: N802
        """Take several pieces to send."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close, once everything is sent."""
        if not self.disconnecting:
            self.disconnecting = True
            self._flush_unsent()

    def abortConnection(self) -> None:
        """Close without sending what is left."""
        if self.connected and not self.aborted:
            self.aborted = self.disconnecting = True
            self._lost = Failure(ConnectionAborted())
            self._clock.callLater(0, self._lose)

    def resumeProducing(self) -> None:
        """Read again; what has arrived meanwhile is there at once."""
        super().resumeProducing()
        self._flush_unread()
        if self._lost is not None and self.connected:
            self._clock.callLater(0, self._lose)

    def pauseProducing(self) -> None:
        """Stop reading."""
        if self.producerState == "producing":
            super().pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Take a producer; stop it if the connection is lost."""
        if not self.connected:
            producer.stopProducing()
            return
        super().registerProducer(producer, streaming)
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Release the producer, and close the connection if that waited for it."""
        super().unregisterProducer()
        if self.disconnecting:
            self._flush_unsent()

    # --- between the two ---

    def _flush_unread(self) -> None:
        # The protocol may pause or close at any byte it is given, or be told to.
        if self._is_gathering:
            return
        if self._unread and self.producerState == "producing" and self.connected:
            data, self._unread = bytes(self._unread), bytearray()
            self._protocol.dataReceived(data)

    def _flush_unsent(self) -> None:
        if self._is_read:
            if self._arrived is not None and self._unsent and not self.value():
                self._clock.callLater(0, self._arrived)
            super().write(bytes(self._unsent))
            self._unsent.clear()
            self._ask_for_more()
        elif len(self._unsent) > self._room and self.streaming and not self._has_paused:
            self._has_paused = True
            if self.producer is not None:  # The client may have left.
                self.producer.pauseProducing()

    def _ask_for_more(self) -> None:
        if self.producer is not None and (self._has_paused or not self.streaming):
            if not self._is_resuming:
                # A turn later, as when the kernel has taken what was written.
                self._is_resuming = True
                self._clock.callLater(0, self._resume)
        elif self.disconnecting and self._lost is None:
            self._lost = Failure(ConnectionDone())
            self._clock.callLater(0, self._lose)

    def _resume(self) -> None:
        self._is_resuming = self._has_paused = False
        if self.producer is not None:
            self.producer.resumeProducing()

    def _lose(self) -> None:
        if not self.connected:
            return
        self.connected, self.disconnected = False, True
        producer, self.producer = self.producer, None
        protocol, self._protocol = self._protocol, None
        # The order of twisted.internet.abstract and tcp.
        if producer is not None:
            producer.stopProducing()
        protocol.connectionLost(self._lost)
