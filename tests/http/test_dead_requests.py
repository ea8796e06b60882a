"""A request that is dead on entry, or dies while its handler runs.

What happens to it afterwards is for `test_dead_requests_guarded`; late children, and what Twisted's
own resources do with dead requests, have modules of their own.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from cancelweb import (
    CancellingResource,
    Disconnected,
    Ended,
    Outcome,
    cancel_on_disconnect,
    scope_of,
)

from .._pages import Page
from .._visits import Visit, connect, kept_request, lose
from .._work import Errand


class OnEntryTests(SynchronousTestCase):
    """The request is dead when an entry point meets it."""

    def setUp(self) -> None:
        """Note what is run and told."""
        self.ran: list[str] = []
        self.outcomes: list[Outcome] = []
        self.options: dict[str, Any] = {
            "on_cancel": lambda scope: self.ran.append(f"cancel: {scope.cause}"),
            "on_exit": lambda _: self.ran.append("exit"),
            "observers": self.outcomes.append,
        }

    def handler(self, request: Request) -> bytes:
        """Note that it was run."""
        self.ran.append("handler")
        return b"page"

    def wrapped(self, **options: Any) -> CancellingResource:
        """The handler behind a wrapper."""
        return CancellingResource(Page(self.handler), **self.options, **options)

    def test_is_refused(self) -> None:
        """A handler is not run, its entry point's hooks are, and the outcome is REFUSED."""
        connection, request = kept_request()
        connection.disconnect()
        self.assertIs(cancel_on_disconnect(**self.options)(self.handler)(request), NOT_DONE_YET)
        self.assertEqual(self.ran, ["cancel: the client disconnected", "exit"])
        self.assertEqual([each.ended for each in self.outcomes], [Ended.REFUSED])

    def test_is_refused_by_a_wrapper(self) -> None:
        """So is a safe method behind a wrapper."""
        connection, request = kept_request()
        connection.disconnect()
        self.assertIs(self.wrapped().render(request), NOT_DONE_YET)
        self.assertEqual(self.ran, ["cancel: the client disconnected", "exit"])

    def test_finished_by_somebody(self) -> None:
        """A request that somebody has finished is refused as finished, not as left."""
        _, request = kept_request()
        request.finish()
        self.assertIs(cancel_on_disconnect(**self.options)(self.handler)(request), NOT_DONE_YET)
        self.assertEqual(self.ran, ["exit"])
        [outcome] = self.outcomes
        self.assertEqual((outcome.cause, outcome.cancelled), (None, None))
        self.assertIs(outcome.ended, Ended.REFUSED)

    def test_unsafe_method(self) -> None:
        """A POST behind a wrapper is run all the same, and nothing of it is sent."""
        connection, request = kept_request(b"POST")
        connection.disconnect()
        self.assertIs(self.wrapped().render(request), NOT_DONE_YET)
        self.assertEqual(self.ran, ["handler", "exit"])
        self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED])

    def test_unsafe_method_finished_by_somebody(self) -> None:
        """Finishing once more what somebody has finished warns, as in Twisted."""

        def render(request: Any) -> int:
            request.finish()
            return NOT_DONE_YET

        _, request = kept_request(b"POST")
        request.finish()
        CancellingResource(Page(render)).render(request)
        (warning,) = self.flushWarnings()
        self.assertIn("finish called twice", warning["message"])

    def test_unsafe_method_decorated(self) -> None:
        """A decorated handler is refused whatever its method."""
        connection, request = kept_request(b"POST")
        connection.disconnect()
        cancel_on_disconnect(**self.options)(self.handler)(request)
        self.assertNotIn("handler", self.ran)

    def test_work_in_an_unsafe_method_finished_by_somebody(self) -> None:
        """The scope of a POST that is run all the same ends with its work, and holds nothing."""
        result: Deferred[bytes] = Deferred()
        _, request = kept_request(b"POST")
        request.finish()
        CancellingResource(Page(lambda _: result)).render(request)
        self.assertIs(scope_of(request).request, request)
        self.assertEqual(getattr(request, "notifications"), [])  # noqa: B009
        result.callback(b"page")
        self.assertIs(scope_of(request).request, None)

    def test_dry_run(self) -> None:
        """In a dry run it is run, and the outcome says what would have been."""
        connection, request = kept_request()
        connection.disconnect()
        self.wrapped(dry_run=True).render(request)
        self.assertEqual(self.ran, ["handler", "exit"])
        self.assertEqual([each.would_have_cancelled for each in self.outcomes], [Disconnected()])

    def test_what_is_run_may_touch_the_request(self) -> None:
        """Where a handler is run on a dead request, nothing that it does to it raises."""

        def render(request: Request) -> int:
            request.write(b"page")
            request.finish()
            self.ran.append("through")
            return NOT_DONE_YET

        connection, request = kept_request(b"POST")
        connection.disconnect()
        CancellingResource(Page(render)).render(request)
        self.assertEqual(self.ran, ["through"])

    def test_has_a_scope(self) -> None:
        """A refused request has a scope, which is closed and knows why."""
        connection, request = kept_request()
        connection.disconnect()
        cancel_on_disconnect(**self.options)(self.handler)(request)
        self.assertEqual(scope_of(request).cause, Disconnected())
        self.assertIsNone(scope_of(request).request)


