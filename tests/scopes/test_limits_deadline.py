"""The deadline: what the client gets, and what is heard about the work afterwards.

What belongs here: `timeout=`, `timeout_status=`, `deadline` and `remaining()`, in memory. What
does not: how work is stopped, and which of two deadlines wins.
"""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import StringTransport
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Cause, Ended, TimedOut, scope_of

from .._pages import PAGE
from .._visits import VisitTestCase


class DeadlineTestCase(VisitTestCase):
    """A test of a handler that would answer, but too late."""

    def setUp(self) -> None:
        super().setUp()
        self.work: Deferred[Any] = Deferred(lambda _: None)
        self.request: Any = None

    def handler(self, request: Any) -> object:
        """Return what is not done in time."""
        self.request = request
        return self.work

    def writing(self, request: Any) -> object:
        """Write something, and return what is not done in time."""
        request.write(PAGE)
        return self.handler(request)


class AnswerTests(DeadlineTestCase):
    """What the client gets when the deadline has passed."""

    def test_503(self) -> None:
        """A client to which nothing was sent gets 503, at the deadline and not before."""
        connection = self.visit(self.handler, timeout=3)
        self.clock.advance(2.9)
        self.assertEqual(connection.received, b"")
        self.clock.advance(0.1)
        response = connection.response
        self.assertEqual(response.code, 503)
        self.assertIn(b"Service Unavailable", response.body)
        self.assertTrue(response.is_complete)
        self.assertEqual(self.outcome.cause, TimedOut(3))

    def test_other_status(self) -> None:
        """`timeout_status` gives another status."""
        connection = self.visit(self.handler, timeout=3, timeout_status=504)
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 504)
        self.assertIn(b"Gateway Time-out", connection.response.body)

    def test_status_without_a_name(self) -> None:
        """`timeout_status` may be a status for which HTTP has no name."""
        connection = self.visit(self.handler, timeout=3, timeout_status=599)
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 599)

    def test_status_is_the_deadlines(self) -> None:
        """`timeout_status` is not used for other causes."""

        class Busy(Cause):
            status = 429

        connection = self.visit(self.handler, timeout=3, timeout_status=504)
        scope_of(self.request).cancel(Busy())
        self.assertEqual(connection.response.code, 429)

    def test_cause_without_status(self) -> None:
        """A cause that names no status gives 503."""
        connection = self.visit(self.handler)
        scope_of(self.request).cancel(Cause())
        self.assertEqual(connection.response.code, 503)

    def test_aborted(self) -> None:
        """A client to which something was sent has its connection aborted."""
        connection = self.visit(self.writing, total_timeout=3)
        self.clock.advance(3)
        self.assertTrue(connection.is_aborted)
        self.assertFalse(connection.response.is_complete)
        self.assertEqual(connection.response.body, PAGE)
        self.assertEqual(self.outcome.cause, TimedOut(3, "total_timeout"))

    def test_headers_of_the_page(self) -> None:
        """Headers that the handler has set for its page are not sent with the error page."""

        def handler(request: Any) -> object:
            request.setHeader(b"content-length", b"100000")
            request.setHeader(b"content-type", b"image/png")
            request.setETag(b"abc")
            request.setLastModified(1000)
            return self.handler(request)

        connection = self.serve(handler, timeout=3)
        connection.get(headers={b"If-None-Match": b"abc"})
        self.clock.advance(3)
        response = connection.response
        self.assertEqual(response.code, 503)
        self.assertTrue(response.is_complete)
        self.assertIn(b"text/html", response.header(b"content-type") or b"")
        self.assertIsNone(response.header(b"etag"))
        self.assertIsNone(response.header(b"last-modified"))

    def test_head(self) -> None:
        """A HEAD gets the status in a response that is complete."""
        connection = self.serve(self.handler, timeout=3)
        connection.request(b"HEAD")
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 503)
        self.assertTrue(connection.response.is_complete)

    def test_http_1_0(self) -> None:
        """Over HTTP/1.0 the connection is closed after the answer, and is not aborted."""
        connection = self.serve(self.handler, timeout=3)
        connection.request(b"GET", version=b"HTTP/1.0")
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 503)
        self.assertTrue(connection.is_closed)
        self.assertFalse(connection.is_aborted)

    def test_kept_alive(self) -> None:
        """The connection serves the next request after an answer at the deadline."""
        connection = self.serve(
            lambda request: self.handler(request) if request.path == b"/slow" else PAGE, timeout=3
        )
        connection.get(path=b"/slow")
        connection.get()
        self.clock.advance(3)
        self.assertEqual([each.code for each in connection.responses], [503, 200])

    def test_producer(self) -> None:
        """A producer that has produced nothing yet is stopped, and does not hold up the answer."""
        producer = StringTransport()

        def handler(request: Any) -> object:
            request.registerProducer(producer, True)
            return self.handler(request)

        connection = self.visit(handler, timeout=3)
        self.clock.advance(3)
        self.assertEqual(producer.producerState, "stopped")
        self.assertEqual(connection.response.code, 503)


