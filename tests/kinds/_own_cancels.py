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
    """Work that stops as soon as it is asked."""
    return Deferred(lambda _: None)


def both() -> Wait:
    """A list of two pieces of work that stop at once, which does not consume their failures."""
    return gatherResults([wait(), wait()])


def breaking() -> Wait:
    """Work that fails with a KeyError when it is asked to stop."""
    return Deferred(lambda deferred: deferred.errback(KeyError()))


async def awaited(begin: Begin) -> Any:
    """A coroutine that begins work and waits for it."""
    return await begin()


class OwnCancelTestCase(VisitTestCase):
    """A test whose client leaves, and in which the remains of its request are collected."""

    def leave(self, handler: Handler, seconds: float = 0) -> Ended:
        """Visit the handler and disconnect; returns how the work has ended after `seconds`."""
        self.outcomes.clear()
        self.visit(handler).disconnect()
        self.clock.advance(seconds)
        gc.collect()
        return self.outcome.ended

    def assert_quiet(self, handler: Handler, seconds: float = 0) -> None:
        """The work is stopped, and no error is logged."""
        self.assertEqual(self.leave(handler, seconds), Ended.STOPPED)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def slowly(self) -> None:
        """Work that takes a second to stop."""
        try:
            await wait()
        finally:
            await deferLater(self.clock, 1)
