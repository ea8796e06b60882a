"""Responses that are streamed from iterators, generators and async generators.

What belongs here: streams in memory that come to their end or fail, on a connection that can
be slow. What does not: streams that are stopped, real sockets, HTTP/2.
"""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Ended

from .._pages import PAGE, Handler, NoHead
from ._streams import CHUNKS, KINDS, BareIterator, StreamTestCase


class CompletingTests(StreamTestCase):
    """A stream that comes to its end."""

    def assert_as_plain(
        self,
        chunks: list[bytes],
        headers: dict[bytes, bytes] | None = None,
        method: bytes = b"GET",
        version: bytes = b"HTTP/1.1",
    ) -> None:
        """Streamed chunks give the same response as a handler that writes them."""

        def plain(request: Any) -> int:
            self.with_headers(headers or {}, chunks, request)
            for chunk in chunks:
                request.write(chunk)
            request.finish()
            return NOT_DONE_YET

        expected = self.serve_plain(plain)
        expected.request(method, version=version)
        self.turn()
        for kind in KINDS:
            connection = self.serve(partial(self.with_headers, headers or {}, kind(chunks)))
            connection.request(method, version=version)
            self.turn(10)
            self.assertEqual(
                connection.received.partition(b"\r\n\r\n")[2],
                expected.received.partition(b"\r\n\r\n")[2],
            )
            self.assertEqual(connection.response, expected.response)
            self.assertTrue(connection.response.is_complete)
            self.assertEqual(connection.is_closed, expected.is_closed)
        self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED] * len(KINDS))

    def with_headers(self, headers: dict[bytes, bytes], chunks: object, request: Any) -> object:
        """Set headers, and return the chunks."""
        for name, value in headers.items():
            request.setHeader(name, value)
        return chunks

    def test_chunks(self) -> None:
        """Streamed chunks arrive as if the handler had written them."""
        self.assert_as_plain(CHUNKS)

    def test_content_length(self) -> None:
        """Streamed chunks with a Content-Length arrive as if the handler had written them."""
        self.assert_as_plain(CHUNKS, {b"Content-Length": b"13"})

    def test_http_1_0(self) -> None:
        """Over HTTP/1.0, the end of the connection is the end of a stream."""
        self.assert_as_plain(CHUNKS, version=b"HTTP/1.0")

    def test_empty(self) -> None:
        """A stream without a chunk is a response without a body."""
        self.assert_as_plain([])

    def test_empty_chunk(self) -> None:
        """An empty chunk is left out of a stream, and does not end it."""
        self.assert_as_plain([b"", b"one", b"", b"two"])

    def test_head(self) -> None:
        """The HEAD of a stream has the headers of the stream, and no body."""
        self.assert_as_plain(CHUNKS, method=b"HEAD")

    def test_kept_alive(self) -> None:
        """The connection serves the next request after a stream."""
        connection = self.serve(lambda _: iter(CHUNKS))
        connection.get()
        connection.get()
        self.turn(20)
        first, second = connection.responses
        self.assertEqual(first, second)

    def test_as_handler(self) -> None:
        """A handler may itself be a generator or an async generator."""

        def generator(_: Request) -> Iterator[bytes]:
            yield from CHUNKS

        async def async_generator(_: Request) -> AsyncIterator[bytes]:
            for chunk in CHUNKS:
                yield chunk

        for handler in [generator, async_generator]:
            connection = self.visit(handler)
            self.turn(10)
            self.assertEqual(connection.response.body, b"".join(CHUNKS))

    def test_turns(self) -> None:
        """The reactor has a turn between two chunks of a plain generator."""
        connection = self.visit(self.generator)
        self.assertEqual(len(self.produced), 1)
        self.turn()
        self.assertEqual(len(self.produced), 2)
        connection.disconnect()


class BackPressureTests(StreamTestCase):
    """A stream is as fast as its client."""

    def assert_waits(self, handler: Handler) -> None:
        """No chunk is produced while the client does not read."""
        connection = self.visit(handler)
        self.step(3)
        connection.pause(full=True)
        connection.pause(full=True)
        before = len(self.produced)
        self.step(5)
        self.assertLessEqual(len(self.produced) - before, 1)
        connection.resume()
        connection.resume()
        self.step(5)
        self.assertGreaterEqual(len(self.produced) - before, 4)
        connection.disconnect()
        self.assertEqual(self.produced[-1], "closed")
        self.assertEqual(self.produced.count("closed"), 1)

    def test_generator(self) -> None:
        """A generator waits for a slow client."""
        self.assert_waits(self.generator)

    def test_async_generator(self) -> None:
        """An async generator waits for a slow client."""
        self.assert_waits(self.async_generator)

    def test_paused_and_lost(self) -> None:
        """A generator is closed when a client leaves that has stopped reading."""
        for handler in [self.generator, self.async_generator]:
            connection = self.visit(handler)
            self.step(2)
            connection.pause(full=True)
            self.step(2)
            connection.disconnect()
            self.assertEqual(self.produced[-1], "closed")
        self.assertEqual([each.ended for each in self.outcomes], [Ended.STOPPED] * 2)

    def test_no_producer_is_left(self) -> None:
        """A stream that has ended does not hold up the next response."""
        connection = self.serve(lambda request: iter(CHUNKS) if request.path == b"/s" else PAGE)
        connection.get(b"/s")
        self.turn(5)
        connection.pause(full=True)
        connection.resume()
        connection.get()
        self.turn()
        self.assertEqual(connection.responses[-1].body, PAGE)


