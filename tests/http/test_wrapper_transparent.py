"""The wrapper is transparent: what a wrapped resource raises or returns is Twisted's to answer.

What belongs here: the same bytes with and without a wrapper, where a resource errs at once.
What does not: resources that do as they should, which `test_others_same_bytes` has.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from twisted.internet.defer import fail
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.error import UnsupportedMethod
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource, Ended, Outcome, cancel_on_disconnect

from .._pages import GetPage, NoHead
from .._visits import connect, response_of
from ._multiplexed import HTTP2TestCase

Handler = Callable[[Any], Any]


def at_once(request: Request) -> bytes:
    """Raise before anything was written."""
    raise ValueError("by design")


def after_a_write(request: Request) -> bytes:
    """Raise after a write."""
    request.write(b"first half")
    raise ValueError("by design")


def after_a_promise(request: Request) -> bytes:
    """Raise after a write, behind the head of a longer page."""
    request.setHeader("Content-Length", "500")
    request.setHeader("Content-Type", "text/plain")
    return after_a_write(request)


def with_a_producer(request: Request) -> bytes:
    """Raise after a write, with a producer on the request."""
    request.registerProducer(StringTransport(), True)
    return after_a_write(request)


def no_such_method(request: Request) -> bytes:
    """Raise, after a write, what Twisted has an answer of its own for."""
    request.write(b"first half")
    raise UnsupportedMethod((b"PUT",))


RAISING: list[Handler] = [at_once, after_a_write, after_a_promise, with_a_producer, no_such_method]


def returning() -> Iterator[Handler]:
    """Handlers that return what is not a response, before and after a write."""
    values: list[object] = [None, "page", 404, [b"page"], bytearray(b"page")]
    for value in values:
        yield partial(_return, value)
        yield partial(_write_and_return, value)


def _return(value: object, request: Request) -> object:
    return value


def _write_and_return(value: object, request: Request) -> object:
    request.write(b"first half")
    return value


def masked(page: bytes) -> bytes:
    """A page of Twisted's, without its length and the representations of objects in it."""
    page = re.sub(rb"Content-Length: \d+|\r\n[0-9a-f]+\r\n", b"", page)
    return re.sub(rb"Resource:.*?(?=Value)| at 0x[0-9a-f]+", b"", page, flags=re.DOTALL)


def wrapped(page: Any, **options: Any) -> Any:
    """The page in a wrapper."""
    return CancellingResource(page, **options)


