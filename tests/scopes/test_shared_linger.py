"""`Shared` with `linger`: a run that outlasts its last waiter for a while.

What belongs here: what the seconds change. What does not: all else.
"""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from cancelweb import Shared

from .._logs import log_events, of_cancelweb
from .._visits import Visit
from .._work import Errand
from ._shared import Base
from .test_shared_kinds import shared_errand


class LingerTests(Base):
    """A run that all waiters have left goes on for a while."""

    def setUp(self) -> None:
        """Share the report, and let it linger for two seconds."""
        super().setUp()
        self.clock = Clock()
        self.shared = Shared(self.reports, 2, clock=self.clock)

    def leave(self) -> None:
        """Call, and cancel the wait."""
        waiting = self.shared("year")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def test_stopped_after_the_seconds(self) -> None:
        """A run goes on for `linger` seconds after its last waiter left, and is then stopped."""
        self.leave()
        self.clock.advance(1.9)
        self.assertEqual(self.reports.stopped, [])
        self.clock.advance(0.1)
        self.assertEqual(self.reports.stopped, self.reports.running)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_newcomer_joins(self) -> None:
        """A call while a run lingers joins that run, which is then not stopped."""
        self.leave()
        self.clock.advance(1)
        waiting = self.shared("year")
        self.clock.advance(10)
        self.reports.running[0].callback("a report")
        self.assertEqual(self.successResultOf(waiting), "a report")
        self.assertEqual(len(self.reports.running), 1)

    def test_the_seconds_count_anew(self) -> None:
        """When a newcomer leaves a lingering run, the `linger` seconds begin again."""
        self.leave()
        self.clock.advance(1.5)
        self.leave()
        self.clock.advance(1.5)
        self.assertEqual(self.reports.stopped, [])
        self.clock.advance(0.5)
        self.assertEqual(len(self.reports.stopped), 1)

    def test_a_run_that_ends_meanwhile(self) -> None:
        """A run that ends while it lingers leaves no timer, and its result is not kept."""
        self.leave()
        self.reports.running[0].callback("a report")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNoResult(self.shared("year"))

    def test_a_run_that_fails_meanwhile(self) -> None:
        """A run that fails while it lingers is logged."""
        self.leave()
        self.reports.running[0].errback(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_run_that_other_code_cancels(self) -> None:
        """A lingering run that other code cancels is logged as a failure."""
        self.leave()
        self.reports.running[0].cancel()
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_a_run_that_does_not_stop(self) -> None:
        """A lingering run that does not stop is logged once, and its late failure once more."""
        events = log_events(self)
        errand = Errand(obedient=False)
        shared = shared_errand(errand, linger=2, clock=self.clock)
        shared().addErrback(lambda _: None).cancel()
        self.clock.pump([2, 5, 5])
        (event,) = of_cancelweb(events)
        self.assertEqual(event["canceller"], "tests._work.Errand")
        errand.fail(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_run_that_takes_its_time_to_stop(self) -> None:
        """A lingering run that stops within five seconds is not logged, and leaves no timer."""
        events = log_events(self)
        errand = Errand(obedient=False)
        shared = shared_errand(errand, linger=2, clock=self.clock)
        shared().addErrback(lambda _: None).cancel()
        self.clock.pump([2, 4])
        errand.end()
        self.assertEqual((self.clock.getDelayedCalls(), of_cancelweb(events)), ([], []))

    def test_one_waiter_cancels_another_on_delivery(self) -> None:
        """A waiter that is cancelled while others are told sets no timer for the run."""
        waiting: list[Deferred[Any]] = []
        for _ in range(2):
            waiting.append(self.shared("year").addCallback(lambda _: waiting[1].cancel()))
        self.reports.running[0].callback(None)
        self.failureResultOf(waiting[1], CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_clock_of_the_scope(self) -> None:
        """Without a clock of its own, `Shared` uses that of the scope in which the run begins."""
        shared = Shared(self.reports, 2)
        visit = Visit(lambda request: shared())
        visit.disconnect()
        visit.clock.advance(2)
        self.assertEqual(self.reports.stopped, self.reports.running)

    def test_the_clock_outside_any_scope(self) -> None:
        """Outside any scope, `Shared` uses the global reactor as its clock."""
        from twisted.internet import reactor

        before = reactor.getDelayedCalls()
        Shared(self.reports, 9)().addErrback(lambda _: None).cancel()
        (timer,) = set(reactor.getDelayedCalls()) - set(before)
        timer.reset(0)
        self.reports.running[0].callback(None)
        self.assertFalse(timer.active())
