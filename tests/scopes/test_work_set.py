"""All work of one scope: which is waited for, and in which order it is asked.

What belongs here: `WorkSet`, and scopes without an HTTP request. What does not: when work is asked
to stop.
"""

from functools import partial
from types import SimpleNamespace

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Disconnected, Outcome, Scope, TimedOut
from cancelweb._kinds.registry import canceller_for
from cancelweb._scopes.entering import enter
from cancelweb._scopes.options import checked_options
from cancelweb._scopes.states import Step
from cancelweb._scopes.work import Work
from cancelweb._scopes.work_set import WorkSet

from .._work import Errand


class ScopeTests(SynchronousTestCase):
    """A scope that belongs to no request of HTTP."""

    def test_alone(self) -> None:
        """A scope without an HTTP request can track work, and its deadline stops that work."""
        clock, asked = Clock(), list[object]()
        scope = Scope(object(), checked_options(observers=()), clock)
        enter(scope, checked_options(timeout=3))
        scope.track(Deferred[None](asked.append)).addErrback(lambda _: None)
        clock.advance(3)
        self.assertEqual((len(asked), scope.cause), (1, TimedOut(3)))
        scope.life.close()
        self.assertIs(scope.request, None)

    def test_outcome(self) -> None:
        """The outcome of a scope without a response has no status and no bytes."""
        outcomes: list[Outcome] = []
        request = SimpleNamespace(method=b"GET", uri=b"/x")
        options = checked_options(observers=outcomes.append)
        scope = Scope(request, options, Clock())
        scope.cancel(TimedOut(3))
        scope.life.lost(Disconnected())
        self.assertEqual([(each.status, each.sent) for each in outcomes], [(None, 0)])

    def test_limits(self) -> None:
        """A scope without a response has no stall timeout and no timeout header, but a timeout."""
        clock = Clock()
        scope = Scope(object(), checked_options(observers=()), clock)
        enter(scope, checked_options(stall_timeout=1, timeout=3, timeout_header="X"))
        clock.advance(2)
        self.assertEqual((scope.cause, scope.remaining()), (None, 1))
        clock.advance(1)
        self.assertEqual(scope.cause, TimedOut(3))


class WorkSetTests(SynchronousTestCase):
    """Work is added to a `WorkSet`, and found again."""

    def setUp(self) -> None:
        self.works = WorkSet()

    def take(self, work: object, is_returned: bool = False) -> Work:
        """Add work to the set."""
        arrived = self.fail if is_returned else None
        return self.works.take(canceller_for(work), arrived)[0]

    def test_order(self) -> None:
        """Returned work is asked first, then tracked work, each the newest first."""
        tracked = [self.take(Errand()) for _ in range(2)]
        returned = [self.take(Errand(), True) for _ in range(2)]
        last = self.take(Errand())
        expected = [returned[1], returned[0], last, tracked[1], tracked[0]]
        self.assertEqual(self.works.unasked(), expected)

    def test_the_same_work(self) -> None:
        """Work taken twice is one piece, and the newest; a Deferred is a new piece each time."""
        errand = Errand()
        first, other = self.take(errand), self.take(Errand())
        self.assertIs(self.take(errand), first)
        self.assertEqual(self.works.unasked(), [first, other])
        deferred: Deferred[None] = Deferred()
        self.assertIsNot(self.take(deferred), self.take(deferred))
        self.assertEqual(len(self.works.find(canceller_for(deferred))), 2)

    def test_tracked_and_returned(self) -> None:
        """Work that is both returned and tracked, in whatever order, counts as returned."""
        for is_returned in (False, True):
            self.works, errand = WorkSet(), Errand()
            work = self.take(errand, is_returned)
            self.assertIs(self.works.is_returned_waited_for, is_returned)
            self.assertIs(self.take(errand, not is_returned), work)
            self.assertTrue(work.is_returned)
            self.assertTrue(self.works.is_returned_waited_for)
            self.assertIs(self.works.returned, work)
            self.works.move(work, Step.ENDED)
            self.assertFalse(self.works.is_returned_waited_for)
            self.assertFalse(self.works.is_waited_for)

    def test_what_is_waited_for(self) -> None:
        """Work in the set is waited for until it has ended, is a survivor, or is dropped."""
        works = [self.take(Errand(), True) for _ in range(3)]
        self.works.move(works[0], Step.ASKED)
        self.works.move(works[0], Step.SURVIVOR)
        self.assertTrue(self.works.is_returned_waited_for)
        self.works.drop(works[1])
        self.assertTrue(self.works.is_returned_waited_for)
        self.works.move(works[2], Step.ENDED)
        self.assertFalse(self.works.is_waited_for)
        self.assertEqual(list(self.works), [works[0], works[2]])

    def test_a_survivor_that_is_returned(self) -> None:
        """A survivor that is returned later is not waited for."""
        errand = Errand()
        work = self.take(errand)
        self.works.move(work, Step.ASKED)
        self.works.move(work, Step.SURVIVOR)
        self.assertIs(self.take(errand, True), work)
        self.assertFalse(self.works.is_returned_waited_for)

    def test_drop_one_of_the_same(self) -> None:
        """If one of two pieces of the same Deferred is dropped, the other is still found."""
        deferred: Deferred[None] = Deferred()
        first, second = self.take(deferred), self.take(deferred)
        self.works.drop(first)
        self.assertEqual(self.works.find(canceller_for(deferred)), [second])

    def test_the_response_is_over(self) -> None:
        """The end of the response is told to unasked work, not to work that was asked meanwhile."""
        told: list[Work] = []
        first, second = self.take(Errand()), self.take(Errand())

        def over(work: Work, other: Work) -> None:
            told.append(work)
            self.works.move(other, Step.ASKED)

        for work, other in ((first, second), (second, first)):
            self.patch(work.canceller, "response_over", partial(over, work, other))
        self.works.response_over()
        self.assertEqual(told, [second])

    def test_what_has_ended(self) -> None:
        """Work that has ended is not found: if it is taken again, it is a new piece."""
        errand = Errand()
        work = self.take(errand)
        self.works.move(work, Step.ENDED)
        self.assertIsNot(self.take(errand), work)