class InTheMiddleTests(SynchronousTestCase):
    """The client leaves while a handler's synchronous part runs."""

    def test_work_is_stopped_as_it_is_returned(self) -> None:
        """What the handler returns then is asked to stop at once, once."""
        work = Errand()

        def handler(request: Request) -> Errand:
            lose(request)
            return work

        visit = Visit(handler)
        self.assertEqual(work.asked, [""])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)
        self.assertIsInstance(visit.outcome.cause, Disconnected)

    def test_bytes_are_dropped(self) -> None:
        """Bytes are not sent, and raise nothing."""

        def handler(request: Request) -> bytes:
            lose(request)
            return b"page"

        visit = Visit(handler)
        self.assertEqual(visit.received, b"")
        self.assertIsInstance(visit.outcome.cause, Disconnected)

    def test_bytes_of_an_unwatched_handler_are_dropped(self) -> None:
        """Nor where nobody watches."""

        def handler(request: Request) -> bytes:
            lose(request)
            return b"page"

        connection = connect(Page(cancel_on_disconnect(observers=())(handler)))
        connection.get()
        self.assertEqual(connection.received, b"")

    def test_not_done_yet(self) -> None:
        """A handler that does it all itself is told by its hooks."""
        ran: list[object] = []

        def handler(request: Request) -> int:
            lose(request)
            scope_of(request).on_cancel(lambda scope: ran.append(scope.cause))
            return NOT_DONE_YET

        Visit(handler)
        self.assertEqual(ran, [Disconnected()])

    def test_an_error_is_logged(self) -> None:
        """An exception that nobody can be told of is logged, and told to the observers."""

        def handler(request: Request) -> bytes:
            lose(request)
            raise ValueError

        visit = Visit(handler)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(visit.outcome.ended, Ended.FAILED)

    def test_answered_by_somebody_else(self) -> None:
        """What the work comes to when somebody else has answered is dropped."""
        result: Deferred[bytes] = Deferred()
        connection, request = kept_request()
        cancel_on_disconnect(lambda _: result)(request)
        request.write(b"theirs")
        request.finish()
        result.callback(b"ours")
        self.assertEqual(connection.response.body, b"theirs")
        self.assertIsNone(scope_of(request).request)

    def test_in_an_unsafe_method(self) -> None:
        """A POST behind a wrapper goes on, guarded."""
        result: Deferred[bytes] = Deferred()

        def render(request: Request) -> Deferred[bytes]:
            lose(request)
            return result

        connection = connect(CancellingResource(Page(render)))
        connection.request(b"POST")
        self.assertFalse(result.called)
        result.callback(b"page")
        self.assertEqual(connection.received, b"")


class InTheTransportTests(SynchronousTestCase):
    """What is told of the loss before we are."""

    def test_a_producer_that_cancels_the_work(self) -> None:
        """Where a producer has cancelled the work when it was stopped, it is no error."""
        result: Deferred[bytes] = Deferred()

        @implementer(IPushProducer)
        class Cancelling:
            """Cancels, as it is told before `notifyFinish` fires."""

            def stopProducing(self) -> None:
                result.cancel()

            def pauseProducing(self) -> None:
                """Nothing to pause."""

            def resumeProducing(self) -> None:
                """Nothing to resume."""

        def handler(request: Request) -> Deferred[bytes]:
            request.registerProducer(Cancelling(), True)
            return result

        visit = Visit(handler)
        visit.disconnect()
        visit.clock.pump([1] * 6)
        self.assertIsInstance(visit.outcome.cause, Disconnected)
        self.assertIsNone(visit.outcome.failure)
        self.assertEqual(self.flushLoggedErrors(), [])
