"""How a scope asks its work to stop: whom, when, in which order, and how often.

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
    """Work is asked to stop."""

    def test_in_the_turn_of_the_disconnect(self) -> None:
        """All work has been asked by the time that the lost connection has been told."""
        asked: list[str] = []
        visit = Visit(lambda _: Errand(asked, "returned"))
        visit.scope.track(Errand(asked, "tracked"))
        visit.disconnect()
        self.assertEqual(asked, ["returned", "tracked"])

    def test_returned_first_then_newest_first(self) -> None:
        """What the handler returned is asked first, then the rest, the newest first."""
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
        """Neither a second cause, nor a deadline, nor the close has it asked again."""
        asked: list[str] = []
        visit = Visit(lambda _: Errand(asked, "slow", obedient=False), timeout=1)
        self.assertTrue(visit.scope.cancel(Draining()))
        self.assertFalse(visit.scope.cancel(Draining()))
        visit.disconnect()
        visit.clock.pump([1] * 10)
        self.assertEqual(asked, ["slow"])
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)

    def test_not_when_it_has_ended(self) -> None:
        """Work that has settled before the cancel is not asked."""
        ended = Errand()
        visit = Visit(waiting)
        visit.scope.track(ended)
        ended.end()
        visit.disconnect()
        self.assertEqual(ended.asked, [])

    def test_beside_a_canceller_that_raises(self) -> None:
        """A canceller that raises is logged, its work is waited for, and the rest is asked."""

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
        """What escapes from a Deferred's own canceller stops no other work."""

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
    """What the cancellation of other work has reached is not asked again."""

    def setUp(self) -> None:
        """Work with a `finally` that waits."""
        self.cleaned: Deferred[None] = Deferred()
        self.steps: list[str] = []

    @inlineCallbacks
    def query(self) -> Generator[Deferred[None], None, None]:
        """Runs until cancelled; cleaning up takes its time."""
        try:
            yield Deferred(lambda _: None)
        finally:
            self.steps.append("cleaning")
            yield self.cleaned
            self.steps.append("cleaned")

    def assert_not_cut(self, visit: Visit) -> None:
        """The clean-up is waited for, and ends as it would have."""
        visit.disconnect()
        self.assertEqual(self.steps, ["cleaning"])
        self.assertEqual(visit.outcomes, [])
        self.cleaned.callback(None)
        self.assertEqual(self.steps, ["cleaning", "cleaned"])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_a_generator_awaited_by_the_returned_coroutine(self) -> None:
        """A tracked inlineCallbacks that the handler awaits is not cut in its `finally`."""

        async def handler(request: object) -> None:
            await current_scope().track(self.query())

        self.assert_not_cut(Visit(handler))

    def test_a_coroutine_awaited_by_the_returned_coroutine(self) -> None:
        """Nor is a tracked coroutine."""

        async def query() -> None:
            await self.query()

        async def handler(request: object) -> None:
            tracked: Any = current_scope().track(query())
            await tracked

        self.assert_not_cut(Visit(handler))

    def test_work_that_is_gathered(self) -> None:
        """Nor is tracked work that is awaited together with other work."""

        def handler(request: object) -> Deferred[list[None]]:
            tracked = current_scope().track(self.query())
            return gatherResults([tracked, Deferred(lambda _: None)], consumeErrors=True)

        self.assert_not_cut(Visit(handler))

    def test_work_deep_in_a_chain(self) -> None:
        """Nor is a Deferred that waits for the tracked one, if it is tracked itself."""

        def handler(request: object) -> Deferred[None]:
            inner = current_scope().track(self.query())
            outer: Deferred[None] = Deferred()
            outer.callback(None)
            outer.addCallback(lambda _: inner)
            return outer

        self.assert_not_cut(Visit(handler))
