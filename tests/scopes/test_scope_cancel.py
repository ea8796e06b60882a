"""What users do with a scope: cancel it, check it, and read its cause and its deadline.

What a cancel does to the scope's work is for `test_scope` and the modules on tracking.
"""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cancelweb import (
    Cause,
    Disconnected,
    Draining,
    Ended,
    ResponseFinished,
    ScopeCancelled,
    TimedOut,
)

from .._logs import log_events, of_cancelweb
from .._pages import waiting
from .._visits import Visit
from .._work import Errand


class CancelTests(SynchronousTestCase):
    """`Scope.cancel`, called from outside."""

    def test_tells_whether_it_was_this_call(self) -> None:
        """`cancel` returns True for the call that cancels, and False for the next one."""
        visit = Visit(waiting)
        self.assertTrue(visit.scope.cancel(Draining()))
        self.assertFalse(visit.scope.cancel(ResponseFinished()))
        self.assertEqual(visit.outcome.cause, Draining())

    def test_does_nothing_after_a_disconnect(self) -> None:
        """After a disconnect `cancel` returns False, and the work is asked only once."""
        work = Errand(obedient=False)
        visit = Visit(lambda _: work)
        visit.disconnect()
        self.assertIs(visit.scope.cancel(Draining()), False)
        self.assertIsInstance(visit.scope.cause, Disconnected)
        self.assertEqual(work.asked, [""])

    def test_answers_in_the_same_turn(self) -> None:
        """`cancel` asks the work and sends the error page before it returns."""
        work = Errand()
        visit = Visit(lambda _: work)
        visit.scope.cancel(Draining())
        self.assertEqual((work.asked, visit.response.code), ([""], 503))

    def test_takes_only_causes(self) -> None:
        """`cancel` raises a TypeError for anything but a Cause, and does not cancel."""
        visit = Visit(waiting)
        not_a_cause: Any = "I felt like it"
        with self.assertRaisesRegex(TypeError, "cause must be a cancelweb.Cause"):
            visit.scope.cancel(not_a_cause)
        self.assertIsNone(visit.scope.cause)

    def test_does_nothing_to_a_finished_response(self) -> None:
        """`cancel` returns False once the response is finished, though work still runs."""
        work = Errand()

        def handler(request: Any) -> Errand:
            request.finish()
            return work

        visit = Visit(handler)
        self.assertFalse(visit.scope.cancel(Draining()))
        self.assertEqual((work.asked, visit.scope.cause), ([], None))

    def test_does_nothing_to_a_closed_scope(self) -> None:
        """`cancel` returns False once the scope has closed."""
        visit = Visit(lambda _: b"page")
        self.assertFalse(visit.scope.cancel(Draining()))
        self.assertIsNone(visit.scope.cause)

    def test_the_disconnect_keeps_its_failure(self) -> None:
        """Disconnected carries what notifyFinish failed with."""
        visit = Visit(waiting)
        visit.disconnect(ConnectionResetError("gone"))
        cause = visit.scope.cause
        assert isinstance(cause, Disconnected) and cause.failure is not None
        self.assertEqual(cause.failure.getErrorMessage(), "gone")


class MyCause(Cause):
    """A cause of a user's own."""

    status = 507


class CauseTests(SynchronousTestCase):
    """Causes are typed facts."""

    def test_a_users_own_decides_on_the_status(self) -> None:
        """A subclass of Cause can cancel a scope, and its `status` is that of the answer."""
        visit = Visit(waiting)
        visit.scope.cancel(MyCause())
        self.assertEqual(visit.response.code, 507)
        self.assertIsInstance(visit.outcome.cause, MyCause)

    def test_503_unless_it_says_otherwise(self) -> None:
        """A scope cancelled with Draining answers 503, even if `timeout_status` is another."""
        visit = Visit(waiting, timeout=1, timeout_status=504)
        visit.scope.cancel(Draining())
        self.assertEqual(visit.response.code, 503)

    def test_a_users_own_may_have_a_broken_text(self) -> None:
        """A cause whose `__str__` raises cancels all the same, and the client is answered."""

        class Unspeakable(Cause):
            def __str__(self) -> str:
                raise KeyError

        events = log_events(self)
        visit = Visit(waiting, observers=None)
        self.assertTrue(visit.scope.cancel(Unspeakable()))
        self.assertEqual(visit.response.code, 503)
        self.assertEqual([each["log_level"].name for each in of_cancelweb(events)], ["info"])

    def test_say_what_happened(self) -> None:
        """The text of a cause says what happened, for a log line."""
        texts = [str(each) for each in (TimedOut(2.5), Draining(), ResponseFinished())]
        self.assertEqual(
            texts,
            [
                "timed out after 2.5 s (timeout)",
                "the server is shutting down",
                "the response was finished",
            ],
        )
        self.assertEqual(str(Disconnected()), "the client disconnected")
        failure = Failure(ConnectionResetError("reset"))
        self.assertEqual(str(Disconnected(failure)), "the client disconnected (reset)")

    def test_are_frozen_and_equal_by_value(self) -> None:
        """Causes are equal by value, and cannot be changed."""
        cause: Any = TimedOut(1)
        self.assertEqual(cause, TimedOut(1))
        self.assertNotEqual(cause, TimedOut(2))
        with self.assertRaises(AttributeError):
            cause.seconds = 2


