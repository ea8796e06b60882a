"""What the work of a handler may result in: bytes, None, or further work.

What belongs here: results, at once and later. What does not: errors, and how each kind of work
is stopped.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

from twisted.internet.defer import (
    Deferred,
    succeed,
)
from twisted.internet.testing import StringTransport
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.template import Element, Tag, TagLoader, renderer, tags

from cancelweb import Ended

from .._pages import PAGE, Handler, NoHead
from .._visits import VisitTestCase


def at_once(result: object) -> Deferred[Any]:
    """A Deferred with the result."""
    return succeed(result)


class ResultTests(VisitTestCase):
    """A Deferred and a coroutine may result in whatever a handler may return."""

    def assert_page(self, make: Callable[[Any], object], body: bytes = PAGE) -> None:
        """The page comes from a function, a coroutine and Deferreds, at once and later."""
        waits: list[Deferred[None]] = []

        def wait() -> Deferred[None]:
            waits.append(Deferred())
            return waits[-1]

        async def coroutine(request: Request) -> object:
            return make(request)

        async def late_coroutine(request: Request) -> object:
            await wait()
            return make(request)

        handlers: list[Handler] = [
            lambda request: at_once(make(request)),
            lambda request: wait().addCallback(lambda _: make(request)),
            coroutine,
            late_coroutine,
            lambda request: at_once(at_once(make(request))),
        ]
        for handler in handlers:
            connection = self.visit(handler)
            while waits:
                waits.pop().callback(None)
            self.clock.pump([1, 0, 0, 0])
            self.assertEqual(connection.response.code, 200)
            self.assertEqual(connection.response.body, body)
            self.assertTrue(connection.response.is_complete)
        self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED] * 5)

    def write(self, request: Any) -> None:
        """Write and finish the page."""
        request.write(PAGE)
        request.finish()

    def test_bytes(self) -> None:
        """Bytes that work results in are the page."""
        self.assert_page(lambda _: PAGE)

    def test_bytes_of_a_subclass(self) -> None:
        """Bytes of a subclass that work results in are the page, as in Twisted."""
        page = type("Page", (bytes,), {})(PAGE)
        self.assert_page(lambda _: page)
        for handler in (lambda _: page, lambda _: at_once(page)):
            self.assertEqual(self.visit(handler).response.body, PAGE)

    def test_no_bytes(self) -> None:
        """Empty bytes that work results in are a page with a length of 0."""
        self.assert_page(lambda _: b"", b"")
        plain = self.serve_plain(lambda _: b"")
        plain.get()
        self.assertEqual(self.visit(lambda _: at_once(b"")).response, plain.response)
        late: Deferred[bytes] = Deferred()
        connection = self.visit(lambda _: late)
        late.callback(b"")
        self.assertEqual(connection.response, plain.response)

    def test_none(self) -> None:
        """Work that results in None finishes the response, which the handler has written."""

        def make(request: Any) -> None:
            request.write(PAGE)

        self.assert_page(make)

    def test_none_finished(self) -> None:
        """Work that results in None may have finished the response, without a warning."""
        self.assert_page(self.write)
        self.assertEqual(self.flushWarnings(), [])

    def test_not_done_yet(self) -> None:
        """Work that results in NOT_DONE_YET leaves the finish of the response to the handler."""

        def make(request: Any) -> int:
            self.clock.callLater(1, self.write, request)
            return NOT_DONE_YET

        self.assert_page(make)

    def test_delayed_call(self) -> None:
        """A delayed call that work results in writes the page."""
        self.assert_page(lambda request: self.clock.callLater(1, self.write, request))

    def test_deferred(self) -> None:
        """A Deferred that work results in is waited for."""
        self.assert_page(lambda _: at_once(PAGE))

    def test_coroutine(self) -> None:
        """A coroutine that work results in is run."""

        async def make() -> bytes:
            return PAGE

        self.assert_page(lambda _: make())

    def test_iterator(self) -> None:
        """An iterator that work results in is streamed."""
        self.assert_page(lambda _: iter([PAGE[:3], PAGE[3:]]))

    def test_async_generator(self) -> None:
        """An async generator that work results in is streamed."""

        async def make() -> AsyncIterator[bytes]:
            yield PAGE

        self.assert_page(lambda _: make())

    def test_element(self) -> None:
        """An element that work results in is rendered as a document."""
        element = Element(TagLoader(tags.p("A report.")))
        self.assert_page(lambda _: element, b"<!DOCTYPE html>\n" + PAGE)

    def test_renderer(self) -> None:
        """The renderers of an element that work results in are given the request."""

        class Report(Element):
            @renderer
            def path(self, request: Any, tag: Tag) -> Tag:
                return tag(request.path)

        element = Report(TagLoader(tags.p(render="path")))
        self.assert_page(lambda _: element, b"<!DOCTYPE html>\n<p>/</p>")

    def test_tag(self) -> None:
        """A tag that work results in is rendered as a document."""
        self.assert_page(lambda _: tags.p("A report."), b"<!DOCTYPE html>\n" + PAGE)

    def test_nested_work_stops(self) -> None:
        """A Deferred that a coroutine results in is stopped when the client leaves."""
        stopped: list[object] = []
        work: Deferred[bytes] = Deferred(stopped.append)

        async def handler(_: Request) -> Deferred[bytes]:
            return work

        self.visit(handler).disconnect()
        self.assertEqual(stopped, [work])
        self.assertEqual(self.outcome.ended, Ended.STOPPED)

    def test_nested_delayed_call_stops(self) -> None:
        """A delayed call that a Deferred results in is cancelled when the client leaves."""
        call = self.clock.callLater(1, self.fail)
        self.visit(lambda _: at_once(call)).disconnect()
        self.assertFalse(call.active())


class NoneTests(VisitTestCase):
    """Results of None that do not finish the response."""

    def test_producer_goes_on(self) -> None:
        """A result of None does not finish the response while a producer is registered."""
        requests: list[Any] = []

        async def handler(request: Any) -> None:
            requests.append(request)
            request.registerProducer(StringTransport(), True)

        connection = self.visit(handler)
        request = requests.pop()
        self.assertFalse(request.finished)
        request.write(PAGE)
        request.unregisterProducer()
        request.finish()
        self.assertEqual(connection.response.body, PAGE)

    def test_faked_head(self) -> None:
        """A HEAD that Twisted fakes is finished only once if the result is None."""

        async def handler(_: Request) -> None:
            pass

        connection = self.serve(handler, NoHead)
        connection.request(b"HEAD")
        connection.request(b"HEAD")
        self.assertEqual([each.code for each in connection.responses], [200, 200])
        self.assertEqual(self.flushWarnings(), [])

    def test_plain_function(self) -> None:
        """A plain function that returns None is a 500, and the log names the function."""

        def forgetful(_: Request) -> None:
            pass

        error = self.assert_failed(self.visit(forgetful), TypeError)
        self.assertIn("forgetful returned None. Did you", str(error))

    def test_finished_by_plain_function(self) -> None:
        """A plain function that finishes the response and returns None is named in the log."""

        def forgetful(request: Any) -> None:
            request.finish()

        connection = self.visit(forgetful)
        self.assertEqual(connection.response.code, 200)
        self.assertIn("forgetful wrote the response itself", str(self.logged_error(TypeError)))
