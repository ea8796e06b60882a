"""`Shared`: one run of a function for many callers.

What belongs here: which caller is served by which run, and how the run is stopped. What does not:
lingering, failures, and kinds of functions, which have modules of their own.
"""

import asyncio
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from cancelweb import Ended, Shared

from .._visits import Visit
from .._work import Errand
from ._shared import Base
from .test_shared_kinds import shared_errand


class RunTests(Base):
    """A single run serves many waiters."""

    def test_a_hundred_requests(self) -> None:
        """A hundred requests for one report run it once, and all get it."""
        visits = [Visit(lambda request: self.shared("year")) for _ in range(100)]
        self.assertEqual(len(self.reports.running), 1)
        self.reports.running[0].callback(b"a report")
        self.assertEqual({visit.response.body for visit in visits}, {b"a report"})

    def test_ninety_nine_leave(self) -> None:
        """A run goes on while one request waits for it, and is stopped when the last one leaves."""
        visits = [Visit(lambda request: self.shared("year")) for _ in range(100)]
        for visit in visits[:99]:
            visit.disconnect()
            self.assertEqual(visit.outcome.ended, Ended.STOPPED)
        self.assertEqual(self.reports.stopped, [])
        visits[99].disconnect()
        self.assertEqual(self.reports.stopped, self.reports.running)
        self.assertEqual(visits[99].outcome.ended, Ended.STOPPED)

    def test_the_client_that_stays(self) -> None:
        """A request that stays when another has left gets the report."""
        first, second = (Visit(lambda request: self.shared("year")) for _ in range(2))
        first.disconnect()
        self.reports.running[0].callback(b"a report")
        self.assertEqual(second.response.body, b"a report")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_different_arguments(self) -> None:
        """Calls with different arguments, or with the same one by name, are different runs."""
        for ask in [partial(self.shared, "year"), partial(self.shared, "month")]:
            ask()
        self.shared(name="year")  # type: ignore[call-arg]
        self.assertEqual(len(self.reports.running), 3)

    def test_a_run_that_has_ended(self) -> None:
        """`Shared` is not a cache: a call after the run has ended begins a new run."""
        self.shared("year")
        self.reports.running[0].callback(1)
        self.assertNoResult(self.shared("year"))
        self.assertEqual(len(self.reports.running), 2)

    def test_asking_again_on_delivery(self) -> None:
        """A waiter that calls again when it is told the result begins a new run."""
        waiting = self.shared("year").addCallback(lambda _: self.shared("year"))
        self.reports.running[0].callback(1)
        self.assertNoResult(waiting)
        self.assertEqual(len(self.reports.running), 2)

    def test_a_run_that_is_stopping(self) -> None:
        """A call while a cancelled run has not yet stopped begins a new run beside it."""
        errands = [Errand(obedient=False), Errand()]
        begin: Any = iter(errands).__next__
        shared: Shared[[], Any] = Shared(begin)
        last = shared()
        last.cancel()
        newcomer = shared()
        errands[1].end("new")
        self.assertEqual(self.successResultOf(newcomer), "new")
        errands[0].end("old")
        self.failureResultOf(last, CancelledError)

    def test_the_old_run_does_not_forget_the_new(self) -> None:
        """When a stopped run ends at last, the run that was begun meanwhile is still joined."""
        errands = [Errand(obedient=False), Errand()]
        begin: Any = iter(errands).__next__
        shared: Shared[[], Any] = Shared(begin)
        shared().addErrback(lambda _: None).cancel()
        waiting = shared()
        errands[0].end()
        both = [waiting, shared()]
        errands[1].end("new")
        self.assertEqual([self.successResultOf(each) for each in both], ["new", "new"])

    def test_waiters_are_told_in_their_order(self) -> None:
        """Waiters are told in the order in which they called."""
        told: list[int] = []
        for number in range(3):
            self.shared("year").addCallback(lambda _, number: told.append(number), number)
        self.reports.running[0].callback(None)
        self.assertEqual(told, [0, 1, 2])

    def test_one_waiter_cancels_another_on_delivery(self) -> None:
        """A waiter that is cancelled while others are told is told only about its cancellation."""
        waiting: list[Deferred[Any]] = []
        for _ in range(2):
            waiting.append(self.shared("year").addCallback(lambda _: waiting[1].cancel()))
        self.reports.running[0].callback(None)
        self.assertIsNone(self.successResultOf(waiting[0]))
        self.failureResultOf(waiting[1], CancelledError)
        self.assertEqual(self.reports.stopped, [])


class StoppingTests(Base):
    """The last waiter leaves a run."""

    def test_the_last_waits_for_the_end(self) -> None:
        """The request that leaves last ends only when the run has really stopped."""
        errand = Errand(obedient=False)
        visit = Visit(lambda request: shared_errand(errand)())
        visit.disconnect()
        self.assertEqual((errand.asked, visit.outcomes), ([""], []))
        errand.fail(CancelledError())
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_a_run_that_does_not_stop(self) -> None:
        """A run that does not stop is a survivor of the request that left last."""
        errand = Errand(obedient=False)
        visit = Visit(lambda request: shared_errand(errand)())
        visit.disconnect()
        visit.clock.advance(5)
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)
        errand.end()

    def test_a_cleanup_is_waited_for_and_not_cut(self) -> None:
        """A run that waits in its `finally` is not cut, however often its last waiter cancels."""
        cleaning, cleaned = Deferred[None](), []

        async def work() -> None:
            try:
                await Deferred[None]()
            finally:
                await cleaning
                cleaned.append(True)

        last = Shared(work)()
        last.cancel()
        last.cancel()
        self.assertNoResult(last)
        cleaning.callback(None)
        self.failureResultOf(last, CancelledError)
        self.assertEqual(cleaned, [True])

    def test_a_run_that_fails_on_its_way_out(self) -> None:
        """A run that fails while it is stopped is logged, and fails the request that left last."""
        errand = Errand(obedient=False)
        visit = Visit(lambda request: shared_errand(errand)())
        visit.disconnect()
        errand.fail(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(visit.outcome.ended, Ended.FAILED)

    def test_a_canceller_that_fails(self) -> None:
        """If a run's canceller fails, that is logged, and the last waiter waits for the run."""

        class Faulty(Errand):
            error: type[BaseException] = ValueError

            def cancel(self) -> None:
                raise self.error

        for error in (ValueError, asyncio.CancelledError):
            errand = Faulty()
            errand.error = error
            last = shared_errand(errand)()
            last.cancel()
            self.assertEqual(len(self.flushLoggedErrors(error)), 1)
            self.assertNoResult(last)
            errand.end()
            self.failureResultOf(last, CancelledError)
