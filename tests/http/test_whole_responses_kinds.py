"""What counts as a whole response, with which a client may leave; over HTTP/2, too.

What belongs here: what was written, and what of it was sent, in memory.
"""

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import deferLater
from twisted.web.http import NO_CONTENT, NOT_MODIFIED
from twisted.web.resource import EncodingResourceWrapper
from twisted.web.server import NOT_DONE_YET, GzipEncoderFactory, Request

from cancelweb import (
    CancellingResource,
    Disconnected,
    Ended,
)
from cancelweb._twisted.access import unsent_bytes
from cancelweb.testing import Client, Exchange

from .._pages import Handler, Page
from ..testing._kit import Source
from ._streams import TURN
from ._whole import BODY, WholeTestCase


class WholeMeansWholeTests(WholeTestCase):
    """What counts as the whole response, and what does not."""

    def sent(self, body: bytes, *lengths: bytes, code: int = 200) -> Handler:
        """A handler that writes this body, with these lengths, and waits."""

        async def handler(request: Request) -> None:
            request.setResponseCode(code)
            request.responseHeaders.setRawHeaders(b"content-length", lengths)
            if not lengths:
                request.responseHeaders.removeHeader(b"content-length")
            request.write(body)
            await deferLater(self.clock, 0.5)

        return handler

    def test_without_a_body(self) -> None:
        """A response without a body is whole once its head is out, whatever its length says."""
        for handler, method in [
            (self.sent(b"", b"5"), b"HEAD"),
            (self.sent(b"", code=NO_CONTENT), b"GET"),
            (self.sent(b"", b"5", code=NOT_MODIFIED), b"GET"),
            (self.sent(b"", b"0"), b"GET"),
        ]:
            self.outcomes.clear()
            self.assert_finished(self.leave(handler, method))

    def test_a_handler_that_writes_no_body_for_ever(self) -> None:
        """Work that goes on writing to a response without a body is stopped as leftover work."""

        async def handler(request: Request) -> None:
            if request.method != b"HEAD":
                request.setResponseCode(NO_CONTENT)
            while True:
                request.write(b"tick")
                await deferLater(self.clock, 0.25)

        for method in (b"HEAD", b"GET"):
            self.outcomes.clear()
            outcome = self.leave(handler, method)
            self.assert_finished(outcome)
            self.assertEqual(outcome.leftovers, 1)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_connection_that_cannot_tell(self) -> None:
        """A transport that does not know what it has sent counts as holding bytes."""
        self.assertEqual(unsent_bytes(SimpleNamespace(dataBuffer=None)), 1)

    def test_not_all(self) -> None:
        """A response is not whole if a byte is missing, or its length is not known."""
        for body, lengths in [
            (b"hell", (b"5",)),
            (BODY, ()),
            (BODY, (b"5", b"5")),
            (BODY, (b"five",)),
        ]:
            self.outcomes.clear()
            self.assert_left(self.leave(self.sent(body, *lengths)))

    def test_compressed(self) -> None:
        """A compressed response is not whole before its `finish`, since it has no length."""
        root = EncodingResourceWrapper(
            CancellingResource(Page(self.waiting), observers=self.outcomes.append),
            [GzipEncoderFactory()],
        )
        client = Client(root, self.clock)
        client.get(headers={b"Accept-Encoding": b"gzip"}).disconnect()
        self.assertIsInstance(self.outcome().cause, Disconnected)

    def test_only_a_head(self) -> None:
        """A response is not whole if nothing of it was written, though its length is 0."""

        async def handler(request: Request) -> bytes:
            request.setHeader(b"content-length", b"0")
            return await deferLater(self.clock, 1, lambda: b"")

        self.assert_left(self.leave(handler))

    def test_unsent(self) -> None:
        """A response is not whole while the transport holds a part of it."""
        connection = self.client(self.later).connect()
        connection.pause()
        connection.get().disconnect()
        self.assert_left(self.outcome())

    def test_broken_off(self) -> None:
        """A handler that fails after its last byte has failed, though the client has all bytes."""

        async def handler(request: Request) -> None:
            request.setHeader(b"content-length", b"5")
            request.write(BODY)
            await deferLater(self.clock, 0.5)
            raise ValueError("behind")

        exchange = self.client(handler).get()
        exchange.advance(1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertIs(self.outcome().ended, Ended.FAILED)
        self.assertTrue(exchange.is_over)


class WholeOverHTTP2Tests(WholeTestCase):
    """Whole responses over HTTP/2, where each stream has a queue of its own."""

    def stream(self, handler: Handler) -> Exchange:
        """Ask for the page over HTTP/2."""
        stream = self.client(handler).connect_http2().get()
        self.clock.pump([TURN] * 9)
        return stream

    def test_whole(self) -> None:
        """A stream that is reset or lost after its last byte has completed."""
        for leave in ("reset", "disconnect"):
            self.outcomes.clear()
            stream = self.stream(self.waiting)
            getattr(stream, leave)()
            self.assert_finished(self.outcome())

    def test_failed_and_whole(self) -> None:
        """A stream whose handler fails after its last byte is reset."""

        async def handler(request: Request) -> None:
            request.setHeader(b"content-length", b"5")
            request.write(BODY)
            raise ValueError("behind")

        stream: Any = self.stream(handler)
        self.clock.pump([TURN] * 9)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertTrue(stream.is_over and stream.was_reset)

    def test_queued(self) -> None:
        """A stream is not whole while bytes wait for its client to have room."""

        async def handler(request: Request) -> None:
            request.setHeader(b"content-length", b"100000")
            request.write(bytes(100_000))
            await deferLater(self.clock, 0.5)

        connection: Any = self.client(handler).connect_http2()
        connection._h2.acknowledge_received_data = lambda *_: []
        stream = connection.get()
        self.clock.pump([TURN] * 9)
        stream.reset()
        self.assert_left(self.outcome())

    def test_held_by_the_connection(self) -> None:
        """A stream is not whole while the transport of its connection holds bytes."""
        connection: Any = self.client(self.waiting).connect_http2()
        connection._transport.read(False)
        stream = connection.get()
        self.clock.pump([TURN] * 9)
        stream.disconnect()
        self.assert_left(self.outcome())

    def test_producers(self) -> None:
        """A producer is stopped when its stream is reset after the last byte."""

        def handler(request: Any) -> int:
            request.setHeader(b"content-length", b"5")
            request.registerProducer(Source(self.told.append), True)
            request.write(BODY)
            return NOT_DONE_YET

        stream: Any = self.stream(handler)
        stream.reset()
        self.assert_finished(self.outcome())
        self.assertIn("stop", self.told)
