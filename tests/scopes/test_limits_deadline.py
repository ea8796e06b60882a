"""The deadline: what the client gets, and what is heard of the work afterwards.

What belongs here: `timeout=`, `timeout_status=`, `deadline` and `remaining()`, in memory. What
does not: how work is stopped, and which of two deadlines wins.
"""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import StringTransport
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Cause, Ended, TimedOut, scope_of

from .._pages import PAGE, PageTestCase


class DeadlineTestCase(PageTestCase):
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
        """The same, having written something."""
        request.write(PAGE)
        return self.handler(request)


class AnswerTests(DeadlineTestCase):
    """What the client gets when the deadline has passed."""

    def test_503(self) -> None:
        """A client to whom nothing was sent gets 503, at the deadline and not before."""
        client = self.visit(self.handler, timeout=3)
        self.clock.advance(2.9)
        self.assertEqual(client.received, b"")
        self.clock.advance(0.1)
        response = client.response
        self.assertEqual(response.status, 503)
        self.assertIn(b"Service Unavailable", response.body)
        self.assertTrue(response.is_complete)
        self.assertEqual(self.outcome().cause, TimedOut(3))

    def test_other_status(self) -> None:
        """`timeout_status` gives another status."""
        client = self.visit(self.handler, timeout=3, timeout_status=504)
        self.clock.advance(3)
        self.assertEqual(client.response.status, 504)
        self.assertIn(b"Gateway Time-out", client.response.body)

    def test_status_without_a_name(self) -> None:
        """Also one for which HTTP has no name."""
        client = self.visit(self.handler, timeout=3, timeout_status=599)
        self.clock.advance(3)
        self.assertEqual(client.response.status, 599)

    def test_status_is_the_deadlines(self) -> None:
        """`timeout_status` is not that of other causes."""

        class Busy(Cause):
            status = 429

        client = self.visit(self.handler, timeout=3, timeout_status=504)
        scope_of(self.request).cancel(Busy())
        self.assertEqual(client.response.status, 429)

    def test_cause_without_status(self) -> None:
        """A cause that names no status gives 503."""
        client = self.visit(self.handler)
        scope_of(self.request).cancel(Cause())
        self.assertEqual(client.response.status, 503)

    def test_aborted(self) -> None:
        """A client to whom something was sent has its connection aborted."""
        client = self.visit(self.writing, total_timeout=3)
        self.clock.advance(3)
        self.assertTrue(client.is_aborted)
        self.assertFalse(client.response.is_complete)
        self.assertEqual(client.response.body, PAGE)
        self.assertEqual(self.outcome().cause, TimedOut(3, "total_timeout"))

    def test_headers_of_the_page(self) -> None:
        """What the handler has said of its page is not said of the error page."""

        def handler(request: Any) -> object:
            request.setHeader(b"content-length", b"100000")
            request.setHeader(b"content-type", b"image/png")
            request.setETag(b"abc")
            request.setLastModified(1000)
            return self.handler(request)

        client = self.serve(handler, timeout=3)
        client.request(headers={b"If-None-Match": b"abc"})
        self.clock.advance(3)
        headers = client.response.headers
        self.assertEqual(client.response.status, 503)
        self.assertTrue(client.response.is_complete)
        self.assertTrue(headers[b"content-type"].startswith(b"text/html"))
        self.assertNotIn(b"etag", headers)
        self.assertNotIn(b"last-modified", headers)

    def test_head(self) -> None:
        """A HEAD gets the status, and no body."""
        client = self.serve(self.handler, timeout=3)
        client.request(b"HEAD")
        self.clock.advance(3)
        self.assertEqual(client.response.status, 503)
        self.assertTrue(client.response.is_complete)

    def test_http_1_0(self) -> None:
        """Over HTTP/1.0 the connection is closed behind the answer."""
        client = self.serve(self.handler, timeout=3)
        client.request(version=b"HTTP/1.0")
        self.clock.advance(3)
        self.assertEqual(client.response.status, 503)
        self.assertTrue(client.is_closed)
        self.assertFalse(client.is_aborted)

    def test_kept_alive(self) -> None:
        """The connection goes on to serve the next request."""
        client = self.serve(
            lambda request: self.handler(request) if request.path == b"/slow" else PAGE, timeout=3
        )
        client.request(path=b"/slow")
        client.request()
        self.clock.advance(3)
        self.assertEqual([each.status for each in client.responses], [503, 200])

    def test_producer(self) -> None:
        """A producer that has produced nothing yet is stopped, and does not hold up the answer."""
        producer = StringTransport()

        def handler(request: Any) -> object:
            request.registerProducer(producer, True)
            return self.handler(request)

        client = self.visit(handler, timeout=3)
        self.clock.advance(3)
        self.assertEqual(producer.producerState, "stopped")
        self.assertEqual(client.response.status, 503)


