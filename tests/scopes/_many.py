"""Much work for one request, of every kind.

What belongs here: what the tests of much work share. What does not: the tests, and the counting.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator, LoopingCall
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Scope, current_scope

from .._pages import Handler, waiting
from .._visits import Visit
from .._work import Errand
from ._counting import assert_linear

Make = Callable[[Scope], object]
"""Begins one piece of work."""


async def waiting_coroutine() -> None:
    """Wait forever."""
    await Deferred()


def a_deferred(scope: Scope) -> object:
    """A Deferred that never fires."""
    return Deferred()


def a_coroutine(scope: Scope) -> object:
    """A coroutine that waits forever."""
    return waiting_coroutine()


def a_timer(scope: Scope) -> object:
    """A delayed call that is far from due."""
    return scope.clock.callLater(1000, int)


def a_loop(scope: Scope) -> object:
    """A loop without end."""
    loop = LoopingCall(lambda: None)
    loop.clock = scope.clock
    loop.start(1000)
    return loop


def a_task(scope: Scope) -> object:
    """A cooperative task that is never given a turn."""
    cooperator = Cooperator(scheduler=lambda _: scope.clock.callLater(1000, int))
    return cooperator.cooperate(iter(int, 1))


def an_errand(scope: Scope) -> object:
    """Work of the user's own kind, which stops as soon as it is asked."""
    return Errand()


def a_deaf_errand(scope: Scope) -> object:
    """Work of the user's own kind, which runs on when it is asked to stop."""
    return Errand(obedient=False)


KINDS: Sequence[Make] = (a_deferred, a_coroutine, a_timer, a_loop, a_task, an_errand)


class ManyTestCase(SynchronousTestCase):
    """Visits to a handler that tracks much.

    Attributes:
        visit: the last visit.
    """

    visit: Visit

    def serve(self, handler: Handler, **options: Any) -> None:
        """Visit a handler."""
        self.visit = Visit(handler, **options)
        self.addCleanup(self.close, self.visit)

    def close(self, visit: Visit) -> None:
        """Let the scope come to its end, whatever the test has left open."""
        visit.disconnect()
        visit.clock.pump([5, 10])

    def serve_tracking(self, make: Make, number: int, handler: Handler = waiting) -> list[Any]:
        """Visit a handler that first tracks this many works of one kind; returns these."""
        works: list[Any] = []

        def tracking(request: Any) -> object:
            scope = current_scope()
            for _ in range(number):
                works.append(make(scope))
                scope.track(works[-1])
            return handler(request)

        self.serve(tracking)
        return works

    def leave(self) -> None:
        """The client leaves, and the scope closes."""
        self.visit.disconnect()
        self.assertIs(self.visit.scope.request, None)

    def assert_linear_to_leave(self, serve: Callable[[int], object]) -> None:
        """Check that the cost of stopping a handler's work is linear in the number given."""

        def prepare(number: int) -> Callable[[], object]:
            serve(number)
            return self.leave

        assert_linear(self, prepare)
