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
    """A run that is left alone for a while."""

    def setUp(self) -> None:
        """Two seconds."""
        super().setUp()
        self.clock = Clock()
        self.shared = Shared(self.reports, 2, clock=self.clock)

    def leave(self) -> None:
        """Ask and leave."""
        waiting = self.shared("year")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def test_stopped_after_the_seconds(self) -> None:
        """The run goes on for so long, and is then stopped."""
        self.leave()
        self.clock.advance(1.9)
        self.assertEqual(self.reports.stopped, [])
        self.clock.advance(0.1)
        self.assertEqual(self.reports.stopped, self.reports.running)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_newcomer_joins(self) -> None:
        """Who comes in time joins the run, which then is stopped no more."""
        self.leave()
        self.clock.advance(1)
        waiting = self.shared("year")
        self.clock.advance(10)
        self.reports.running[0].callback("a report")
        self.assertEqual(self.successResultOf(waiting), "a report")
        self.assertEqual(len(self.reports.running), 1)

    def test_the_seconds_count_anew(self) -> None:
        """When the newcomer leaves, the seconds begin again."""
        self.leave()
        self.clock.advance(1.5)
        self.leave()
        self.clock.advance(1.5)
        self.assertEqual(self.reports.stopped, [])
        self.clock.advance(0.5)
        self.assertEqual(len(self.reports.stopped), 1)

    def test_a_run_that_ends_meanwhile(self) -> None:
        """Its result is dropped, and no timer is left."""
        self.leave()
        self.reports.running[0].callback("a report")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNoResult(self.shared("year"))

    def test_a_run_that_fails_meanwhile(self) -> None:
        """Its failure, of which nobody else is told, is logged."""
        self.leave()
        self.reports.running[0].errback(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_run_that_somebody_else_cancels(self) -> None:
        """A CancelledError that is not of our making is a failure like any other."""
        self.leave()
        self.reports.running[0].cancel()
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_a_run_that_does_not_stop(self) -> None:
        """One that still runs five seconds after it was stopped is logged, once."""
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
        """One that stops in less is not."""
        events = log_events(self)
        errand = Errand(obedient=False)
        shared = shared_errand(errand, linger=2, clock=self.clock)
        shared().addErrback(lambda _: None).cancel()
        self.clock.pump([2, 4])
        errand.end()
        self.assertEqual((self.clock.getDelayedCalls(), of_cancelweb(events)), ([], []))

    def test_one_waiter_cancels_another_on_delivery(self) -> None:
        """That is no reason to wait for anything, or to stop a run that is over."""
        waiting: list[Deferred[Any]] = []
        for _ in range(2):
            waiting.append(self.shared("year").addCallback(lambda _: waiting[1].cancel()))
        self.reports.running[0].callback(None)
        self.failureResultOf(waiting[1], CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_clock_of_the_scope(self) -> None:
        """Without a clock of its own it takes that of the scope in which the run is begun."""
        shared = Shared(self.reports, 2)
        visit = Visit(lambda request: shared())
        visit.disconnect()
        visit.clock.advance(2)
        self.assertEqual(self.reports.stopped, self.reports.running)

    def test_the_clock_outside_any_scope(self) -> None:
        """Outside any scope it takes the global reactor."""
        from twisted.internet import reactor

        before = reactor.getDelayedCalls()
        Shared(self.reports, 9)().addErrback(lambda _: None).cancel()
        (timer,) = set(reactor.getDelayedCalls()) - set(before)
        timer.reset(0)
        self.reports.running[0].callback(None)
        self.assertFalse(timer.active())