class WrapperIsTransparentTests(SynchronousTestCase):
    """What a wrapped resource raises, or returns without waiting, is Twisted's to answer."""

    def setUp(self) -> None:
        """Note how the requests end."""
        self.outcomes: list[Outcome] = []

    def answer(
        self, root: Any, method: bytes = b"GET", version: bytes = b"HTTP/1.1"
    ) -> tuple[bytes, bool]:
        """All that the client gets, and whether the connection is closed."""
        connection = connect(root)
        connection.request(method, version=version)
        connection.client.clock.advance(0)
        head, separator, body = connection.received.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Date:")]
        return masked(b"\r\n".join(lines) + separator + body), connection.is_closed

    def assert_same(self, handler: Handler, page: Any = GetPage) -> None:
        """Whatever the method, and however many wrappers there are."""
        for request in [(b"GET",), (b"HEAD",), (b"GET", b"HTTP/1.0")]:
            plain = self.answer(page(handler), *request)
            once = self.answer(wrapped(page(handler), observers=self.outcomes.append), *request)
            twice = self.answer(wrapped(wrapped(page(handler)), timeout=1), *request)
            self.assertEqual((once, twice), (plain, plain))

    def test_raises(self) -> None:
        """When a wrapped resource raises, the client gets what it would without the wrapper."""
        for handler in RAISING:
            for page in (GetPage, NoHead):
                self.assert_same(handler, page)
        self.assertIn(b"first half", self.answer(wrapped(GetPage(after_a_write)))[0])
        self.assertEqual({each.cause for each in self.outcomes}, {None})
        self.flushLoggedErrors()

    def test_is_told_as_failed(self) -> None:
        """A wrapped resource that raises has a failed outcome, and its traceback is logged once."""
        self.answer(wrapped(GetPage(after_a_write), observers=self.outcomes.append))
        [outcome] = self.outcomes
        self.assertEqual((outcome.ended, outcome.cause), (Ended.FAILED, None))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_returns_what_is_no_response(self) -> None:
        """A result that is neither page nor work is left to Twisted, which answers as ever."""
        for handler in returning():
            for page in (GetPage, NoHead):
                self.assert_same(handler, page)
        self.assertEqual({each.ended for each in self.outcomes}, {Ended.COMPLETED})
        self.flushLoggedErrors()

    def test_returns_what_is_no_response_behind_a_head(self) -> None:
        """A resource that has finished a HEAD may return anything, as without the wrapper."""
        for value in (None, "page"):

            def handler(request: Request, value: object = value) -> object:
                request.write(b"")
                request.finish()
                return value

            plain, once = (self.answer(each, b"HEAD") for each in self.pages(handler))
            self.assertEqual(once, plain)
            self.flushWarnings()
            self.assertEqual(self.flushLoggedErrors(), [])
            self.assertEqual(self.outcomes.pop().ended, Ended.COMPLETED)
            self.answer(self.pages(handler)[1], b"GET")
            self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
            self.outcomes.clear()

    def pages(self, handler: Handler) -> tuple[Any, Any]:
        """The page without the wrapper, and in it."""
        return GetPage(handler), wrapped(GetPage(handler), observers=self.outcomes.append)

    def test_inside_a_decorated_handler(self) -> None:
        """A handler that has a wrapped resource rendered deals with what that raises itself."""
        inner = wrapped(GetPage(after_a_write))

        def handler(request: Request) -> bytes:
            try:
                result: bytes = inner.render(request)
            except ValueError:
                return b" and the rest"
            return result

        received, _ = self.answer(GetPage(cancel_on_disconnect(handler)))
        self.assertTrue(received.endswith(b"first half and the rest\r\n"), received)

    def test_what_is_waited_for_is_not(self) -> None:
        """Work that fails is cancelweb's to answer, even at once: half a page is broken off."""

        def handler(request: Request) -> object:
            request.write(b"first half")
            return fail(ValueError("by design"))

        self.assertEqual(self.answer(wrapped(GetPage(handler))), self.answer(decorated(handler)))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_a_decorated_handler_is_not(self) -> None:
        """What a decorated handler raises after a write breaks the response off."""
        connection = connect(wrapped(decorated(after_a_write)))
        connection.get()
        self.assertTrue(connection.is_aborted)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_what_a_decorated_handler_returns_is_not(self) -> None:
        """A decorated handler that returns no response fails as such, whatever wraps it."""
        for value in (None, "page", 404):
            handler = partial(_return, value)
            alone = self.answer(decorated(handler))
            for around in (wrapped, lambda page: wrapped(wrapped(page)), lambda page: page):
                page = around(decorated(handler))
                root = wrapped(page, observers=self.outcomes.append)
                self.assertEqual(self.answer(root), alone)
                [outcome] = self.outcomes
                self.assertEqual((outcome.ended, outcome.status), (Ended.FAILED, 500))
                self.outcomes.clear()
        errors = [str(each.value) for each in self.flushLoggedErrors(TypeError)]
        self.assertEqual(len(errors), 3 * 4)
        self.assertRegex(errors[0], r":\d+ in _return returned None\.")


def decorated(handler: Handler) -> GetPage:
    """A page that a decorated handler makes."""
    return GetPage(cancel_on_disconnect(handler))


class OverHTTP2Tests(HTTP2TestCase):
    """The wrapper over HTTP/2."""

    def answer(self, page: Any) -> tuple[object, ...]:
        """All that the client gets over HTTP/2."""
        self.open(page)
        stream = self.get()
        response = response_of(stream)
        response.headers.removeHeader(b"content-length")
        response.body = masked(response.body)
        return response, stream.error_code

    def test_same(self) -> None:
        """A client gets the same over HTTP/2 with and without the wrapper."""
        # A client of HTTP/2 insists on the length that it is told.
        raising = [each for each in RAISING if each is not after_a_promise]
        for handler in [*raising, *returning()]:
            plain = self.answer(GetPage(handler))
            self.assertEqual(self.answer(wrapped(GetPage(handler))), plain)
        self.flushLoggedErrors()

    def test_on_a_stream_that_waits(self) -> None:
        """A stream that waits is not disturbed by a sibling whose handler fails."""

        def handler(request: Request) -> object:
            return NOT_DONE_YET if request.path == b"/1" else after_a_write(request)

        self.open(wrapped(GetPage(handler)))
        waiting, failed = self.get(b"/1"), self.get(b"/2")
        self.assertIsNone(waiting.response)
        self.assertTrue(response_of(failed).is_complete)
        self.assertTrue(response_of(failed).body.startswith(b"first half"))
        self.connection.disconnect()
        self.flushLoggedErrors()
