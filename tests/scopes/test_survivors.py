"""Work that does not stop as it should: survivors, and cancellers at fault.

Work that comes late or is left behind is for `test_tracking`.
"""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Ended

from .._logs import log_events, of_cancelweb
from .._pages import waiting
from .._visits import Visit
from .._work import Errand


class SurvivorTests(SynchronousTestCase):
    """Work that outlives its cancellation."""

    def test_is_named_after_some_seconds(self) -> None:
        """Work is named in a warning after `survivor_after` seconds, and its scope then closes."""
        events = log_events(self)
        visit = Visit(lambda _: Errand(obedient=False), survivor_after=2)
        visit.disconnect()
        visit.clock.advance(1.9)
        self.assertEqual((of_cancelweb(events), visit.outcomes), ([], []))
        visit.clock.advance(0.2)
        (event,) = of_cancelweb(events)
        self.assertEqual(event["log_level"].name, "warn")
        self.assertEqual(
            formatEvent(event),
            "tests._work.Errand of GET / still runs 2 s after it was asked to stop",
        )
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)

    def test_is_named_whenever_it_was_asked(self) -> None:
        """A survivor is named on time, by one timer, though times as floats do not add up."""
        for tenths in range(30):
            visit = Visit(lambda _: Errand(obedient=False), survivor_after=5)
            visit.clock.advance(tenths * 0.1)
            visit.disconnect()
            # A timer that is set again and again would be run again and again.
            self.patch(visit.clock, "callLater", lambda *_: self.fail("a second timer"))
            visit.clock.advance(5)
            self.assertEqual(visit.outcome.ended, Ended.SURVIVED)

    def test_less_than_a_second(self) -> None:
        """Work is a survivor after half a second if `survivor_after` is 0.5."""
        visit = Visit(lambda _: Errand(obedient=False), survivor_after=0.5)
        visit.disconnect()
        visit.clock.advance(0.5)
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)

    def test_five_seconds_unless_given(self) -> None:
        """Work is named a survivor after five seconds if `survivor_after` was not given."""
        events = log_events(self)
        visit = Visit(lambda _: Errand(obedient=False))
        visit.disconnect()
        visit.clock.advance(4.9)
        self.assertEqual(visit.outcomes, [])
        visit.clock.advance(0.2)
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)
        self.assertIn("still runs 5 s after", formatEvent(of_cancelweb(events)[0]))

    def test_may_swallow_the_cancellation(self) -> None:
        """A coroutine that swallows the CancelledError and runs on is a survivor."""

        async def handler(request: object) -> None:
            try:
                await Deferred[None]()
            except Exception:
                await Deferred[None]()

        visit = Visit(handler)
        visit.disconnect()
        visit.clock.advance(6)
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)

    def test_that_ends_in_time_is_none(self) -> None:
        """Work that stops within five seconds is waited for, and is not a survivor."""
        work = Errand(obedient=False)
        visit = Visit(lambda _: work)
        visit.disconnect()
        visit.clock.advance(4)
        self.assertEqual(visit.outcomes, [])
        work.end()
        self.assertEqual(visit.outcome.ended, Ended.COMPLETED)
        self.assertEqual(visit.clock.getDelayedCalls(), [])

    def test_that_fails_in_the_end_is_logged(self) -> None:
        """The end of a survivor, and its failure, are logged after its scope has closed."""
        work = Errand(obedient=False)
        visit = Visit(lambda _: work)
        visit.disconnect()
        visit.clock.advance(6)
        events = log_events(self)
        work.fail(ValueError())
        (end, event) = of_cancelweb(events)
        self.assertEqual(
            formatEvent(end), "work of GET / has ended, 6.0 s after it was asked to stop"
        )
        self.assertEqual(formatEvent(event), "work that outlived its scope failed")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_that_is_cancelled_in_the_end_is_not_logged(self) -> None:
        """A survivor that is cancelled in the end is not logged as an error."""
        result = Deferred[bytes](lambda _: result.pause())
        visit = Visit(lambda _: result)
        visit.disconnect()
        visit.clock.advance(6)
        result.unpause()
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)


class FaultyCancellerTests(SynchronousTestCase):
    """A canceller that raises, or cannot tell when its work ends."""

    def setUp(self) -> None:
        """Make work whose canceller cannot tell when it ends, and work whose canceller raises."""
        self.raises, self.stops = Errand(), True
        self.patch(self.raises, "cancel", self.end_and_raise)

        class Faulty(Errand):
            def when_settled(self) -> Deferred[Any]:
                raise ValueError("a canceller's bug")

        self.work = Faulty()

    def end_and_raise(self) -> None:
        """A canceller that stops its work and fails all the same."""
        if self.stops:
            self.raises.end(Failure(CancelledError()))
        raise ValueError("a canceller's bug")

    def test_that_raises_when_its_work_has_stopped(self) -> None:
        """A canceller that raises is logged; its work, which has stopped, is not a survivor."""
        visit, slow = Visit(lambda _: self.raises), Errand(obedient=False)
        visit.scope.track(slow)
        visit.disconnect()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        slow.end()
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_that_raises_on_a_closed_scope(self) -> None:
        """A canceller that raises on a closed scope is logged, and `track` does not raise."""
        self.stops, events = False, log_events(self)
        Visit(lambda _: b"page").scope.track(self.raises)
        (event,) = of_cancelweb(events)
        self.assertEqual(formatEvent(event), "the canceller tests._work.Errand failed")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_of_tracked_work(self) -> None:
        """Tracked work that cannot tell its end fails the request, and is not waited for."""
        visit = Visit(waiting)
        visit.scope.track(self.work)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        visit.disconnect()
        self.assertEqual(self.work.asked, [])
        self.assertEqual(visit.outcome.ended, Ended.FAILED)

    def test_of_returned_work(self) -> None:
        """If returned work cannot tell its end, the request is answered 500 and the scope ends."""
        visit = Visit(lambda _: self.work)
        self.assertEqual(visit.response.code, 500)
        self.assertEqual(visit.outcome.ended, Ended.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_of_work_that_a_deferred_came_to(self) -> None:
        """A request is answered 500 if its Deferred results in work that cannot tell its end."""
        result: Deferred[Errand] = Deferred()
        visit = Visit(lambda _: result)
        result.callback(self.work)
        self.assertEqual(visit.response.code, 500)
        self.assertEqual(visit.outcome.ended, Ended.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_of_work_that_tells_no_end(self) -> None:
        """Returned work whose `when_settled` returns no Deferred is answered 500 and logged."""

        class Mute(Errand):
            def when_settled(self) -> Any:
                return None

        visit = Visit(lambda _: Mute())
        self.assertEqual(visit.response.code, 500)
        self.assertEqual(visit.outcome.ended, Ended.FAILED)
        [failure] = self.flushLoggedErrors(TypeError)
        self.assertIn("must return a Deferred", failure.getErrorMessage())

    def test_of_work_that_tells_it_in_a_coroutine(self) -> None:
        """Work whose `when_settled` is a coroutine function is stopped like any other."""

        class Modern(Errand):
            async def when_settled(self) -> Any:  # type: ignore[override]
                return await super().when_settled()

        work = Modern()
        visit = Visit(lambda _: work)
        visit.disconnect()
        self.assertEqual((work.asked, visit.outcome.ended), ([""], Ended.STOPPED))
