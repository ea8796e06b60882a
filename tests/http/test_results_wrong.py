"""What handlers get wrong: results that are not a response, and exceptions.

What belongs here: errors of a handler, at once and later, in memory. What does not: errors of
streams, and what fails after the client has left.
"""

from typing import Any, cast

from twisted.internet.defer import (
    Deferred,
)
from twisted.logger import LogLevel, formatEvent
from twisted.web.error import FlattenerError, UnsupportedMethod
from twisted.web.server import Request
from twisted.web.template import tags

from cancelweb import Ended

from .._logs import log_events, of_cancelweb
from .._pages import PAGE, Handler, NoHead
from .._visits import VisitTestCase


class MistakeTests(VisitTestCase):
    """What is neither a page nor work is a 500, and the log names the handler and the type."""

    def assert_mistake(self, result: object, described: str) -> None:
        """The result is a mistake, from a plain function and from a coroutine."""

        def mistaken(_: Request) -> object:
            return result

        async def mistaken_too(_: Request) -> object:
            return result

        for handler in [mistaken, mistaken_too]:
            error = self.assert_failed(self.visit(handler), TypeError)
            self.assertIn(f"{handler.__qualname__} returned {described}", str(error))
            self.assertIn(". Return bytes", str(error))
        self.assertEqual([each.ended for each in self.outcomes], [Ended.FAILED] * 2)

    def test_str(self) -> None:
        """A str is not a response, so the handler that returns it is named in the log."""
        self.assert_mistake("page", "'page', of type str")

    def test_int(self) -> None:
        """A number other than NOT_DONE_YET is not a response, so the log names its handler."""
        self.assert_mistake(0, "0, of type int")

    def test_iterable(self) -> None:
        """A list is not a response, since only iterators are streamed."""
        self.assert_mistake([PAGE], "[b'<p>A report.</p>'], of type list")

    def test_instance(self) -> None:
        """An object of a class that is not registered is not a response."""

        class Report:
            def __repr__(self) -> str:
                return "<report>"

        self.assert_mistake(Report(), f"<report>, of type {__name__}.{Report.__qualname__}")

    def test_broken_repr(self) -> None:
        """A result whose repr raises is logged like any other mistake."""

        class Unspeakable:
            def __repr__(self) -> str:
                raise ZeroDivisionError

        self.assert_mistake(Unspeakable(), "<")

    def test_faked_head(self) -> None:
        """Under a HEAD that Twisted fakes, a mistake is answered as an exception is."""

        def raising(_: Request) -> object:
            raise TypeError

        plain = self.serve_plain(raising, NoHead)
        ours = self.serve(lambda _: "page", NoHead)
        for connection in [plain, ours]:
            connection.request(b"HEAD")
        self.assertEqual(ours.received[:20], plain.received[:20])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 2)


class ExceptionTests(VisitTestCase):
    """Exceptions of a handler are answered as in plain Twisted."""

    def assert_as_plain(self, handler: Handler, method: bytes = b"GET") -> None:
        """The client gets the same responses as from the plain handler."""
        plain, ours = self.serve_plain(handler), self.serve(handler)
        for connection in [plain, ours]:
            connection.request(method)
        self.assertEqual(ours.responses, plain.responses)

    def test_error(self) -> None:
        """An exception in a handler is a 500, is logged once, and is the failure of the outcome."""

        def handler(_: Request) -> object:
            raise ZeroDivisionError

        self.assert_as_plain(handler)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(self.outcome.ended, Ended.FAILED)
        self.assertIs(cast(Any, self.outcome.failure).type, ZeroDivisionError)

    def test_traceback(self) -> None:
        """The log shows the line of the handler that raised."""

        def handler(_: Request) -> object:
            return 1 / 0

        self.visit(handler)
        (failure,) = self.flushLoggedErrors(ZeroDivisionError)
        self.assertIn("return 1 / 0", failure.getTraceback())

    def test_template(self) -> None:
        """An error in a template is a 500, and the Deferred in the template keeps its failure."""
        part: Deferred[str] = Deferred()
        connection = self.visit(lambda _: tags.p(part))
        part.errback(KeyError())
        self.assert_failed(connection, FlattenerError)
        self.failureResultOf(part, KeyError)

    def test_unsupported_method(self) -> None:
        """UnsupportedMethod is answered as in plain Twisted, and is not an error."""

        def handler(_: Request) -> object:
            raise UnsupportedMethod((b"PUT",))

        self.assert_as_plain(handler)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)

    def test_default_log(self) -> None:
        """By default the log has the error of a handler, and one line that names the request."""
        events = log_events(self)
        work: Deferred[bytes] = Deferred()
        self.visit(lambda _: work, observers=None)
        work.errback(ZeroDivisionError("by design"))
        (event,) = of_cancelweb(events)
        self.assertIs(event["log_level"], LogLevel.info)
        self.assertIn("GET /: failed after 0.000 s: ZeroDivisionError: by", formatEvent(event))
        self.logged_error(ZeroDivisionError)

    def test_late_error_equals_early(self) -> None:
        """A Deferred that fails later is answered as an exception in the handler is."""

        def raising(_: Request) -> object:
            raise ZeroDivisionError

        work: Deferred[bytes] = Deferred()
        connection = self.visit(lambda _: work)
        work.errback(ZeroDivisionError())
        plain = self.serve_plain(raising)
        plain.get()
        self.assertEqual(connection.response, plain.response)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_error_after_writing(self) -> None:
        """An exception in a handler that has written aborts the connection."""

        def handler(request: Any) -> object:
            request.write(PAGE)
            raise ZeroDivisionError

        connection = self.visit(handler)
        self.assertTrue(connection.is_aborted)
        self.assertEqual(connection.response.body, PAGE)
        self.logged_error(ZeroDivisionError)

    def test_late_error_after_writing(self) -> None:
        """Work that fails after the first write aborts the connection, without an error page."""
        work: Deferred[bytes] = Deferred()

        def handler(request: Any) -> object:
            request.write(PAGE)
            return work

        events = log_events(self)
        connection = self.visit(handler)
        work.errback(ZeroDivisionError())
        (event,) = of_cancelweb(events)
        name = f"{__name__}.{handler.__qualname__}"
        self.assertEqual(formatEvent(event), f"the work of {name} failed")
        self.assertTrue(connection.is_aborted)
        self.assertFalse(connection.response.is_complete)
        self.assertEqual(connection.response.body, PAGE)
        self.logged_error(ZeroDivisionError)
