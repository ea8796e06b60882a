"""Coroutines that run in a given context, and finding the contexts of others.

What belongs here: `_kinds.contexts` alone. What does not: which code sees what is set in a
context (`scopes.test_context_values`).
"""

import asyncio
import sys
from collections.abc import Callable
from contextvars import Context, ContextVar
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from cancelweb._kinds.contexts import (
    _start_stepwise,
    _steps,
    live_contexts_below,
    live_contexts_of,
    start,
)
from cancelweb._kinds.leaves import is_driven_now
from cancelweb._kinds.registry import canceller_for
from cancelweb._twisted.drivers import DRIVING, drivers_on_stack

user: ContextVar[str] = ContextVar("user", default="anonymous")

Start = Callable[[Context, Any], Deferred[Any]]


class StartTests(SynchronousTestCase):
    """Starting a coroutine in a context, with Twisted's private names and with public ones."""

    def each(self, try_out: Callable[[Start], object]) -> None:
        """Try out both ways to start a coroutine."""
        for way in (start, _start_stepwise):
            try_out(way)

    def test_runs_in_it(self) -> None:
        """A coroutine takes all its steps in the given context, and what it sets stays there."""

        async def work(go: Deferred[int]) -> int:
            user.set("ann")
            number = await go
            user.set(f"{user.get()} {number}")
            return number

        def try_out(way: Start) -> None:
            context, go = Context(), Deferred[int]()
            done = way(context, work(go))
            self.assertNoResult(done)
            go.callback(3)
            self.assertEqual(self.successResultOf(done), 3)
            self.assertEqual((context.get(user), user.get()), ("ann 3", "anonymous"))

        self.each(try_out)

    def test_failures(self) -> None:
        """A coroutine in a given context can handle what it awaits failing, and fail itself."""

        async def work(go: Deferred[None]) -> None:
            try:
                await go
            except KeyError:
                raise ValueError from None

        def try_out(way: Start) -> None:
            go = Deferred[None]()
            done = way(Context(), work(go))
            go.errback(KeyError())
            self.failureResultOf(done, ValueError)

        self.each(try_out)

    def test_cancel(self) -> None:
        """A cancel of a coroutine in a given context reaches the Deferred that it awaits."""

        async def work(go: Deferred[None]) -> None:
            await go

        def try_out(way: Start) -> None:
            asked: list[object] = []
            done = way(Context(), work(Deferred(asked.append)))
            done.cancel()
            self.failureResultOf(done, CancelledError)
            self.assertEqual(len(asked), 1)

        self.each(try_out)

    def test_closed(self) -> None:
        """A coroutine that is started stepwise and dropped before its end is closed."""
        closed: list[str] = []

        async def work() -> None:
            try:
                await Deferred()
            finally:
                closed.append("closed")

        steps = _steps(Context(), work())
        next(steps)
        steps.close()
        self.assertEqual(closed, ["closed"])


class OnTheStackTests(SynchronousTestCase):
    """The drivers of coroutines that are on the stack."""

    def test_of_another_twisted(self) -> None:
        """A driver whose local variables have other names is passed over."""
        frame: Any = SimpleNamespace(f_code=DRIVING, f_locals={}, f_back=None)
        self.assertEqual(list(drivers_on_stack(frame)), [])


class TaskTests(SynchronousTestCase):
    """The contexts of asyncio tasks."""

    def test_a_future_of_another_kind(self) -> None:
        """A future whose ``get_context`` returns None has no contexts."""
        future: Any = SimpleNamespace(get_context=lambda: None)
        self.assertEqual(tuple(live_contexts_of(future)), ())


class WalkTests(SynchronousTestCase):
    """The contexts below a Deferred, and what runs there."""

    def test_what_is_met_twice(self) -> None:
        """A coroutine that is twice in a list is looked at once, and is not running."""
        go = Deferred[None]()

        async def waiting() -> None:
            await go

        one = Deferred.fromCoroutine(waiting())
        both = gatherResults([one, one])
        self.assertEqual(len(list(live_contexts_below(both))), 1)
        self.assertFalse(is_driven_now(both, set()))
        go.callback(None)

    def test_tasks(self) -> None:
        """From Python 3.12 on, an asyncio task behind a Deferred tells its context."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)

        async def work() -> None:
            return

        task = loop.create_task(work())
        contexts = list(canceller_for(Deferred.fromFuture(task)).live_contexts())
        self.assertEqual(len(contexts), sys.version_info >= (3, 12))
        loop.run_until_complete(task)
