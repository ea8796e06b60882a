"""What the tests of drains in memory share: a monitor on a clock, and connections.

What belongs here: setting up. What does not: tests.
"""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import (
    CancellingResource,
    Outcome,
)
from cancelweb.monitor import Monitor
from cancelweb.testing import Connection

from .._pages import Handler, Page
from .._visits import connect


class DrainTestCase(SynchronousTestCase):
    """A test of drains: a monitor on a clock, and connections in memory."""

    def setUp(self) -> None:
        """A monitor, and the outcomes that it tells its observer."""
        self.clock = Clock()
        self.monitor = Monitor(self.clock)
        self.outcomes: list[Outcome] = []
        self.monitor.add_observer(self.outcomes.append)

    def wrapped(self, handler: Handler, **options: Any) -> CancellingResource:
        """A page whose requests the monitor knows."""
        return CancellingResource(Page(handler), monitor=self.monitor, **options)

    def connection(self, handler: Handler, **options: Any) -> Connection:
        """A connection to a page whose requests the monitor knows."""
        return connect(self.wrapped(handler, **options), self.clock)

    def drain(self, seconds: float = 10) -> list[None]:
        """Begin a drain; returns a list that has one item when the drain is over."""
        done: list[None] = []
        self.monitor.drain(seconds).addCallback(done.append)
        return done

    def advance(self, *steps: float) -> None:
        """Let time pass, and a turn of the reactor after each step."""
        for seconds in steps:
            self.clock.advance(seconds)
            self.clock.advance(0)
