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
from ._multiplexed import HTTP2TestCase
from ._streams import TURN


class CompletingTests(HTTP2TestCase):
    """Responses over HTTP/2."""

    def assert_as_plain(self, page: type[GetPage] = GetPage, method: str = "GET") -> None:
        """Bytes, and a Deferred of bytes, are sent as in plain Twisted."""
        self.open(page(lambda _: PAGE))
        plain = self.get(method=method)
        self.connect(lambda _: PAGE, page)
        known = self.get(method=method)
        self.connect(self.work, page)
        late = self.get(method=method)
        self.works[b"/"].callback(PAGE)
        self.exchange()
        for stream in [known, late]:
            self.assertEqual(self.headers(stream), self.headers(plain))
            self.assertEqual((stream.body, stream.ended), (plain.body, plain.ended))

    def test_get(self) -> None:
        """A GET."""
        self.assert_as_plain()

    def test_head(self) -> None:
        """A HEAD."""
        self.assert_as_plain(method="HEAD")

    def test_stream(self) -> None:
        """An async generator is streamed."""
        self.connect(self.async_generator)
        stream = self.get()
        for _ in range(3):
            self.next_step.callback(None)
            self.exchange()
        self.assertEqual(stream.body, b"chunk" * 3)
        self.client.reset(stream)
        self.exchange()

    def test_error(self) -> None:
        """Work that fails is a 500."""
        self.connect(self.work)
        stream = self.get()
        self.works[b"/"].errback(KeyError())
        self.exchange()
        self.assertEqual(stream.headers[b":status"], b"500")
        self.logged_error(KeyError)

    def test_error_after_writing(self) -> None:
        """Work that fails once something was sent has its stream reset: no page in half a page."""

        def handler(request: Any) -> object:
            request.write(PAGE)
            return self.work(request)

        self.connect(handler)
        stream = self.get()
        self.works[b"/"].errback(KeyError())
        self.exchange()
        self.assertFalse(stream.ended)
        self.assertEqual(stream.reset, ErrorCodes.INTERNAL_ERROR)
        self.logged_error(KeyError)


class LeavingTests(HTTP2TestCase):
    """Clients that want one stream no longer, or none."""

    def test_reset(self) -> None:
        """A stream that is reset is stopped; its sibling completes."""
        self.connect(self.work)
        left, sibling = self.get("/1"), self.get("/2")
        self.client.reset(left)
        self.exchange()
        self.assertEqual(self.stopped, [b"/1"])
        self.works[b"/2"].callback(PAGE)
        self.exchange()
        self.assertEqual((sibling.body, sibling.ended), (PAGE, True))
        self.assertEqual([each.ended for each in self.outcomes], [Ended.STOPPED, Ended.COMPLETED])

    def test_disconnect(self) -> None:
        """All streams of a client that leaves are stopped."""
        self.connect(self.work)
        self.get("/1")
        self.get("/2")
        self.connection.disconnect()
        self.assertEqual(sorted(self.stopped), [b"/1", b"/2"])
        for outcome in self.outcomes:
            self.assertIsInstance(outcome.cause, Disconnected)

    def test_generator_closed(self) -> None:
        """A reset stream's generator is closed."""
        for handler in [self.generator, self.async_generator]:
            self.produced.clear()
            self.connect(handler)
            stream = self.get()
            self.client.reset(stream)
            self.connection.pump()
            self.assertEqual(self.produced[-1], "closed")

    def test_flow_control(self) -> None:
        """A generator is as fast as the stream's window; one that is blocked is closed, too."""
        chunks: list[int] = []

        def handler(_: object) -> Any:
            try:
                while True:
                    chunks.append(2**14)
                    yield bytes(2**14)
            finally:
                chunks.append(0)

        self.connect(handler)
        stream = self.client.get("/")
        self.client.is_deaf = True
        for _ in range(20):
            self.connection.pump()
            self.clock.advance(TURN)
        self.assertLess(len(chunks), 8)
        self.client.reset(stream)
        self.connection.pump()
        self.assertEqual(chunks[-1], 0)

    def test_producer_is_stopped(self) -> None:
        """A producer of the handler's own is stopped, which Twisted does not do by itself."""
        producer = StringTransport()

        def handler(request: Any) -> int:
            request.registerProducer(producer, True)
            return NOT_DONE_YET

        self.connect(handler)
        self.client.reset(self.get())
        self.exchange()
        self.assertEqual(producer.producerState, "stopped")

    def test_producer_that_raises(self) -> None:
        """A producer that cannot be stopped is logged, and harms nobody."""

        class Stubborn(StringTransport):
            def stopProducing(self) -> None:
                raise KeyError

        def handler(request: Any) -> int:
            request.registerProducer(Stubborn(), True)
            return NOT_DONE_YET

        self.connect(handler)
        self.client.reset(self.get())
        self.exchange()
        self.logged_error(KeyError)
        self.assertEqual(len(self.outcomes), 1)

    def test_nothing_is_left(self) -> None:
        """A stream that was reset leaves nothing of ours to the cycle collector."""
        self.connect(self.work)
        with no_cycles(self):
            self.client.reset(self.get())
            self.exchange()
            self.works.clear()
        self.assertEqual(self.stopped, [b"/"])


class DeadlineTests(HTTP2TestCase):
    """The deadline of one stream."""

    def test_503(self) -> None:
        """A stream on which nothing was sent gets 503; its sibling completes."""
        self.connect(self.work, timeout=3)
        slow = self.get("/1")
        self.clock.advance(2)
        sibling = self.get("/2")
        self.clock.advance(1)
        self.exchange()
        self.assertEqual(slow.headers[b":status"], b"503")
        self.works[b"/2"].callback(PAGE)
        self.exchange()
        self.assertEqual(sibling.body, PAGE)
        self.assertEqual([each.cause for each in self.outcomes], [TimedOut(3), None])

    def test_reset(self) -> None:
        """A stream on which something was sent is reset; its sibling completes."""

        def handler(request: Any) -> object:
            if request.path == b"/1":
                request.write(PAGE)
            return self.work(request)

        self.connect(handler, total_timeout=3)
        slow = self.get("/1")
        self.clock.advance(1)
        sibling = self.get("/2")
        self.clock.advance(2)
        self.exchange()
        self.assertFalse(slow.ended)
        self.assertEqual(slow.reset, ErrorCodes.INTERNAL_ERROR)
        self.works[b"/2"].callback(PAGE)
        self.exchange()
        self.assertEqual(sibling.body, PAGE)
        self.assertEqual([each.path for each in self.outcomes], [b"/1", b"/2"])


class FakedHeadTests(HTTP2TestCase):
    """A HEAD that Twisted fakes."""

    def test_stopped(self) -> None:
        """The work is stopped, and the answer is complete."""
        self.connect(self.work, NoHead)
        stream = self.get(method="HEAD")
        self.assertEqual(stream.headers[b":status"], b"200")
        self.assertTrue(stream.ended)
        self.assertEqual(self.stopped, [b"/"])