class FailingTests(StreamTestCase):
    """A stream that fails."""

    def stream(self, *chunks: Any) -> list[Handler]:
        """Handlers that stream the chunks; an exception among them is raised."""

        def generator(_: Request) -> Iterator[Any]:
            for chunk in chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk

        async def async_generator(_: Request) -> AsyncIterator[Any]:
            for chunk in generator(_):
                yield chunk

        return [generator, async_generator]

    def test_first(self) -> None:
        """A stream that fails before its first chunk is a 500."""
        for handler in self.stream(KeyError()):
            self.assert_failed(self.visit(handler), KeyError)

    def test_later(self) -> None:
        """A stream that fails after its first chunk aborts the connection, and is logged once."""
        for handler in self.stream(b"chunk", KeyError()):
            connection = self.visit(handler)
            self.turn(2)
            self.assertTrue(connection.is_aborted)
            self.assertFalse(connection.response.is_complete)
            self.logged_error(KeyError)
        self.assertEqual([each.ended for each in self.outcomes], [Ended.FAILED] * 2)

    def test_beside_another_producer(self) -> None:
        """A stream is closed if it cannot be registered beside another producer."""
        closed: list[object] = []

        def chunks() -> Any:
            try:
                yield b"chunk"
            finally:
                closed.append(None)

        def handler(request: Any) -> object:
            stream = chunks()
            next(stream)
            request.producer = object()
            self.addCleanup(setattr, request, "producer", None)
            return stream

        self.visit(handler)
        self.assertEqual(len(closed), 1)
        self.flushLoggedErrors()

    def test_first_not_bytes(self) -> None:
        """A stream whose first chunk is not bytes is a 500, and the log shows the chunk."""
        for handler in self.stream("chunk"):
            error = self.assert_failed(self.visit(handler), TypeError)
            self.assertIn("yielded 'chunk', of type str. A stream must yield bytes", str(error))

    def test_later_not_bytes(self) -> None:
        """A stream whose later chunk is not bytes aborts the connection, and is logged."""
        for handler in self.stream(b"chunk", None):
            connection = self.visit(handler)
            self.turn()
            self.assertTrue(connection.is_aborted)
            self.assertIn(
                "yielded None. A stream must yield bytes", str(self.logged_error(TypeError))
            )

    def test_closed(self) -> None:
        """A generator that yields anything but bytes is closed."""

        def handler(_: Request) -> Iterator[Any]:
            try:
                yield "chunk"
            finally:
                self.produced.append("closed")

        self.assert_failed(self.visit(handler), TypeError)
        self.assertEqual(self.produced, ["closed"])


class HeadTests(StreamTestCase):
    """A HEAD of a stream wants no body."""

    def test_closed(self) -> None:
        """A HEAD closes the generator after its first chunk, and completes."""
        connection = self.serve(self.generator)
        connection.request(b"HEAD")
        self.assertEqual(self.produced, [b"chunk", "closed"])
        self.assertTrue(connection.response.is_complete)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)

    def test_faked(self) -> None:
        """A HEAD that Twisted fakes asks a stream for no chunk."""
        for handler in [self.generator, self.async_generator]:
            connection = self.serve(handler, NoHead)
            connection.request(b"HEAD")
            self.turn()
            self.assertEqual(self.produced, [])
            self.assertEqual(connection.response.code, 200)
            self.assertTrue(connection.response.is_complete)

    def test_faked_is_closed(self) -> None:
        """A HEAD that Twisted fakes closes an iterator that has a `close`."""
        closed: list[object] = []

        class Closing(BareIterator):
            def close(self) -> None:
                closed.append(self)

        connection = self.serve(lambda _: Closing(CHUNKS), NoHead)
        connection.request(b"HEAD")
        self.turn()
        self.assertEqual(len(closed), 1)
