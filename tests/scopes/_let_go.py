"""What the tests of work that is let go share: such work, and clients that leave it.

What belongs here: Deferreds that other code holds, and visits of monitored pages. What does not:
tests.
"""

import gc
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import CancellingResource, Ended, Outcome
from cancelweb.monitor import Monitor
from cancelweb.testing import Connection

from .._logs import log_events, of_cancelweb
from .._pages import Handler, Page
from .._visits import connect

Await = Callable[[Deferred[Any]], Awaitable[Any]]
"""How code awaits a Deferred."""


class LetGoTestCase(SynchronousTestCase):
    """Pages behind an entry point with a monitor.

    Attributes:
        held: what other code will fire some time, as a function in a thread would.
        outcomes: what the observer was told.
    """

    def setUp(self) -> None:
        """Note what is told."""
        self.clock = Clock()
        self.monitor = Monitor(self.clock)
        self.outcomes: list[Outcome] = []
        self.held: list[Deferred[Any]] = []
        self.events = log_events(self)
        # Only references count: the collector must not help.
        gc.disable()
        self.addCleanup(gc.enable)

    def wait(self) -> Deferred[Any]:
        """A Deferred without a canceller that code elsewhere will fire."""
        self.held.append(Deferred())
        return self.held[-1]

    def visit(self, handler: Handler, method: bytes = b"GET", **options: Any) -> Connection:
        """Ask for a page."""
        root = CancellingResource(
            Page(handler), monitor=self.monitor, observers=self.outcomes.append, **options
        )
        connection = connect(root, self.clock)
        connection.request(method=method)
        return connection

    def leave(self, handler: Handler, **options: Any) -> Ended:
        """Ask for a page, and leave; returns how its work has ended."""
        self.visit(handler, **options).disconnect()
        return self.ended()

    def time_out(self, handler: Handler) -> Ended:
        """Ask for a page, and wait for its deadline; returns how its work has ended."""
        self.visit(handler, timeout=3)
        self.clock.advance(3)
        return self.ended()

    def ended(self) -> Ended:
        """How the work of the only request since the last call has ended."""
        [outcome] = self.outcomes
        self.outcomes.clear()
        return outcome.ended

    def lines(self) -> list[str | None]:
        """The lines at info since the last call that tell what was let go."""
        found = [formatEvent(each) for each in of_cancelweb(self.events, LogLevel.info)]
        self.events.clear()
        return [each for each in found if each is not None and "let go" in each]
