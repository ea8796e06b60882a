"""The parts of a child of `cancelweb.processes` that can be tested without a process.

What belongs here: the ends of its pipes, and the delay after its exit. What does not: whole
children, which have `real.system.test_process_groups`.
"""

import os
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cancelweb._stoppable.delays import Delay
from cancelweb._stoppable.descriptors import Reader, Writer

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class WriterTests(SynchronousTestCase):
    """The end of a pipe that is written to."""

    def test_not_read(self) -> None:
        """If no process can read the input, the writer says that the connection is lost."""
        read, write = os.pipe()
        writer = Writer(reactor, os.fdopen(write, "wb", buffering=0), b"input")
        os.close(read)
        self.assertIsInstance(writer.doWrite(), ConnectionLost)
        writer.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(writer.fileno(), -1)


class ReaderTests(SynchronousTestCase):
    """The end of a pipe that is read."""

    def test_refers_to_nothing(self) -> None:
        """A reader that is closed no longer refers to the child, so they form no cycle."""
        read, write = os.pipe()
        told: list[object] = []
        reader = Reader(reactor, os.fdopen(read, "rb", buffering=0), told.append, told.clear)
        os.close(write)
        reader.close()
        reader.received(b"late")
        reader.ended()
        self.assertEqual(told, [])


class DelayTests(SynchronousTestCase):
    """The delay after the exit of a child."""

    def test_pauses(self) -> None:
        """After a pause, the rest of a delay counts."""
        clock = Clock()
        told: list[float] = []
        delay = Delay(clock, 3, lambda: told.append(clock.seconds()))
        clock.advance(60)
        delay.resume()
        clock.advance(2)
        delay.pause()
        clock.advance(60)
        delay.pause()
        delay.resume()
        clock.advance(0.5)
        delay.resume()
        self.assertEqual(told, [])
        clock.advance(0.5)
        self.assertEqual(told, [123])
        delay.pause()
        self.assertEqual(clock.getDelayedCalls(), [])