class AfterwardsTests(DeadlineTestCase):
    """From the deadline on, nothing that the handler does is sent."""

    def test_result(self) -> None:
        """Not the page of work that eats the cancellation, in the same turn."""
        self.work.addErrback(lambda _: PAGE)
        client = self.visit(self.handler, timeout=3)
        self.clock.advance(3)
        self.assertEqual(client.response.status, 503)
        self.assertEqual(self.outcome().ended, Ended.COMPLETED)

    def test_late_result(self) -> None:
        """Nor the page of a survivor."""
        rest: Deferred[bytes] = Deferred()
        self.work.addErrback(lambda _: rest)
        client = self.visit(self.handler, timeout=3)
        self.clock.pump([3, 5])
        rest.callback(PAGE)
        self.assertEqual(client.response.status, 503)
        self.assertEqual(self.outcome().ended, Ended.SURVIVED)

    def test_writing(self) -> None:
        """Nor what the handler's code writes, whenever it does."""

        def write(_: object) -> None:
            self.request.write(PAGE)
            self.request.setResponseCode(200)
            self.request.finish()

        self.work.addErrback(write)
        client = self.visit(self.handler, timeout=3)
        self.clock.advance(3)
        self.assertEqual(client.responses[1:], [])
        self.flushWarnings()

    def test_writing_much_later(self) -> None:
        """Nor what it writes by a timer of its own, which does not fail either."""
        client = self.visit(self.write_later, timeout=3)
        self.clock.pump([3, 1])
        self.assertEqual(client.response.status, 503)
        self.flushWarnings()

    def write_later(self, request: Any) -> int:
        """Write after the deadline."""
        self.clock.callLater(4, lambda: request.write(PAGE))
        self.clock.callLater(4, lambda: request.unregisterProducer())
        return NOT_DONE_YET

    def test_failure(self) -> None:
        """Nor its error page: what it fails with is logged."""

        async def handler(_: Request) -> None:
            try:
                await self.work
            except CancelledError:
                raise ZeroDivisionError from None

        client = self.visit(handler, timeout=3)
        self.clock.advance(3)
        self.assertEqual(client.response.status, 503)
        self.logged_error(ZeroDivisionError)
        self.assertEqual(self.outcome().ended, Ended.FAILED)

    def test_aborted_result(self) -> None:
        """Nor anything on a connection that was aborted."""
        self.work.addErrback(lambda _: PAGE)
        client = self.visit(self.writing, total_timeout=3)
        self.clock.advance(3)
        self.assertEqual(client.response.body, PAGE)
        self.assertTrue(client.is_closed)


class ArmedTests(DeadlineTestCase):
    """When there is a deadline, and when there is none any more."""

    def test_deadline(self) -> None:
        """The scope tells when it is, and how long that is from now."""
        self.clock.advance(10)
        client = self.visit(self.handler, timeout=3)
        scope = scope_of(self.request)
        self.clock.advance(1)
        self.assertEqual((scope.deadline, scope.remaining()), (13, 2))
        self.clock.advance(5)
        self.assertEqual(scope.remaining(), 0)
        client.disconnect()

    def test_no_deadline(self) -> None:
        """Without a timeout there is none."""
        client = self.visit(self.handler)
        scope = scope_of(self.request)
        self.assertEqual((scope.deadline, scope.remaining()), (None, None))
        client.disconnect()

    def test_disarmed_by_completing(self) -> None:
        """It is disarmed when the response is finished."""
        client = self.visit(self.handler, timeout=3)
        idle = self.serve(self.handler)
        self.work.callback(PAGE)
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)  # Both connections are idle.
        idle.disconnect()
        client.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_disarmed_by_bytes(self) -> None:
        """It is disarmed when the handler returned bytes."""
        client = self.visit(lambda _: PAGE, timeout=3)
        client.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.outcome().ended, Ended.COMPLETED)

    def test_disarmed_by_error(self) -> None:
        """It is disarmed when the handler raised."""

        def handler(_: Request) -> object:
            raise KeyError

        client = self.visit(handler, timeout=3)
        client.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.logged_error(KeyError)

    def test_disarmed_by_finishing(self) -> None:
        """It is disarmed when somebody else finishes, though the returned work runs on."""
        client = self.visit(self.handler, timeout=3)
        self.request.finish()
        self.clock.advance(3)
        self.assertEqual(client.response.status, 200)
        self.assertFalse(self.work.called)
        self.work.callback(None)

    def test_disarmed_by_leaving(self) -> None:
        """It is disarmed when the client leaves."""
        self.visit(self.handler, timeout=3).disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])