class AfterwardsTests(DeadlineTestCase):
    """What the handler does from the deadline on."""

    def test_result(self) -> None:
        """The page of work that swallows the cancellation is not sent."""
        self.work.addErrback(lambda _: PAGE)
        connection = self.visit(self.handler, timeout=3)
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 503)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)

    def test_late_result(self) -> None:
        """The page of a survivor is not sent."""
        rest: Deferred[bytes] = Deferred()
        self.work.addErrback(lambda _: rest)
        connection = self.visit(self.handler, timeout=3)
        self.clock.pump([3, 5])
        rest.callback(PAGE)
        self.assertEqual(connection.response.code, 503)
        self.assertEqual(self.outcome.ended, Ended.SURVIVED)

    def test_its_own_answer(self) -> None:
        """A handler that answers the request when it is cancelled has its answer sent, alone."""

        def write(_: object) -> None:
            self.request.write(PAGE)
            self.request.setResponseCode(200)
            self.request.finish()

        self.work.addErrback(write)
        connection = self.visit(self.handler, timeout=3)
        self.clock.advance(3)
        self.assertEqual((connection.response.code, connection.response.body), (200, PAGE))
        self.flushWarnings()

    def test_writing_much_later(self) -> None:
        """What the handler writes by a timer after the deadline is not sent, and does not fail."""
        connection = self.visit(self.write_later, timeout=3)
        self.clock.pump([3, 1])
        self.assertEqual(connection.response.code, 503)
        self.flushWarnings()

    def write_later(self, request: Any) -> int:
        """Write after the deadline."""
        self.clock.callLater(4, lambda: request.write(PAGE))
        self.clock.callLater(4, lambda: request.unregisterProducer())
        return NOT_DONE_YET

    def test_failure(self) -> None:
        """The error page of cancelled work that fails is not sent, and the error is logged."""

        async def handler(_: Request) -> None:
            try:
                await self.work
            except CancelledError:
                raise ZeroDivisionError from None

        connection = self.visit(handler, timeout=3)
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 503)
        self.logged_error(ZeroDivisionError)
        self.assertEqual(self.outcome.ended, Ended.FAILED)

    def test_aborted_result(self) -> None:
        """The page of cancelled work is not sent on a connection that was aborted."""
        self.work.addErrback(lambda _: PAGE)
        connection = self.visit(self.writing, total_timeout=3)
        self.clock.advance(3)
        self.assertEqual(connection.response.body, PAGE)
        self.assertTrue(connection.is_closed)


class ArmedTests(DeadlineTestCase):
    """When there is a deadline, and when there is none any more."""

    def test_deadline(self) -> None:
        """A scope tells when its deadline is, and how much time remains until then."""
        self.clock.advance(10)
        connection = self.visit(self.handler, timeout=3)
        scope = scope_of(self.request)
        self.clock.advance(1)
        self.assertEqual((scope.deadline, scope.remaining()), (13, 2))
        self.clock.advance(5)
        self.assertEqual(scope.remaining(), 0)
        connection.disconnect()

    def test_no_deadline(self) -> None:
        """A scope without a timeout has no deadline."""
        connection = self.visit(self.handler)
        scope = scope_of(self.request)
        self.assertEqual((scope.deadline, scope.remaining()), (None, None))
        connection.disconnect()

    def test_disarmed_by_completing(self) -> None:
        """The deadline is disarmed when the response is finished."""
        connection = self.visit(self.handler, timeout=3)
        idle = self.serve(self.handler)
        self.work.callback(PAGE)
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)  # Both connections are idle.
        idle.disconnect()
        connection.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_disarmed_by_bytes(self) -> None:
        """The deadline is disarmed when the handler has returned bytes."""
        connection = self.visit(lambda _: PAGE, timeout=3)
        connection.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)

    def test_disarmed_by_error(self) -> None:
        """The deadline is disarmed when the handler has raised."""

        def handler(_: Request) -> object:
            raise KeyError

        connection = self.visit(handler, timeout=3)
        connection.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.logged_error(KeyError)

    def test_disarmed_by_finishing(self) -> None:
        """The deadline is disarmed when other code finishes the response, though work runs on."""
        connection = self.visit(self.handler, timeout=3)
        self.request.finish()
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 200)
        self.assertFalse(self.work.called)
        self.work.callback(None)

    def test_disarmed_by_leaving(self) -> None:
        """The deadline is disarmed when the client leaves."""
        self.visit(self.handler, timeout=3).disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])
