"""What users do with a scope: cancel it, ask how it stands, acquire what must not be lost.

What follows for its work is for the modules on tracking.
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
        """It returns True for the call that cancels, and False for each one after it."""
        visit = Visit(waiting)
        self.assertTrue(visit.scope.cancel(Draining()))
        self.assertFalse(visit.scope.cancel(ResponseFinished()))
        self.assertEqual(visit.outcome.cause, Draining())

    def test_does_nothing_after_a_disconnect(self) -> None:
        """It returns False while work is being stopped; the work is asked once."""
        work = Errand(obedient=False)
        visit = Visit(lambda _: work)
        visit.disconnect()
        self.assertIs(visit.scope.cancel(Draining()), False)
        self.assertIsInstance(visit.scope.cause, Disconnected)
        self.assertEqual(work.asked, [""])

    def test_answers_in_the_same_turn(self) -> None:
        """The work is asked and the error page is sent before it returns."""
        work = Errand()
        visit = Visit(lambda _: work)
        visit.scope.cancel(Draining())
        self.assertEqual((work.asked, visit.response.code), ([""], 503))

    def test_takes_only_causes(self) -> None:
        """Anything but a Cause is a TypeError that says so."""
        visit = Visit(waiting)
        not_a_cause: Any = "I felt like it"
        with self.assertRaisesRegex(TypeError, "cause must be a cancelweb.Cause"):
            visit.scope.cancel(not_a_cause)
        self.assertIsNone(visit.scope.cause)

    def test_does_nothing_to_a_finished_response(self) -> None:
        """It returns False once the response is finished, though work still runs."""
        work = Errand()

        def handler(request: Any) -> Errand:
            request.finish()
            return work

        visit = Visit(handler)
        self.assertFalse(visit.scope.cancel(Draining()))
        self.assertEqual((work.asked, visit.scope.cause), ([], None))

    def test_does_nothing_to_a_closed_scope(self) -> None:
        """It returns False once the scope has closed."""
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
        """A subclass of Cause is a cause, and its `status` is that of the answer."""
        visit = Visit(waiting)
        visit.scope.cancel(MyCause())
        self.assertEqual(visit.response.code, 507)
        self.assertIsInstance(visit.outcome.cause, MyCause)

    def test_503_unless_it_says_otherwise(self) -> None:
        """The server's own causes answer 503, also where `timeout_status` is another."""
        visit = Visit(waiting, timeout=1, timeout_status=504)
        visit.scope.cancel(Draining())
        self.assertEqual(visit.response.code, 503)

    def test_a_users_own_may_have_a_broken_text(self) -> None:
        """A cause whose text cannot be had is a cause all the same: the client is answered."""

        class Unspeakable(Cause):
            def __str__(self) -> str:
                raise KeyError

        events = log_events(self)
        visit = Visit(waiting, observers=None)
        self.assertTrue(visit.scope.cancel(Unspeakable()))
        self.assertEqual(visit.response.code, 503)
        self.assertEqual([each["log_level"].name for each in of_cancelweb(events)], ["info"])

    def test_say_what_happened(self) -> None:
        """Their text is for a log line."""
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
        """A cause can be compared, and cannot be changed."""
        cause: Any = TimedOut(1)
        self.assertEqual(cause, TimedOut(1))
        self.assertNotEqual(cause, TimedOut(2))
        with self.assertRaises(AttributeError):
            cause.seconds = 2


class CheckTests(SynchronousTestCase):
    """`Scope.check` and `cause`, for code that cannot be interrupted."""

    def test_passes_while_all_is_well(self) -> None:
        """`check` does nothing on a scope that was not cancelled, open or closed."""
        visit = Visit(lambda _: b"page")
        visit.scope.check()
        self.assertIsNone(visit.scope.cause)

    def test_raises_the_cause(self) -> None:
        """It raises a CancelledError that carries the cause, also on a closed scope."""
        visit = Visit(waiting)
        visit.disconnect()
        with self.assertRaises(ScopeCancelled) as caught:
            visit.scope.check()
        self.assertIsInstance(caught.exception, CancelledError)
        self.assertIs(caught.exception.cause, visit.scope.cause)
        self.assertIn("the client disconnected", str(caught.exception))

    def test_what_it_raises_counts_as_stopped(self) -> None:
        """A handler that lets it through has stopped; it has not failed."""
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
    """What other threads may use."""

    async def test_check_from_a_thread(self) -> None:
        """`check`, `cause` and `remaining` work in a thread that was given the scope."""
        visit = Visit(waiting, timeout=5)
        scope = visit.scope
        self.assertEqual(await deferToThread(scope.remaining), 5)
        await deferToThread(scope.check)
        visit.disconnect()
        with self.assertRaises(ScopeCancelled):
            await deferToThread(scope.check)


class DeadlineTests(SynchronousTestCase):
    """The deadline as the scope tells of it."""

    def test_none_unless_given(self) -> None:
        """Without `timeout` there is no deadline, and no end to what remains."""
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
        """Once it has passed, 0 remains."""
        visit = Visit(waiting, timeout=5)
        visit.clock.advance(7)
        self.assertEqual(visit.scope.remaining(), 0)

    def test_cancels_when_it_passes(self) -> None:
        """The scope is cancelled with TimedOut, and the client is answered 503."""
        visit = Visit(waiting, timeout=5)
        visit.clock.advance(4.9)
        self.assertIsNone(visit.scope.cause)
        visit.clock.advance(0.1)
        self.assertEqual(visit.scope.cause, TimedOut(5))
        self.assertEqual(visit.response.code, 503)

    def test_its_status_can_be_set(self) -> None:
        """`timeout_status` is that of the answer."""
        visit = Visit(waiting, timeout=5, timeout_status=504)
        visit.clock.advance(5)
        self.assertEqual(visit.response.code, 504)

    def test_is_given_up_with_the_request(self) -> None:
        """No timer is left when the request has ended."""
        for handler in (waiting, lambda _: b"page"):
            visit = Visit(handler, timeout=5, observers=())
            visit.disconnect()
            self.assertEqual(visit.clock.getDelayedCalls(), [])
            self.assertNotIsInstance(visit.scope.cause, TimedOut)

    def test_is_taken_from_the_clock_given(self) -> None:
        """`clock` replaces the Site's reactor as the place that time is taken from."""
        clock = Clock()
        clock.advance(100)
        visit = Visit(waiting, timeout=5, clock=clock)
        self.assertEqual(visit.scope.deadline, 105)
        visit.clock.advance(10)
        self.assertIsNone(visit.scope.cause)
        clock.advance(5)
        self.assertEqual(visit.scope.cause, TimedOut(5))
