"""The one clean answer to a request that was cancelled, or whose work failed.

When a request is cancelled is for the modules on deadlines and on the scope.
"""

import asyncio
import gc
import gzip
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.logger import formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import EncodingResourceWrapper
from twisted.web.server import NOT_DONE_YET, GzipEncoderFactory, Request
from twisted.web.test.requesthelper import DummyRequest
from zope.interface import implementer

from cancelweb import Cause, Draining, TimedOut, cancel_on_disconnect, current_scope, scope_of

from .._logs import log_events, of_cancelweb
from .._pages import Page
from .._visits import Visit, connect, connect_http2


@implementer(IPushProducer)
class Producer:
    """A producer that counts how often it is stopped."""

    stopped = 0

    def stopProducing(self) -> None:
        self.stopped += 1

    def pauseProducing(self) -> None:
        """Nothing to pause."""

    def resumeProducing(self) -> None:
        """Nothing to resume."""


class ErrorPageTests(SynchronousTestCase):
    """The page that a cancelled request is answered with."""

    def test_keeps_nothing_of_the_handlers_page(self) -> None:
        """An error page keeps no header that describes the handler's page, and is not cached."""

        def handler(request: Request) -> Deferred[bytes]:
            for name in ("Content-Encoding", "Content-Range", "Location", "Expires"):
                request.setHeader(name, "of the page")
            request.setHeader("Cache-Control", "public, max-age=3600")
            request.setHeader("X-Frame-Options", "DENY")
            return Deferred()

        visit = Visit(handler, timeout=1)
        visit.clock.advance(1)
        response = visit.response
        self.assertNotIn(b"of the page", visit.received)
        self.assertEqual(response.header(b"cache-control"), b"no-store")
        self.assertEqual(response.header(b"x-frame-options"), b"DENY")

    def test_is_encoded_like_the_handlers_page(self) -> None:
        """An error page is compressed where Twisted compresses the handler's page."""
        page = Page(cancel_on_disconnect(timeout=1)(lambda _: Deferred()))
        clock = Clock()
        connection = connect(EncodingResourceWrapper(page, [GzipEncoderFactory()]), clock)
        connection.get(headers={b"Accept-Encoding": b"gzip"})
        clock.advance(1)
        self.assertEqual(connection.response.header(b"content-encoding"), b"gzip")
        self.assertIn(b"was stopped", gzip.decompress(connection.response.body))

    def test_the_status_of_a_cause_is_checked(self) -> None:
        """A cause whose status is not that of an error page raises when its class is defined."""
        for status, error in (("429", TypeError), (True, TypeError), (204, ValueError)):
            with self.assertRaisesRegex(error, "Busy.status must be"):
                type("Busy", (Cause,), {"status": status})

    def test_the_status_of_a_cause(self) -> None:
        """An error page has the status that its cause defines."""

        class Busy(Cause):
            status: ClassVar[int] = 429

        def handler(request: Request) -> Deferred[bytes]:
            current_scope().cancel(Busy())
            return Deferred()

        visit = Visit(handler)
        visit.clock.advance(0)
        self.assertEqual(visit.response.code, 429)

    def test_a_deadline_in_the_handlers_call(self) -> None:
        """A deadline that passes while the handler is called is answered with a 503."""
        clock = Clock()

        def handler(request: Request) -> Deferred[bytes]:
            clock.advance(2)
            return Deferred()

        connection = connect(Page(cancel_on_disconnect(timeout=1)(handler)), clock)
        connection.get()
        clock.advance(0)
        self.assertEqual(connection.response.code, 503)

    def test_a_test_double(self) -> None:
        """A DummyRequest is answered with a 503 at its deadline."""
        request: Any = DummyRequest([])
        request.uri, clock = b"/", Clock()
        cancel_on_disconnect(timeout=1, clock=clock)(lambda _: Deferred())(request)
        clock.advance(1)
        self.assertEqual((request.responseCode, request.finished), (503, 1))

    def test_a_test_double_that_has_begun(self) -> None:
        """A DummyRequest that has begun its response is not finished at its deadline."""
        request: Any = DummyRequest([])
        request.uri, request.startedWriting, clock = b"/", True, Clock()
        cancel_on_disconnect(total_timeout=1, clock=clock)(lambda _: Deferred())(request)
        clock.advance(1)
        self.assertEqual((request.finished, clock.getDelayedCalls()), (0, []))


class FailureTests(SynchronousTestCase):
    """The answer to work that has failed."""

    def test_a_producer_is_stopped(self) -> None:
        """When work fails, its producer is stopped, and only the failure is logged."""
        producer, result = Producer(), Deferred[bytes]()

        def handler(request: Request) -> Deferred[bytes]:
            request.registerProducer(producer, True)
            return result

        visit = Visit(handler)
        result.errback(KeyError())
        self.assertEqual((visit.response.code, producer.stopped), (500, 1))
        self.assertEqual([each.type for each in self.flushLoggedErrors()], [KeyError])

    def test_a_producer_that_cannot_be_stopped(self) -> None:
        """A client gets its 503 though a producer's `stopProducing` raises, which is logged."""

        class Stubborn(Producer):
            def stopProducing(self) -> None:
                raise asyncio.CancelledError

        def handler(request: Request) -> Deferred[bytes]:
            request.registerProducer(Stubborn(), True)
            return Deferred()

        visit = Visit(handler, timeout=1)
        visit.clock.advance(1)
        self.assertEqual(visit.response.code, 503)
        self.assertEqual(len(self.flushLoggedErrors(asyncio.CancelledError)), 1)


