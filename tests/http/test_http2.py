"""HTTP/2 as in plain Twisted, and each stream for itself.

What belongs here: several streams on one connection in memory. What does not: TLS, browsers.
"""

from typing import Any

from h2.errors import ErrorCodes
from twisted.internet.testing import StringTransport
from twisted.web.server import NOT_DONE_YET

from cancelweb import Disconnected, Ended, TimedOut

from .._cycles import no_cycles
from .._pages import PAGE, GetPage, NoHead
from .._visits import response_of
from ._multiplexed import HTTP2TestCase


class CompletingTests(HTTP2TestCase):
    """Responses over HTTP/2 that are sent to their end."""

    def assert_as_plain(self, method: bytes) -> None:
        """Bytes, and a Deferred of bytes, are answered as in plain Twisted."""
        self.open(GetPage(lambda _: PAGE))
        plain = self.get(method=method)
        self.connect(lambda _: PAGE)
        known = self.get(method=method)
        self.connect(self.work)
        late = self.get(method=method)
        self.works[b"/"].callback(PAGE)
        self.settle()
        for stream in [known, late]:
            self.assertEqual(response_of(stream), response_of(plain))

    def test_get(self) -> None:
        """The answer to a GET is the same as in plain Twisted."""
        self.assert_as_plain(b"GET")

    def test_head(self) -> None:
        """The answer to a HEAD is the same as in plain Twisted."""
        self.assert_as_plain(b"HEAD")

    def test_stream(self) -> None:
        """The chunks of an async generator are sent as they are produced."""
        self.connect(self.async_generator)
        stream = self.get()
        for _ in range(3):
            self.next_step.callback(None)
            self.settle()
        self.assertEqual(response_of(stream).body, b"chunk" * 3)
        stream.reset()
        self.settle()

    def test_error(self) -> None:
        """Work that fails is answered with 500."""
        self.connect(self.work)
        stream = self.get()
        self.works[b"/"].errback(KeyError())
        self.settle()
        self.assertEqual(response_of(stream).code, 500)
        self.logged_error(KeyError)

    def test_error_after_writing(self) -> None:
        """When work fails after a write, its stream is reset, and no error page is sent."""

        def handler(request: Any) -> object:
            request.write(PAGE)
            return self.work(request)

        self.connect(handler)
        stream = self.get()
        self.works[b"/"].errback(KeyError())
        self.settle()
        self.assertFalse(response_of(stream).is_complete)
        self.assertEqual(stream.error_code, ErrorCodes.INTERNAL_ERROR)
        self.logged_error(KeyError)


class LeavingTests(HTTP2TestCase):
    """Clients that reset a stream, or close the connection."""

    def test_reset(self) -> None:
        """The work for a stream that is reset is stopped; its sibling completes."""
        self.connect(self.work)
        left, sibling = self.get(b"/1"), self.get(b"/2")
        left.reset()
        self.settle()
        self.assertEqual(self.stopped, [b"/1"])
        self.works[b"/2"].callback(PAGE)
        self.settle()
        self.assertEqual(self.body(sibling), (PAGE, True))
        self.assertEqual([each.ended for each in self.outcomes], [Ended.STOPPED, Ended.COMPLETED])

    def test_disconnect(self) -> None:
        """A client that closes the connection has the work for all its streams stopped."""
        self.connect(self.work)
        self.get(b"/1")
        self.get(b"/2")
        self.connection.disconnect()
        self.assertEqual(sorted(self.stopped), [b"/1", b"/2"])
        for outcome in self.outcomes:
            self.assertIsInstance(outcome.cause, Disconnected)

    def test_generator_closed(self) -> None:
        """The generator behind a stream that is reset is closed."""
        for handler in [self.generator, self.async_generator]:
            self.produced.clear()
            self.connect(handler)
            self.get().reset()
            self.assertEqual(self.produced[-1], "closed")

    def test_flow_control(self) -> None:
        """A generator is as fast as its stream's window, and is closed when the stream is reset."""
        chunks: list[int] = []

        def handler(_: object) -> Any:
            try:
                while True:
                    chunks.append(2**14)
                    yield bytes(2**14)
            finally:
                chunks.append(0)

        self.connect(handler)
        self.connection.pause()
        stream = self.connection.get()
        self.turn(20)
        self.assertLess(len(chunks), 8)
        stream.reset()
        self.assertEqual(chunks[-1], 0)

    def test_producer_is_stopped(self) -> None:
        """A handler's own producer is stopped, which Twisted alone does not do over HTTP/2."""
        producer = StringTransport()

        def handler(request: Any) -> int:
            request.registerProducer(producer, True)
            return NOT_DONE_YET

        self.connect(handler)
        self.get().reset()
        self.settle()
        self.assertEqual(producer.producerState, "stopped")

    def test_producer_that_raises(self) -> None:
        """The error of a producer that cannot be stopped is logged, and the scope still closes."""

        class Stubborn(StringTransport):
            def stopProducing(self) -> None:
                raise KeyError

        def handler(request: Any) -> int:
            request.registerProducer(Stubborn(), True)
            return NOT_DONE_YET

        self.connect(handler)
        self.get().reset()
        self.settle()
        self.logged_error(KeyError)
        self.assertEqual(len(self.outcomes), 1)

    def test_nothing_is_left(self) -> None:
        """A stream that was reset leaves nothing of cancelweb to the cycle collector."""
        self.connect(self.work)
        with no_cycles(self):
            self.get().reset()
            self.settle()
            self.works.clear()
        self.assertEqual(self.stopped, [b"/"])


class DeadlineTests(HTTP2TestCase):
    """Streams that meet a deadline."""

    def test_503(self) -> None:
        """At its deadline a stream without a response is answered 503; its sibling completes."""
        self.connect(self.work, timeout=3)
        slow = self.get(b"/1")
        self.clock.advance(2)
        sibling = self.get(b"/2")
        self.clock.advance(1)
        self.settle()
        self.assertEqual(response_of(slow).code, 503)
        self.works[b"/2"].callback(PAGE)
        self.settle()
        self.assertEqual(response_of(sibling).body, PAGE)
        self.assertEqual([each.cause for each in self.outcomes], [TimedOut(3), None])

    def test_reset(self) -> None:
        """At its deadline a stream with half a response is reset; its sibling completes."""

        def handler(request: Any) -> object:
            if request.path == b"/1":
                request.write(PAGE)
            return self.work(request)

        self.connect(handler, total_timeout=3)
        slow = self.get(b"/1")
        self.clock.advance(1)
        sibling = self.get(b"/2")
        self.clock.advance(2)
        self.settle()
        self.assertFalse(response_of(slow).is_complete)
        self.assertEqual(slow.error_code, ErrorCodes.INTERNAL_ERROR)
        self.works[b"/2"].callback(PAGE)
        self.settle()
        self.assertEqual(response_of(sibling).body, PAGE)
        self.assertEqual([each.path for each in self.outcomes], [b"/1", b"/2"])


class FakedHeadTests(HTTP2TestCase):
    """HEAD requests for which Twisted runs the handler of GET."""

    def test_stopped(self) -> None:
        """The work for a HEAD that Twisted fakes is stopped, and the answer is complete."""
        self.connect(self.work, NoHead)
        stream = self.get(method=b"HEAD")
        self.assertEqual(response_of(stream).code, 200)
        self.assertTrue(response_of(stream).is_complete)
        self.assertEqual(self.stopped, [b"/"])
