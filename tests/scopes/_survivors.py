"""What the tests of survivors share: work that takes no notice of its cancellation.

What belongs here: such work, and leaving it. What does not: tests.
"""

from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import CancellingResource
from cancelweb.monitor import Monitor

from .._logs import log_events, of_cancelweb
from .._pages import Handler, Page
from .._visits import connect

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


def line_of(function: Any, offset: int) -> str:
    """How the report names a line of a function, counted from its first."""
    code = function.__code__
    return f"{code.co_filename}:{code.co_firstlineno + offset} in {code.co_qualname}"


async def stubborn(deferred: Deferred[Any]) -> None:
    """Swallow the cancellation, and wait for something else."""
    try:
        await Deferred()
    except CancelledError:
        await deferred


async def outer(deferred: Deferred[Any]) -> bytes:
    """Wait for something stubborn."""
    await stubborn(deferred)
    return b""


class ReportTestCase(SynchronousTestCase):
    """A monitor, and clients that leave."""

    def setUp(self) -> None:
        """Make a monitor and a clock."""
        self.monitor = Monitor()
        self.clock = Clock()

    def leave(self, handler: Handler, seconds: float = 5, path: bytes = b"/") -> list[LogEvent]:
        """Ask, leave, and wait; returns what was logged of survivors."""
        events = log_events(self)
        root = CancellingResource(Page(handler), monitor=self.monitor, observers=())
        connection = connect(root, self.clock)
        connection.get(path=path)
        connection.disconnect()
        self.clock.advance(seconds)
        return of_cancelweb(events)
