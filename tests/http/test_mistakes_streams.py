"""What handlers yield or write by mistake: the complete messages.

What belongs here: chunks that are not bytes, and generators without `@inlineCallbacks`. What does
not: what handlers return.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.web.server import Request

from cancelweb import cancel_on_disconnect

from ._mistakes import MistakeTestCase, place


class StreamTests(MistakeTestCase):
    """Values that are not chunks of a stream: the message names the line of the `yield`."""

    def test_text(self) -> None:
        """The error of a stream of text says how to encode it."""

        async def handler(_: Request) -> AsyncIterator[str]:
            yield "hello"

        self.assert_says(
            handler,
            "{at} yielded 'hello', of type str. A stream must yield bytes, as in "
            "`yield text.encode()`.",
            line=1,
        )

    def test_text_of_an_iterator(self) -> None:
        """The error of an iterator that is not a generator names the handler that returned it."""

        def handler(_: Request) -> Iterator[str]:
            return iter(["hello"])

        self.assert_says(
            handler,
            "the iterator that {at} returned yielded 'hello', of type str. A stream must yield "
            "bytes, as in `yield text.encode()`.",
        )

    def test_something_else(self) -> None:
        """The error of a stream of numbers says that a stream must yield bytes."""

        def handler(_: Request) -> Iterator[int]:
            yield 1

        self.assert_says(handler, "{at} yielded 1, of type int. A stream must yield bytes.", line=1)

    def test_work(self) -> None:
        """The error of an async generator that yields work says how to await it."""
        work: Deferred[bytes] = Deferred()

        async def handler(_: Request) -> AsyncIterator[object]:
            yield work

        self.assert_says(
            handler,
            f"{{at}} yielded {work!r}, of type twisted.internet.defer.Deferred. A stream must "
            "yield bytes, as in `yield await work`.",
            line=1,
        )


ORDER = (
    "of type twisted.internet.defer.Deferred. A generator that yields Deferreds needs "
    "@inlineCallbacks directly above it, and @cancel_on_disconnect above that."
)


class OrderTests(MistakeTestCase):
    """`@inlineCallbacks` is missing, or in the wrong place."""

    def test_inline_callbacks_on_top(self) -> None:
        """The error of `@inlineCallbacks` above `@cancel_on_disconnect` has the right order."""
        work: Deferred[bytes] = Deferred()

        def handler(_: Request) -> Iterator[object]:
            yield work

        decorate: Any = cancel_on_disconnect
        connection = self.serve_plain(inlineCallbacks(decorate(handler)))
        connection.get()
        error = self.assert_failed(connection, TypeError)
        self.assertEqual(str(error), f"{place(handler, 1)} yielded {work!r}, {ORDER}")

    def test_no_inline_callbacks(self) -> None:
        """The error of a generator that yields Deferreds says where `@inlineCallbacks` goes."""
        work: Deferred[bytes] = Deferred()

        def handler(_: Request) -> Iterator[object]:
            yield work

        self.assert_says(handler, f"{{at}} yielded {work!r}, {ORDER}", line=1)


class WritingTests(MistakeTestCase):
    """Text is written to a request."""

    def test_text(self) -> None:
        """The error of `request.write` with a str names the line and says how to encode it."""

        def handler(request: Any) -> None:
            request.write("hello")

        self.visit(handler)
        self.assertEqual(
            str(self.logged_error(TypeError)),
            f"{place(handler, 1)} passed a str to request.write(): 'hello'. Write bytes, as in "
            "`request.write(text.encode())`.",
        )

    def test_something_else(self) -> None:
        """The error of `request.write` with something else is that of Twisted."""

        def handler(request: Any) -> None:
            request.write(b"hello")
            request.write(5)

        self.visit(handler)
        self.assertNotIn("request.write", str(self.logged_error(TypeError)))
