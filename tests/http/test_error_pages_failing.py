"""An `error_page` that fails, or ends the request itself.

What belongs here: what is logged, and what the client gets in its place. What does not: an
`error_page` that works, which has `test_error_pages_own`.
"""

import json
from functools import partial
from typing import Any

from twisted.internet.defer import fail, succeed
from twisted.logger import LogEvent, formatEvent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import File

from cancelweb import Cause, Ended, TimedOut, cancel_on_disconnect

from .._logs import log_events, of_cancelweb
from .._pages import Page, waiting
from .._visits import connect, lose
from ._answers import AS_TODAY, AnswerTestCase


class OneAnswerAllTheSameTests(AnswerTestCase):
    """An `error_page` that fails: the error is logged, and the default page is sent."""

    def logged(self, error_page: object, root: Any = None, accept: bytes = b"*/*") -> LogEvent:
        """The log event of a failed `error_page` whose client got the default page."""
        events = log_events(self)
        response = self.ask(root or self.deadline(error_page), accept)
        self.assertEqual((response.code, response.is_complete), (503, True))
        self.assertNotEqual(response.body, b"own")
        [event] = of_cancelweb(events)
        self.assertRegex(str(formatEvent(event)), r"failed, so the default page is sent$")
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        return event

    def test_raises(self) -> None:
        """An `error_page` that raises is logged by its name, and the default page is sent."""
        for error in (ValueError, SystemExit):

            def failing(request: Request, cause: Cause, error: Any = error) -> bytes:
                request.setResponseCode(500)
                raise error

            event = self.logged(failing)
            self.assertIn("failing", str(formatEvent(event)))
            self.logged(failing, self.draining(error_page=failing))

    def test_other_results(self) -> None:
        """The error of an `error_page` that returns no page says what it returned."""
        resource, nothing = Page(lambda _: NOT_DONE_YET), Page(lambda _: None)
        for result, described in [
            (NOT_DONE_YET, "NOT_DONE_YET"),
            (resource, "NOT_DONE_YET"),
            (nothing, "None"),
            ("own", "'own', of type str"),
            (succeed(b"own"), "<Deferred .*, of type twisted.internet.defer.Deferred"),
        ]:
            event = self.logged(lambda request, cause, result=result: result)
            self.assertRegex(
                str(event["log_failure"].value),
                rf"<lambda> returned {described}. An error_page returns bytes, a resource that "
                "renders at once, or None for the default page.$",
            )

    def test_a_resource_without_the_method(self) -> None:
        """The default page is sent if an `error_page` returns a resource that lacks the method."""

        class OnlyGet(Resource):
            def render_GET(self, request: Request) -> bytes:
                return b"own"

        page = OnlyGet()
        decorate: Any = cancel_on_disconnect(timeout=1, error_page=lambda *_: page, observers=())
        response = self.ask(Page(decorate(waiting)), method=b"PUT")
        self.assertEqual((response.code, response.body), (503, AS_TODAY))
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_a_default_in_the_clients_format(self) -> None:
        """The default page in place of a failed `error_page` is in the client's format."""
        response = self.ask(self.deadline(lambda request, cause: 5), b"application/json")
        self.assertEqual(json.loads(response.body)["status"], 503)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_after_a_write(self) -> None:
        """An `error_page` that writes half a page and raises aborts the connection."""

        def half(request: Request, cause: Cause) -> bytes:
            request.write(b"half a page")
            raise ValueError

        events = log_events(self)
        outcomes: list[Any] = []
        decorate: Any = cancel_on_disconnect(timeout=1, error_page=half, observers=outcomes.append)
        connection = connect(Page(decorate(waiting)))
        connection.get()
        connection.client.clock.advance(1)
        connection.client.clock.advance(0)
        self.assertTrue(connection.is_aborted)
        [outcome] = outcomes
        self.assertEqual((outcome.cause, outcome.ended), (TimedOut(1), Ended.FAILED))
        [event] = of_cancelweb(events)
        self.assertEqual(
            formatEvent(event),
            f"{half.__qualname__} failed after a part of its page, so the response is broken off",
        )
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_the_default_after_a_write(self) -> None:
        """An `error_page` that writes half a page and does not finish it aborts the connection."""
        for result in (None, NOT_DONE_YET):

            def half(request: Request, cause: Cause, result: Any = result) -> Any:
                request.write(b"half a page")
                return result

            for root in (self.deadline(half), self.draining(error_page=half)):
                connection = connect(root)
                connection.get()
                connection.client.clock.advance(1)
                self.assertTrue(connection.is_aborted)
                self.assertTrue(connection.received.endswith(b"\r\nhalf a page\r\n"))
                self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_after_a_write_in_a_drain(self) -> None:
        """In a drain, an `error_page` that writes half a page and raises aborts the connection."""

        def half(request: Request, cause: Cause) -> bytes:
            request.write(b"half a page")
            raise ValueError

        events = log_events(self)
        connection = connect(self.draining(error_page=half))
        connection.get()
        self.assertTrue(connection.is_aborted)
        self.assertTrue(connection.received.endswith(b"\r\nhalf a page\r\n"))
        [event] = of_cancelweb(events)
        self.assertEqual(
            formatEvent(event),
            f"{half.__qualname__} failed after a part of its page, so the response is broken off",
        )
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_page_with_a_producer(self) -> None:
        """A `File` as an `error_page` is closed, and the default page is sent in its place."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"own")
        opened: list[Any] = []

        class Noted(File):
            def openForReading(self) -> Any:
                opened.append(super().openForReading())
                return opened[-1]

        for root in (
            self.deadline(lambda *_: Noted(path)),
            self.draining(error_page=lambda *_: Noted(path)),
        ):
            response = self.ask(root)
            self.assertEqual((response.code, response.is_complete), (503, True))
            self.assertNotEqual(response.body, b"own")
            self.assertTrue(opened.pop().closed)
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_after_a_whole_page(self) -> None:
        """An `error_page` that finishes the request and then raises has answered the request."""

        def whole(request: Request, cause: Cause) -> bytes:
            request.write(b"own")
            request.finish()
            raise ValueError

        events = log_events(self)
        for root in (self.deadline(whole), self.draining(error_page=whole)):
            connection = connect(root)
            connection.get()
            connection.client.clock.advance(1)
            self.assertEqual(
                (connection.response.body, connection.response.is_complete), (b"own", True)
            )
            self.assertFalse(connection.is_aborted)
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(
            [formatEvent(each) for each in of_cancelweb(events)],
            [f"{whole.__qualname__} failed"] * 2,
        )

    def test_a_request_that_raises(self) -> None:
        """A request whose `setHeader` raises gets no answer in a drain, and the error is logged."""

        def raising(request: Any, *_: object) -> None:
            raise ValueError

        def leaving(request: Any, *_: object) -> None:
            lose(request)
            raise ValueError

        for fails, is_aborted in ((raising, True), (leaving, False)):
            events = log_events(self)

            def broken(request: Any, fails: Any = fails) -> Any:
                request.setHeader = partial(fails, request)
                return self.draining().render(request)

            connection = connect(Page(broken))
            connection.get()
            self.assertEqual((connection.received, connection.is_aborted), (b"", is_aborted))
            self.assertEqual(
                [formatEvent(each) for each in of_cancelweb(events)],
                [
                    "a request that was turned away could not be answered: "
                    "the server is shutting down"
                ],
            )
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_ends_the_request_itself(self) -> None:
        """An `error_page` that finishes or loses the request leaves nothing to send."""

        def finishing(request: Request, cause: Cause) -> None:
            request.write(b"own")
            request.finish()

        def losing(request: Any, cause: Cause) -> bytes:
            request.channel.transport.lose(fail(OSError()).result)
            return b"own"

        for root in (self.deadline(finishing), self.draining(error_page=finishing)):
            self.assertEqual(self.ask(root).body, b"own")
        for root in (self.deadline(losing), self.draining(error_page=losing)):
            connection = connect(root)
            connection.get()
            connection.client.clock.advance(1)
            self.assertEqual(connection.received, b"")
        self.flushLoggedErrors(OSError)