class CheckTests(SynchronousTestCase):
    """`Scope.check` and `cause`, for code that cannot be interrupted."""

    def test_passes_while_all_is_well(self) -> None:
        """`check` does nothing on a closed scope that was not cancelled."""
        visit = Visit(lambda _: b"page")
        visit.scope.check()
        self.assertIsNone(visit.scope.cause)

    def test_raises_the_cause(self) -> None:
        """`check` raises a CancelledError that carries the cause, even on a closed scope."""
        visit = Visit(waiting)
        visit.disconnect()
        with self.assertRaises(ScopeCancelled) as caught:
            visit.scope.check()
        self.assertIsInstance(caught.exception, CancelledError)
        self.assertIs(caught.exception.cause, visit.scope.cause)
        self.assertIn("the client disconnected", str(caught.exception))

    def test_what_it_raises_counts_as_stopped(self) -> None:
        """A handler that lets the exception of `check` through has stopped, and has not failed."""
        go = Deferred[None](lambda _: None)

        async def handler(request: object) -> None:
            try:
                await go
            except CancelledError:
                visit.scope.check()

        visit = Visit(handler)
        visit.disconnect()
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)
        self.assertIsNone(visit.outcome.failure)


class ThreadTests(TestCase):
    """Threads may use some methods of a scope."""

    async def test_check_from_a_thread(self) -> None:
        """`check` and `remaining` work in a thread that was given the scope."""
        visit = Visit(waiting, timeout=5)
        scope = visit.scope
        self.assertEqual(await deferToThread(scope.remaining), 5)
        await deferToThread(scope.check)
        visit.disconnect()
        with self.assertRaises(ScopeCancelled):
            await deferToThread(scope.check)


class DeadlineTests(SynchronousTestCase):
    """A scope tells its deadline, and is cancelled by it."""

    def test_none_unless_given(self) -> None:
        """Without `timeout`, `deadline` and `remaining` are None."""
        visit = Visit(waiting)
        self.assertIsNone(visit.scope.deadline)
        self.assertIsNone(visit.scope.remaining())

    def test_counts_down(self) -> None:
        """`deadline` is a time on the scope's clock, and `remaining` what is left until then."""
        visit = Visit(waiting, timeout=5)
        visit.clock.advance(2)
        self.assertEqual(visit.scope.deadline, 5)
        self.assertEqual(visit.scope.remaining(), 3)

    def test_never_below_zero(self) -> None:
        """Once the deadline has passed, `remaining` is 0."""
        visit = Visit(waiting, timeout=5)
        visit.clock.advance(7)
        self.assertEqual(visit.scope.remaining(), 0)

    def test_cancels_when_it_passes(self) -> None:
        """A deadline that passes cancels the scope with TimedOut, and the client gets a 503."""
        visit = Visit(waiting, timeout=5)
        visit.clock.advance(4.9)
        self.assertIsNone(visit.scope.cause)
        visit.clock.advance(0.1)
        self.assertEqual(visit.scope.cause, TimedOut(5))
        self.assertEqual(visit.response.code, 503)

    def test_its_status_can_be_set(self) -> None:
        """`timeout_status` is the status of the answer when the deadline passes."""
        visit = Visit(waiting, timeout=5, timeout_status=504)
        visit.clock.advance(5)
        self.assertEqual(visit.response.code, 504)

    def test_is_given_up_with_the_request(self) -> None:
        """A request that has ended leaves no timer for its deadline."""
        for handler in (waiting, lambda _: b"page"):
            visit = Visit(handler, timeout=5, observers=())
            visit.disconnect()
            self.assertEqual(visit.clock.getDelayedCalls(), [])
            self.assertNotIsInstance(visit.scope.cause, TimedOut)

    def test_is_taken_from_the_clock_given(self) -> None:
        """The deadline is a time on the `clock` that was given, not on the Site's reactor."""
        clock = Clock()
        clock.advance(100)
        visit = Visit(waiting, timeout=5, clock=clock)
        self.assertEqual(visit.scope.deadline, 105)
        visit.clock.advance(10)
        self.assertIsNone(visit.scope.cause)
        clock.advance(5)
        self.assertEqual(visit.scope.cause, TimedOut(5))
