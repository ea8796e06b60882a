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
        """A handler that notes that it ran."""
        self.ran.append("handler")
        return b"page"

    def wrapped(self, **options: Any) -> CancellingResource:
        """The handler behind a wrapper."""
        return CancellingResource(Page(self.handler), **self.options, **options)

    def test_is_refused(self) -> None:
        """A lost request is REFUSED: its hooks run, but not its decorated handler."""
        connection, request = kept_request()
        connection.disconnect()
        self.assertIs(cancel_on_disconnect(**self.options)(self.handler)(request), NOT_DONE_YET)
        self.assertEqual(self.ran, ["cancel: the client disconnected", "exit"])
        self.assertEqual([each.ended for each in self.outcomes], [Ended.REFUSED])

    def test_is_refused_by_a_wrapper(self) -> None:
        """A wrapped handler of a lost GET is not called, but the hooks of its wrapper run."""
        connection, request = kept_request()
        connection.disconnect()
        self.assertIs(self.wrapped().render(request), NOT_DONE_YET)
        self.assertEqual(self.ran, ["cancel: the client disconnected", "exit"])

    def test_finished_by_other_code(self) -> None:
        """A request that other code has finished is refused without a cause."""
        _, request = kept_request()
        request.finish()
        self.assertIs(cancel_on_disconnect(**self.options)(self.handler)(request), NOT_DONE_YET)
        self.assertEqual(self.ran, ["exit"])
        [outcome] = self.outcomes
        self.assertEqual((outcome.cause, outcome.cancelled), (None, None))
        self.assertIs(outcome.ended, Ended.REFUSED)

    def test_unsafe_method(self) -> None:
        """A wrapped handler of a lost POST is called and completes, and its page is dropped."""
        connection, request = kept_request(b"POST")
        connection.disconnect()
        self.assertIs(self.wrapped().render(request), NOT_DONE_YET)
        self.assertEqual(self.ran, ["handler", "exit"])
        self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED])

    def test_unsafe_method_finished_by_other_code(self) -> None:
        """A wrapped POST that is finished a second time warns, as in Twisted."""

        def render(request: Any) -> int:
            request.finish()
            return NOT_DONE_YET

        _, request = kept_request(b"POST")
        request.finish()
        CancellingResource(Page(render)).render(request)
        (warning,) = self.flushWarnings()
        self.assertIn("finish called twice", warning["message"])

    def test_unsafe_method_decorated(self) -> None:
        """A decorated handler of a lost request is not called, not even for a POST."""
        connection, request = kept_request(b"POST")
        connection.disconnect()
        cancel_on_disconnect(**self.options)(self.handler)(request)
        self.assertNotIn("handler", self.ran)

    def test_work_in_an_unsafe_method_finished_by_other_code(self) -> None:
        """The scope of a finished POST closes when its work ends, and adds no listener."""
        result: Deferred[bytes] = Deferred()
        _, request = kept_request(b"POST")
        request.finish()
        CancellingResource(Page(lambda _: result)).render(request)
        self.assertIs(scope_of(request).request, request)
        self.assertEqual(getattr(request, "notifications"), [])  # noqa: B009
        result.callback(b"page")
        self.assertIs(scope_of(request).request, None)

    def test_dry_run(self) -> None:
        """A dry run calls the handler of a lost request, and the outcome names the disconnect."""
        connection, request = kept_request()
        connection.disconnect()
        self.wrapped(dry_run=True).render(request)
        self.assertEqual(self.ran, ["handler", "exit"])
        self.assertEqual([each.would_have_cancelled for each in self.outcomes], [Disconnected()])

    def test_what_is_run_may_touch_the_request(self) -> None:
        """A handler that is called for a lost request may write and finish without an error."""

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
        """A refused request has a closed scope, whose cause is the disconnect."""
        connection, request = kept_request()
        connection.disconnect()
        cancel_on_disconnect(**self.options)(self.handler)(request)
        self.assertEqual(scope_of(request).cause, Disconnected())
        self.assertIsNone(scope_of(request).request)


class InTheMiddleTests(SynchronousTestCase):
    """The client leaves while a handler's synchronous part runs."""

    def test_work_is_stopped_as_it_is_returned(self) -> None:
        """Work that a handler returns after its client has left is asked to stop at once."""
        work = Errand()

        def handler(request: Request) -> Errand:
            lose(request)
            return work

        visit = Visit(handler)
        self.assertEqual(work.asked, [""])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)
        self.assertIsInstance(visit.outcome.cause, Disconnected)

    def test_bytes_are_dropped(self) -> None:
        """Bytes that a handler returns after its client has left are not sent."""

        def handler(request: Request) -> bytes:
            lose(request)
            return b"page"

        visit = Visit(handler)
        self.assertEqual(visit.received, b"")
        self.assertIsInstance(visit.outcome.cause, Disconnected)

    def test_bytes_of_an_unwatched_handler_are_dropped(self) -> None:
        """Bytes returned after the client has left are not sent, even without observers."""

        def handler(request: Request) -> bytes:
            lose(request)
            return b"page"

        connection = connect(Page(cancel_on_disconnect(observers=())(handler)))
        connection.get()
        self.assertEqual(connection.received, b"")

    def test_not_done_yet(self) -> None:
        """A hook that the handler adds after its client has left runs, and finds the disconnect."""
        ran: list[object] = []

        def handler(request: Request) -> int:
            lose(request)
            scope_of(request).on_cancel(lambda scope: ran.append(scope.cause))
            return NOT_DONE_YET

        Visit(handler)
        self.assertEqual(ran, [Disconnected()])

    def test_an_error_is_logged(self) -> None:
        """An error raised after the client has left is logged, and the outcome is FAILED."""

        def handler(request: Request) -> bytes:
            lose(request)
            raise ValueError

        visit = Visit(handler)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(visit.outcome.ended, Ended.FAILED)

    def test_answered_by_other_code(self) -> None:
        """The result of work is dropped if other code has finished the response."""
        result: Deferred[bytes] = Deferred()
        connection, request = kept_request()
        cancel_on_disconnect(lambda _: result)(request)
        request.write(b"theirs")
        request.finish()
        result.callback(b"ours")
        self.assertEqual(connection.response.body, b"theirs")
        self.assertIsNone(scope_of(request).request)

    def test_in_an_unsafe_method(self) -> None:
        """A wrapped POST whose client leaves in the handler goes on, and its page is not sent."""
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
    """Code that Twisted tells about a loss before it tells cancelweb."""

    def test_a_producer_that_cancels_the_work(self) -> None:
        """A producer that cancels the work when a disconnect stops it causes no error."""
        result: Deferred[bytes] = Deferred()

        @implementer(IPushProducer)
        class Cancelling:
            """A producer that cancels the work; Twisted stops it before `notifyFinish` fires."""

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
