"""How a scope asks its work to stop: which work, when, in which order, and how often.

A cancel from inside the handler, work that the cancel of other work reaches, comes late or outlives
its scope, hooks and observers have modules of their own, as has each kind of work.
"""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Draining, Ended, current_scope

from .._pages import waiting
from .._visits import Visit
from .._work import Errand


class AskingTests(SynchronousTestCase):
    """A scope asks its work to stop."""

    def test_in_the_turn_of_the_disconnect(self) -> None:
        """All work has been asked to stop when the call that reports the disconnect returns."""
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
