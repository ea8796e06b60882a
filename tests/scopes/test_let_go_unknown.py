"""Requests that a handler leaves to code unknown to cancelweb: ``NOT_DONE_YET``, and no work."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.testing import StringTransport
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource, Disconnected, Ended, current_scope

from .._pages import Handler, Page
from .._work import Errand
from ._let_go import LetGoTestCase


class NotDoneYetTests(LetGoTestCase):
    """Promise 9: what cancelweb does not know about was not stopped, and did not complete."""

    def test_unanswered(self) -> None:
        """A request that is left with ``NOT_DONE_YET`` and no known work is let go."""
        for end in (self.leave, self.time_out):
            self.assertIs(end(lambda _: NOT_DONE_YET), Ended.LET_GO)

    def test_the_end_of_the_request_tells(self) -> None:
        """Unknown work counts as running for as long as other code holds its request."""
        kept: list[Request] = []

        def handler(request: Request) -> int:
            kept.append(request)
            return NOT_DONE_YET

        self.leave(handler)
        self.assertEqual(len(self.monitor.let_go), 1)
        kept.clear()
        self.assertEqual(self.monitor.let_go, ())

    def test_spared(self) -> None:
        """A spared request with unknown work is let go when its client leaves, without a cause."""
        self.visit(lambda _: NOT_DONE_YET, method=b"POST").disconnect()
        [outcome] = self.outcomes
        self.assertEqual((outcome.ended, outcome.cause), (Ended.LET_GO, None))
        self.assertIsInstance(outcome.would_have_cancelled, Disconnected)

    def test_after_a_wait(self) -> None:
        """A request is let go if its returned work has ended without an answer."""
        late: Deferred[int] = Deferred()
        connection = self.visit(lambda _: late)
        late.callback(NOT_DONE_YET)
        connection.disconnect()
        self.assertIs(self.ended(), Ended.LET_GO)
        connection = self.visit(lambda _: self.clock.callLater(1, lambda: None))
        self.clock.advance(1)
        connection.disconnect()
        self.assertIs(self.ended(), Ended.LET_GO)

    def test_with_tracked_work(self) -> None:
        """The work that a handler has tracked tells how the request has ended."""
        work = Errand()

        def handler(_: Request) -> int:
            current_scope().track(work)
            return NOT_DONE_YET

        self.assertIs(self.leave(handler), Ended.STOPPED)
        self.assertEqual(work.asked, [""])

    def test_with_tracked_work_that_was_over(self) -> None:
        """A request is let go if its tracked work had ended before the client left."""
        work = Errand()

        def handler(_: Request) -> int:
            current_scope().track(work)
            return NOT_DONE_YET

        connection = self.visit(handler)
        work.end()
        connection.disconnect()
        self.assertIs(self.ended(), Ended.LET_GO)

    def test_with_tracked_work_that_a_listener_stops(self) -> None:
        """Tracked work that a `notifyFinish` listener has stopped at the loss counts as stopped."""

        def handler(request: Request) -> int:
            work: Deferred[None] = Deferred(lambda _: None)
            current_scope().track(work)
            request.notifyFinish().addErrback(lambda _: work.cancel())
            work.addErrback(lambda _: None)
            return NOT_DONE_YET

        self.assertIs(self.leave(handler), Ended.STOPPED)

    def test_inside_another_entry_point(self) -> None:
        """Work that an inner entry point follows counts as stopped."""
        inner = CancellingResource(Page(lambda _: Deferred(lambda _: None)))
        self.assertIs(self.leave(inner.render), Ended.STOPPED)

    def test_answered(self) -> None:
        """A request with unknown work that was answered has completed."""

        def handler(request: Request) -> int:
            self.clock.callLater(1, request.finish)
            return NOT_DONE_YET

        self.visit(handler)
        self.clock.advance(1)
        self.assertIs(self.ended(), Ended.COMPLETED)

    def producing(self, producer: Any) -> Handler:
        """A handler that leaves the answer to a producer."""

        def handler(request: Request) -> int:
            request.registerProducer(producer, True)
            return NOT_DONE_YET

        return handler

    def test_with_a_producer(self) -> None:
        """A producer is stopped with its request, and a spared request with one has completed."""
        for end in (self.leave, self.time_out):
            producer = StringTransport()
            self.assertIs(end(self.producing(producer)), Ended.STOPPED)
            self.assertEqual(producer.producerState, "stopped")
        self.visit(self.producing(StringTransport()), method=b"POST").disconnect()
        self.assertIs(self.ended(), Ended.COMPLETED)

    def test_with_a_process(self) -> None:
        """A request whose producer is a process is let go, for Twisted only closes its pipes."""

        class Program(ProcessProtocol):
            def stopProducing(self) -> None:
                """See `IProducer`."""

            pauseProducing = resumeProducing = stopProducing

        self.assertIs(self.leave(self.producing(Program())), Ended.LET_GO)