class BrokenRequestTests(SynchronousTestCase):
    """A request of the site's own class; one of its methods raises."""

    def visit(self, broken: str, result: object, **options: Any) -> Visit:
        """Ask for a page that is waited for, with a request that has a method that raises."""

        def handler(request: Any) -> object:
            def fail(*_: object) -> None:
                raise OSError(broken)

            self.patch(request, broken, fail)
            return result

        return Visit(handler, **options)

    def assert_broken_off(self, visit: Visit, errors: int) -> None:
        """The connection is aborted, and all that was raised is logged."""
        visit.clock.advance(0)
        self.assertTrue(visit.is_aborted)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), errors)
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_page(self) -> None:
        """A late page that cannot be sent aborts the connection, and the outcome has a failure."""
        for broken, errors in (("write", 2), ("finish", 1)):
            result: Deferred[bytes] = Deferred()
            visit = self.visit(broken, result)
            result.callback(b"page")
            self.assert_broken_off(visit, errors)
            self.assertIsInstance(visit.outcome.failure, Failure)

    def test_after_the_finish(self) -> None:
        """An error that `finish` raises once the response is sent is logged, and spoils nothing."""
        result: Deferred[bytes] = Deferred()

        def handler(request: Any) -> Deferred[bytes]:
            def finish() -> None:
                Request.finish(request)
                raise OSError

            request.finish = finish
            return result

        visit = Visit(handler)
        result.callback(b"page")
        self.assertTrue(visit.response.is_complete)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(visit.outcome.cause, None)

    def test_nothing_more(self) -> None:
        """Work that comes to None aborts the connection if its request cannot be finished."""
        result: Deferred[None] = Deferred()
        visit = self.visit("finish", result)
        result.callback(None)
        self.assert_broken_off(visit, 2)

    def test_error(self) -> None:
        """Work that fails aborts the connection if the error page cannot be sent."""
        result: Deferred[bytes] = Deferred()
        visit = self.visit("write", result)
        result.errback(OSError())
        self.assert_broken_off(visit, 2)

    def test_deadline(self) -> None:
        """A deadline whose page cannot be sent aborts the connection, and logs the handler."""
        events = log_events(self)
        visit = self.visit("write", Deferred[bytes](lambda _: None), timeout=1)
        visit.clock.advance(1)
        self.assert_broken_off(visit, 1)
        self.assertEqual(visit.outcome.cause, TimedOut(1))
        failure = visit.outcome.failure
        self.assertIsNotNone(failure and failure.check(OSError))
        texts = [formatEvent(event) for event in of_cancelweb(events)]
        self.assertRegex(
            "\n".join(map(str, texts)), r"the request of .*_handle could not be answered$"
        )


class SiblingTests(SynchronousTestCase):
    """Streams of one HTTP/2 connection."""

    def test_a_cancel_while_the_loss_is_told(self) -> None:
        """All streams of a lost connection end, though one stream's cleanup cancels another."""
        requests: dict[bytes, Any] = {}
        outcomes: list[Any] = []

        async def handler(request: Any) -> None:
            requests[request.path] = request
            request.write(b"begun")
            try:
                await Deferred[None]()
            finally:
                if request.path == b"/a":
                    scope_of(requests[b"/b"]).cancel(Draining())

        clock: Any = Clock()
        page = Page(cancel_on_disconnect(observers=outcomes.append)(handler))
        connection = connect_http2(page, clock)
        for path in (b"/a", b"/b", b"/c"):
            connection.get(path)
        connection.disconnect()
        clock.advance(0)
        self.assertEqual(len(outcomes), 3)

    def test_an_abort(self) -> None:
        """A stream that has begun is reset at its total timeout, which is the scope's cause."""
        outcomes: list[Any] = []

        def handler(request: Any) -> int:
            request.write(b"begun")
            return NOT_DONE_YET

        clock: Any = Clock()
        decorate: Any = cancel_on_disconnect(total_timeout=1, observers=outcomes.append)
        stream: Any = connect_http2(Page(decorate(handler)), clock).get()
        clock.advance(1)
        clock.advance(0)
        self.assertEqual((stream.response.body, stream.was_reset), (b"begun", True))
        self.assertFalse(stream.connection.is_closed)
        self.assertEqual([each.cause for each in outcomes], [TimedOut(1, "total_timeout")])

    def test_an_abort_that_comes_too_late(self) -> None:
        """A stream that is lost before it can be reset logs no error."""
        requests: list[Any] = []

        def handler(request: Any) -> int:
            requests.append(request)
            request.write(b"begun")
            return NOT_DONE_YET

        clock: Any = Clock()
        page = Page(cancel_on_disconnect(handler))
        connection = connect_http2(page, clock)
        connection.get()
        scope_of(requests[0]).cancel(Draining())
        requests[0].connectionLost(Failure(ConnectionDone()))
        clock.advance(0)
        self.assertEqual(self.flushLoggedErrors(), [])
