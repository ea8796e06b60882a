"""What comes of tracked work that is not simply stopped with its request.

Work that comes late, that the response leaves behind, or that fails. What outlives its
cancellation is for `test_survivors`.
"""

import contextlib
import gc
from typing import Any
from weakref import ref

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from cancelweb import Ended, current_scope

from .._logs import log_events, of_cancelweb
from .._pages import waiting
from .._visits import Visit
from .._work import Errand
from ._tracking import finish


class LateWorkTests(SynchronousTestCase):
    """Work is tracked on a scope that was cancelled or has closed."""

    def test_on_a_cancelled_scope(self) -> None:
        """Work tracked on a cancelled scope is asked to stop at once, and waited for."""
        returned, late = Errand(obedient=False), Errand(obedient=False)
        visit = Visit(lambda _: returned)
        visit.disconnect()
        self.assertIs(visit.scope.track(late), late)
        self.assertEqual(late.asked, [""])
        returned.end()
        self.assertEqual(visit.outcomes, [])
        late.end()
        self.assertEqual(visit.outcome.ended, Ended.COMPLETED)

    def test_on_a_closed_scope(self) -> None:
        """Work tracked on a closed scope is asked to stop at once."""
        for observers in (repr, ()):
            late = Errand()
            Visit(lambda _: b"page", observers=observers).scope.track(late)
            self.assertEqual(late.asked, [""])

    def test_on_a_closed_scope_and_runs_on(self) -> None:
        """Work that is tracked on a closed scope and runs on is named a survivor, once."""
        events, late = log_events(self), Errand(obedient=False)
        visit = Visit(lambda _: b"page", survivor_after=5)
        visit.scope.track(late)
        visit.clock.advance(4)
        self.assertEqual(of_cancelweb(events), [])
        visit.clock.advance(1)
        (event,) = of_cancelweb(events)
        self.assertEqual(
            formatEvent(event),
            "tests._work.Errand of a request that is over still runs 5 s after it was asked to "
            "stop",
        )
        late.end()

    def test_on_a_closed_scope_and_stops_in_time(self) -> None:
        """Work that is tracked on a closed scope and stops, late or at once, leaves no timer."""
        visit, late = Visit(lambda _: b"page", observers=()), Errand(obedient=False)
        before = list(visit.clock.getDelayedCalls())
        visit.scope.track(late)
        late.end()
        visit.scope.track(Errand())
        self.assertEqual(visit.clock.getDelayedCalls(), before)

    def test_of_a_hook_that_runs_on(self) -> None:
        """Work that a hook tracks is asked as the scope closes, and named if it runs on."""
        events, late = log_events(self), Errand(obedient=False)
        visit = Visit(lambda _: b"page", on_exit=lambda scope: scope.track(late) and None)
        self.assertEqual((len(visit.outcomes), late.asked), (1, [""]))
        visit.clock.advance(5)
        self.assertEqual(len(of_cancelweb(events)), 1)

    def test_on_a_closed_scope_is_not_kept(self) -> None:
        """A closed scope does not hold on to work that is tracked on it."""
        visit, late = Visit(lambda _: b"page"), Errand(obedient=False)
        visit.scope.track(late)
        gone = ref(late)
        del late
        gc.collect()
        self.assertIsNone(gone())
        visit.clock.advance(5)

    def test_a_deferred_on_a_closed_scope(self) -> None:
        """The cancellation of a Deferred tracked on a closed scope is not an unhandled error."""
        Visit(lambda _: b"page").scope.track(Deferred[None]())
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_deferred_on_a_closed_scope_is_awaited(self) -> None:
        """Code that awaits a Deferred tracked on a closed scope gets its CancelledError."""

        async def awaiting() -> None:
            await visit.scope.track(Deferred[None]())

        visit = Visit(lambda _: b"page")
        self.failureResultOf(Deferred.fromCoroutine(awaiting()), CancelledError)

    def test_a_coroutine_on_a_closed_scope_is_not_cut(self) -> None:
        """A coroutine on a closed scope that tracks what it awaits is cancelled only once."""
        tidied: Deferred[None] = Deferred()

        async def tidying() -> None:
            try:
                await visit.scope.track(Deferred[None]())
            finally:
                await tidied

        visit = Visit(lambda _: b"page")
        work = visit.scope.track(tidying())
        self.assertNoResult(work)
        tidied.callback(None)
        self.failureResultOf(work, CancelledError)

    def test_a_deferred_is_awaited_when_its_scope_has_closed(self) -> None:
        """Code that waits for a Deferred after its scope has closed gets the CancelledError."""
        visit = Visit(waiting)
        work = visit.scope.track(Deferred[None]())
        visit.disconnect()
        self.assertIs(visit.scope.request, None)
        self.failureResultOf(work, CancelledError)

    def test_a_deferred_that_fails_when_its_scope_has_closed(self) -> None:
        """An errback that fails, added after the scope has closed, is logged as unhandled."""
        visit = Visit(waiting)
        work: Deferred[None] = visit.scope.track(Deferred())
        visit.disconnect()
        work.addErrback(lambda _: 1 / 0)
        del work
        gc.collect()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_that_stopped_work_comes_to(self) -> None:
        """Work that a coroutine returns after it swallowed its cancellation is asked at once."""
        more = Errand()

        async def handler(request: object) -> Errand:
            with contextlib.suppress(CancelledError):
                await Deferred[None]()
            return more

        visit = Visit(handler)
        visit.disconnect()
        self.assertEqual(more.asked, [""])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_that_fails_on_a_closed_scope(self) -> None:
        """A failure of work that was tracked on a closed scope is logged."""
        late = Errand(obedient=False)
        Visit(lambda _: b"page").scope.track(late)
        late.fail(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_named_a_survivor_in_its_own_time(self) -> None:
        """Late work is named `survivor_after` seconds after it was asked, not after the cancel."""
        events = log_events(self)
        visit = Visit(lambda _: Errand(obedient=False), survivor_after=5)
        visit.disconnect()
        visit.clock.advance(4)
        visit.scope.track(Errand(obedient=False))
        visit.clock.advance(1)
        self.assertEqual(len(of_cancelweb(events)), 1)
        visit.clock.advance(4)
        self.assertEqual(len(of_cancelweb(events)), 2)


class BesideTheResponseTests(SynchronousTestCase):
    """Work that was tracked and still runs when the response is finished."""

    def assert_completed(self, visit: Visit, leftovers: int) -> None:
        """The request was not cancelled; so many pieces of leftover work were stopped."""
        outcome = visit.outcome
        self.assertEqual((outcome.cause, outcome.cancelled), (None, None))
        self.assertEqual((outcome.ended, outcome.leftovers), (Ended.COMPLETED, leftovers))

    def test_is_stopped(self) -> None:
        """Tracked work is stopped when the handler returns bytes, and the request completes."""
        work = Errand()

        def handler(request: object) -> bytes:
            current_scope().track(work)
            return b"page"

        visit = Visit(handler)
        self.assertEqual(work.asked, [""])
        self.assertEqual(visit.response.body, b"page")
        self.assert_completed(visit, 1)

    def test_is_stopped_when_the_handler_raises(self) -> None:
        """Tracked work is stopped when the handler raises, and the request is not cancelled."""
        work = Errand()

        def handler(request: object) -> bytes:
            current_scope().track(work)
            raise ValueError

        visit = Visit(handler)
        self.assertEqual(work.asked, [""])
        self.assertEqual((visit.outcome.cause, visit.outcome.leftovers), (None, 1))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_is_stopped_when_the_returned_work_is_done(self) -> None:
        """Tracked work is stopped as soon as the result of the returned work has been sent."""
        work, result = Errand(), Deferred[bytes]()
        visit = Visit(lambda _: result)
        visit.scope.track(work)
        result.callback(b"page")
        self.assertEqual(work.asked, [""])
        self.assert_completed(visit, 1)

    def test_finished_beats_cancelled(self) -> None:
        """Once the response is finished, a disconnect does not stop the returned work."""
        returned, tracked = Errand(), Errand()

        def handler(request: Any) -> Errand:
            current_scope().track(tracked)
            request.finish()
            return returned

        visit = Visit(handler)
        visit.disconnect()
        self.assertEqual((returned.asked, tracked.asked), ([], [""]))
        self.assertEqual(visit.outcomes, [])
        returned.end(b"ignored")
        self.assert_completed(visit, 1)

    def test_tracked_when_the_rest_was_stopped(self) -> None:
        """Work tracked after leftover work was stopped runs until the returned work is done."""
        first, second, returned = Errand(), Errand(), Errand()

        def handler(request: Any) -> Errand:
            current_scope().track(first)
            request.finish()
            return returned

        visit = Visit(handler)
        visit.scope.track(second)
        self.assertEqual((first.asked, second.asked), ([""], []))
        returned.end()
        self.assertEqual(second.asked, [""])
        self.assert_completed(visit, 2)

    def test_tracked_when_nothing_runs(self) -> None:
        """Work tracked after the finish is asked at once if no returned work runs."""
        first, second = Errand(obedient=False), Errand()
        visit = Visit(lambda _: NOT_DONE_YET)
        visit.scope.track(first)
        finish(visit.scope.request)
        visit.scope.track(second)
        self.assertEqual((first.asked, second.asked), ([""], [""]))
        first.end()
        self.assert_completed(visit, 2)

    def test_finished_beats_the_deadline(self) -> None:
        """Once the response is finished, a deadline does not stop the returned work."""
        returned = Errand()

        def handler(request: Any) -> Errand:
            request.finish()
            return returned

        visit = Visit(handler, timeout=1)
        visit.clock.advance(2)
        self.assertEqual(returned.asked, [])
        self.assertIsNone(visit.scope.cause)

    def test_tracked_after_the_finish_is_stopped_in_the_end(self) -> None:
        """Work tracked after the finish is stopped when the returned work is done, not before."""
        returned, tracked = Errand(), Errand()

        def handler(request: Any) -> Errand:
            request.finish()
            return returned

        visit = Visit(handler)
        visit.scope.track(tracked)
        self.assertEqual(tracked.asked, [])
        returned.end()
        self.assertEqual(tracked.asked, [""])
        self.assert_completed(visit, 1)


class ResultTests(SynchronousTestCase):
    """The result of tracked work belongs to its owner."""

    def test_is_left_to_the_owner(self) -> None:
        """The owner of a tracked Deferred gets its result, and may handle its failure."""
        visit = Visit(waiting)
        good, bad = Deferred[int](), Deferred[int]()
        visit.scope.track(good)
        visit.scope.track(bad)
        good.callback(1)
        bad.errback(ValueError())
        self.assertEqual(self.successResultOf(good), 1)
        self.failureResultOf(bad, ValueError)

    def test_work_is_given_back(self) -> None:
        """`track` returns the work that it was given, whatever its kind."""
        visit = Visit(waiting)
        for work in (visit.clock.callLater(1, str), Errand(), Deferred[None]()):
            self.assertIs(visit.scope.track(work), work)

    def test_work_that_has_ended_is_not_kept(self) -> None:
        """An open scope holds on to no work that has ended, well or not."""
        visit = Visit(waiting)
        for error in (None, ValueError()):
            work = visit.scope.track(Errand())
            work.end(error and Failure(error))
            gone = ref(work)
            del work
            gc.collect()
            self.assertIsNone(gone())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_failure_is_in_the_outcome(self) -> None:
        """A failure of tracked work is in the outcome even if its owner handles it."""
        visit = Visit(waiting)
        visit.scope.track(Deferred[int]()).addErrback(lambda _: None)
        failing = visit.scope.track(Deferred[int]())
        failing.errback(ValueError("tracked"))
        failing.addErrback(lambda _: None)
        visit.disconnect()
        self.assertEqual(visit.outcome.ended, Ended.FAILED)
        failure = visit.outcome.failure
        assert failure is not None
        self.assertEqual(failure.getErrorMessage(), "tracked")

    def test_a_coroutine_is_started(self) -> None:
        """`track` starts a coroutine with the scope current, and returns its Deferred."""
        visit = Visit(waiting)

        async def work() -> object:
            return current_scope()

        tracked: Any = visit.scope.track(work())
        self.assertIs(self.successResultOf(tracked), visit.scope)

    def test_an_error_of_its_owner_is_not_swallowed(self) -> None:
        """An error in the owner's errback for the cancellation is logged as unhandled."""

        def handler(request: object) -> Deferred[None]:
            work = current_scope().track(Deferred[None]())
            work.addErrback(lambda _: 1 / 0)
            return Deferred()

        Visit(handler).disconnect()
        gc.collect()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_cancellation_by_the_owner_is_no_failure(self) -> None:
        """Tracked work that its owner cancels does not make a failed request."""
        result = Deferred[bytes]()
        visit = Visit(lambda _: result)
        mine = visit.scope.track(Deferred[None]())
        mine.addErrback(lambda _: None)
        mine.cancel()
        result.callback(b"page")
        self.assertIsNone(visit.outcome.failure)
        self.assertIsNone(visit.outcome.cause)

    def test_what_cannot_be_stopped_is_a_type_error(self) -> None:
        """`track` refuses an object without a canceller, and says how to register one."""
        visit = Visit(waiting)
        with self.assertRaisesRegex(TypeError, r"registerAdapter\(YourCanceller, int, "):
            visit.scope.track(5)
