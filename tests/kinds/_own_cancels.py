"""Work that leaves failures behind when it is cancelled, and a client that leaves it.

What belongs here: what the tests of our own cancels share. What does not: the tests.
"""

import gc
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from cancelweb import Ended

from .._pages import Handler
from .._visits import VisitTestCase

Wait = Deferred[Any]
Begin = Callable[[], Any]


def wait() -> Wait:
    """Work that stops at once."""
    return Deferred(lambda _: None)


def both() -> Wait:
    """Two such, whose failures nobody consumes."""
    return gatherResults([wait(), wait()])


def breaking() -> Wait:
    """Work that fails when it is to stop."""
    return Deferred(lambda deferred: deferred.errback(KeyError()))


async def awaited(begin: Begin) -> Any:
    """A coroutine that waits."""
    return await begin()


class OwnCancelTestCase(VisitTestCase):
    """A client that leaves, and all that is left of its request collected."""

    def leave(self, handler: Handler, seconds: float = 0) -> Ended:
        """Ask and leave; returns how the work has ended so many seconds later."""
        self.outcomes.clear()
        self.visit(handler).disconnect()
        self.clock.advance(seconds)
        gc.collect()
        return self.outcome().ended

    def assert_quiet(self, handler: Handler, seconds: float = 0) -> None:
        """The work is stopped, and nobody logs an error."""
        self.assertEqual(self.leave(handler, seconds), Ended.STOPPED)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def slowly(self) -> None:
        """Work that takes a second to stop."""
        try:
            await wait()
        finally:
            await deferLater(self.clock, 1)
