"""A request whose calls in threads take place on a clock that the test moves.

What belongs here: what the tests of refusals share. What does not: the tests, and the forms of
cleanup, which are in `_cleanups`.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cancelweb.testing import Connection
from cancelweb.threads import defer_to_thread_pool

from .._pages import Handler
from .._visits import Visit
from ._cleanups import Cleanups, Retries


class Turns(Clock):
    """A clock that is a reactor and a pool of threads, too: a call takes a tenth of a second."""

    def callFromThread(self, function: Callable[..., object], *args: object) -> None:
        """See `IReactorFromThreads`."""
        self.callLater(0, function, *args)

    def callInThreadWithCallback(
        self, told: Callable[[bool, object], object], function: Callable[..., object], *args: object
    ) -> None:
        """See `ThreadPool`."""
        self.callLater(0.05, self._call, told, function, *args)

    def _call(
        self, told: Callable[[bool, object], object], function: Callable[..., object], *args: object
    ) -> None:
        try:
            result = function(*args)
        except Exception:
            result = Failure()
        self.callLater(0.05, told, not isinstance(result, Failure), result)


class Base(SynchronousTestCase):
    """A request, and what it begins.

    Attributes:
        begun: when its updates began.
        told: what a test notes for itself.
    """

    def setUp(self) -> None:
        """Begin with no updates."""
        self.begun: list[float] = []
        self.told: list[object] = []
        self.clock = Turns()
        self.cleanups = Cleanups(self.update, self.pause)
        self.retries = Retries(self.update, self.pause)

    def in_thread(self, function: Callable[[], object]) -> Deferred[Any]:
        """Call a function in a thread."""
        clock: Any = self.clock
        return defer_to_thread_pool(clock, clock, function)

    def pause(self) -> Deferred[None]:
        """Let a turn pass."""
        return deferLater(self.clock, 0.01)

    def update(self) -> Deferred[Any]:
        """Have an update done in a thread."""
        return self.in_thread(lambda: self.begun.append(self.clock.seconds()))

    def fail_later(self) -> None:
        """A function for a thread, which fails."""
        raise ValueError

    def visit(self, handler: Handler, **options: Any) -> Visit:
        """Ask for a page."""
        return Visit(handler, clock=self.clock, **options)

    def leave(self, connection: Connection, seconds: float = 2) -> None:
        """Leave, and let time pass."""
        connection.disconnect()
        self.pass_time(seconds)

    def pass_time(self, seconds: float = 2) -> None:
        """Let time pass, a hundredth of a second at a time."""
        for _ in range(round(seconds * 100)):
            self.clock.advance(0.01)
