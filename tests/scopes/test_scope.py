"""How a scope asks its work to stop: which work, when, in which order, and how often.

A cancel from inside the handler, work that comes late or outlives its scope, hooks and observers
have modules of their own, as has each kind of work.
"""

from collections.abc import Generator
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Draining, Ended, current_scope

from .._pages import waiting
from .._visits import Visit
from .._work import Errand


class AskingTests(SynchronousTestCase):
    """A scope asks its work to stop."""

    def test_in_the_turn_of_the_disconnect(self) -> None:
        """All work has been asked to stop when the call that tells of the disconnect returns."""
        asked: list[str] = []
        visit = Visit(lambda _: Errand(asked, "returned"))
        visit.scope.track(Errand(asked, "tracked"))
        visit.disconnect()
        self.assertEqual(asked, ["returned", "tracked"])

    def test_returned_first_then_newest_first(self) -> None:
        """A scope asks what the handler returned first, then the tracked work, newest first."""
        asked: list[str] = []

        def handler(request: object) -> Errand:
            for name in ("first", "second"):
                current_scope().track(Errand(asked, name, obedient=False))
            return Errand(asked, "returned", obedient=False)

        visit = Visit(handler)
        visit.scope.track(Errand(asked, "third", obedient=False))
        visit.disconnect()
        self.assertEqual(asked, ["returned", "third", "second", "first"])

    def test_exactly_once(self) -> None:
        """Work is asked only once, though a second cause, a deadline and the close follow."""
        asked: list[str] = []
        visit = Visit(lambda _: Errand(asked, "slow", obedient=False), timeout=1)
        self.assertTrue(visit.scope.cancel(Draining()))
        self.assertFalse(visit.scope.cancel(Draining()))
        visit.disconnect()
        visit.clock.pump([1] * 10)
        self.assertEqual(asked, ["slow"])
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)

    def test_not_when_it_has_ended(self) -> None:
        """Work that has ended before the cancel is not asked to stop."""
        ended = Errand()
        visit = Visit(waiting)
        visit.scope.track(ended)
        ended.end()
        visit.disconnect()
        self.assertEqual(ended.asked, [])

    def test_beside_a_canceller_that_raises(self) -> None:
        """A canceller that raises is logged, its work is waited for, and other work is asked."""

        class Broken(Errand):
            def cancel(self) -> None:
                raise ValueError("a driver's bug")

        asked: list[str] = []
        visit = Visit(lambda _: Broken())
        visit.scope.track(Errand(asked, "tracked"))
        visit.disconnect()
        self.assertEqual(asked, ["tracked"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(visit.outcomes, [])
        visit.clock.advance(5)
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)

    def test_beside_a_deferred_whose_canceller_raises(self) -> None:
        """A Deferred's canceller that raises is logged, and other work is asked to stop."""

        def broken(_: Deferred[bytes]) -> None:
            raise ValueError("a driver's bug")

        asked: list[str] = []
        visit = Visit(lambda _: Deferred(broken))
        visit.scope.track(Errand(asked, "tracked"))
        visit.disconnect()
        self.assertEqual(asked, ["tracked"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_by_what_is_raised_at_the_await(self) -> None:
        """A coroutine that awaits is cancelled where it awaits, and its `finally` runs."""
        steps: list[str] = []

        async def handler(request: object) -> None:
            try:
                await Deferred[None]()
            finally:
                steps.append("finally")

        visit = Visit(handler)
        visit.disconnect()
        self.assertEqual(steps, ["finally"])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)


class ReachedByAnotherTests(SynchronousTestCase):
    """Work that the cancellation of other work has reached is not asked again."""

    def setUp(self) -> None:
        """Prepare work with a `finally` that waits."""
        self.cleaned: Deferred[None] = Deferred()
        self.steps: list[str] = []

    @inlineCallbacks
    def query(self) -> Generator[Deferred[None], None, None]:
        """Run until cancelled, and clean up for a while."""
        try:
            yield Deferred(lambda _: None)
        finally:
            self.steps.append("cleaning")
            yield self.cleaned
            self.steps.append("cleaned")

    def assert_not_cut(self, visit: Visit) -> None:
        """Leave, and insist that the cleanup is waited for and comes to its end."""
        visit.disconnect()
        self.assertEqual(self.steps, ["cleaning"])
        self.assertEqual(visit.outcomes, [])
        self.cleaned.callback(None)
        self.assertEqual(self.steps, ["cleaning", "cleaned"])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_a_generator_awaited_by_the_returned_coroutine(self) -> None:
        """A tracked generator that the returned coroutine awaits is not cut in its `finally`."""

        async def handler(request: object) -> None:
            await current_scope().track(self.query())

        self.assert_not_cut(Visit(handler))

    def test_a_coroutine_awaited_by_the_returned_coroutine(self) -> None:
        """A tracked coroutine that the returned coroutine awaits is not cut in its `finally`."""

        async def query() -> None:
            await self.query()

        async def handler(request: object) -> None:
            tracked: Any = current_scope().track(query())
            await tracked

        self.assert_not_cut(Visit(handler))

    def test_work_that_is_gathered(self) -> None:
        """Tracked work that is gathered with other work is not cut in its `finally`."""

        def handler(request: object) -> Deferred[list[None]]:
            tracked = current_scope().track(self.query())
            return gatherResults([tracked, Deferred(lambda _: None)], consumeErrors=True)

        self.assert_not_cut(Visit(handler))

    def test_work_deep_in_a_chain(self) -> None:
        """Tracked work on which the returned Deferred is chained is not cut in its `finally`."""

        def handler(request: object) -> Deferred[None]:
            inner = current_scope().track(self.query())
            outer: Deferred[None] = Deferred()
            outer.callback(None)
            outer.addCallback(lambda _: inner)
            return outer

        self.assert_not_cut(Visit(handler))
