"""The transport in memory behaves as a connection over TCP does, whatever protocol is on it."""

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cancelweb.testing._transport import BUFFER_SIZE, Transport

from ._kit import Source


class Noting(Protocol):
    """A protocol that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        """Note the data."""
        self.told.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note the reason."""
        self.told.append(reason.type)


class TransportTests(SynchronousTestCase):
    """A connection in memory."""

    def setUp(self) -> None:
        """Connect."""
        self.clock = Clock()
        self.transport = Transport(self.clock)
        self.protocol = Noting()
        self.transport.connect(self.protocol)
        self.told = self.protocol.told
        self.source = Source(self.told.append)

    def test_paused_transport_sees_nothing(self) -> None:
        """A paused transport delivers neither bytes nor the end; a resumed one delivers both."""
        self.transport.pauseProducing()
        self.transport.pauseProducing()
        self.transport.deliver(b"data")
        self.transport.lose(Failure(ConnectionLost()))
        self.clock.advance(0)
        self.assertEqual(self.told, [])
        self.transport.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(self.told, [b"data", ConnectionLost])

    def test_end_is_told_once(self) -> None:
        """The protocol is told once about the end, whatever ends the connection, and how often."""
        self.transport.loseConnection()
        self.transport.loseConnection()
        self.transport.lose(Failure(ConnectionLost()))
        self.clock.advance(0)
        self.transport.abortConnection()
        self.transport.deliver(b"late")
        self.transport.write(b"late")
        self.assertEqual(self.told, [ConnectionDone])
        self.assertEqual(self.transport.value(), b"")

    def test_abort(self) -> None:
        """An abort drops what the client has not read."""
        self.transport.read(False)
        self.transport.write(b"unread")
        self.transport.abortConnection()
        self.transport.abortConnection()
        self.transport.write(b"late")
        self.clock.advance(0)
        self.assertEqual(self.told, [ConnectionAborted])
        self.assertEqual(self.transport.value(), b"")

    def test_pull_producer(self) -> None:
        """A pull producer is asked again each time that all is sent, until it is unregistered."""
        self.transport.registerProducer(self.source, False)
        self.assertEqual(self.told, ["resume"])
        self.transport.writeSequence([b"o", b"ne"])
        self.transport.write(b"two")
        self.clock.advance(0)
        self.assertEqual(self.told, ["resume", "resume"])
        self.transport.write(b"three")
        self.transport.unregisterProducer()
        self.clock.advance(0)
        self.assertEqual(self.told, ["resume", "resume"])
        self.assertEqual(self.transport.value(), b"onetwothree")

    def test_closes_when_producer_is_through(self) -> None:
        """A connection closes when its pull producer has gone and its client reads."""
        self.transport.registerProducer(self.source, False)
        self.transport.loseConnection()
        self.transport.read(False)
        self.transport.unregisterProducer()
        self.clock.advance(0)
        self.assertEqual(self.told, ["resume"])
        self.transport.read(True)
        self.clock.advance(0)
        self.assertEqual(self.told, ["resume", ConnectionDone])

    def test_pauses_push_producer_once(self) -> None:
        """A push producer is paused once while the client does not read."""
        self.transport.registerProducer(self.source, True)
        self.transport.read(False)
        self.transport.write(b"x" * BUFFER_SIZE)
        self.assertEqual(self.told, [])
        self.transport.write(b"x")
        self.transport.write(b"x")
        self.assertEqual(self.told, ["pause"])
        self.transport.read(True)
        self.clock.advance(0)
        self.assertEqual(self.told, ["pause", "resume"])

    def test_late_producer(self) -> None:
        """A producer that is registered after the end of the connection is stopped."""
        self.transport.lose(Failure(ConnectionDone()))
        self.transport.registerProducer(self.source, True)
        self.assertEqual(self.told, [ConnectionDone, "stop"])

    def test_arrival_is_told_once(self) -> None:
        """An arrival is reported once for all that was sent in a turn."""
        arrived: list[bytes] = []
        transport = Transport(self.clock, lambda: arrived.append(transport.value()))
        transport.connect(Noting())
        transport.write(b"one")
        transport.write(b"two")
        self.clock.advance(0)
        self.assertEqual(arrived, [b"onetwo"])
