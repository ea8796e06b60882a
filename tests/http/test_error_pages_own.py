"""`error_page`: the site makes the answer to a request that is cancelled while its client waits.

What belongs here: when it is called, and what it may return. What does not: an `error_page` that
fails, which has `test_error_pages_failing`.
"""

import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.pages import errorPage, notFound
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource, Cause, TimedOut, current_scope
from cancelweb.monitor import Monitor

from .._pages import Page, waiting
from .._visits import connect
from ._answers import AnswerTestCase, evicted

SECRET = ContextVar("SECRET", default="none")


class OneAnswerInTheSitesFormatTests(AnswerTestCase):
    """`error_page`: the site makes the answer itself."""

    def setUp(self) -> None:
        """Create the list of the causes that an error page was given."""
        self.given: list[Cause] = []

    def page(self, result: object) -> Callable[[Any, Cause], Any]:
        """An error page that notes its cause, and returns this result."""

        def error_page(request: Request, cause: Cause) -> object:
            self.given.append(cause)
            return result

        return error_page

    def test_bytes(self) -> None:
        """Bytes from an `error_page` are the body; the status and the headers are set."""
        response = self.ask(self.deadline(self.page(b"own")), b"application/json")
        self.assertEqual((response.code, response.body), (503, b"own"))
        self.assertEqual(response.header(b"content-type"), b"text/html; charset=utf-8")
        self.assertEqual(response.header(b"content-length"), b"3")
        self.assertEqual(response.header(b"cache-control"), b"no-store")
        self.assertIsNone(response.header(b"vary"))
        self.assertEqual(self.given, [TimedOut(1)])

    def test_what_it_changes(self) -> None:
        """An `error_page` may change the status and the headers."""

        def error_page(request: Request, cause: Cause) -> bytes:
            self.assertEqual(request.code, 503)
            request.setResponseCode(504)
            request.setHeader("Content-Type", "text/x-own")
            return b"own"

        response = self.ask(self.deadline(error_page))
        self.assertEqual((response.code, response.body), (504, b"own"))
        self.assertEqual(response.header(b"content-type"), b"text/x-own")

    def test_resource(self) -> None:
        """A resource from an `error_page` is rendered, whatever the request's method."""

        class Own(Resource):
            def render(self, request: Request) -> bytes:
                return b"own"

        for method in (b"GET", b"POST"):
            response = self.ask(self.deadline(self.page(Own())), method=method)
            self.assertEqual((response.code, response.body), (503, b"own"))
            teapot: Any = errorPage(418, "Teapot", "Short and stout.")
            response = self.ask(self.deadline(self.page(teapot)), method=method)
            self.assertEqual(response.code, 418)
            self.assertIn(b"Short and stout.", response.body)
        for method in (b"GET", b"HEAD"):
            response = self.ask(self.draining(error_page=self.page(notFound())), method=method)
            self.assertEqual((response.code, response.is_complete), (404, True))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_none(self) -> None:
        """None from an `error_page` stands for the default page."""
        response = self.ask(self.deadline(self.page(None)), b"application/json")
        self.assertEqual(json.loads(response.body)["status"], 503)
        self.assertEqual(self.given, [TimedOut(1)])

    def test_head(self) -> None:
        """Bytes from an `error_page` give a HEAD its length, and no body."""
        response = self.ask(self.deadline(self.page(b"own")), method=b"HEAD")
        self.assertEqual((response.code, response.body), (503, b""))
        self.assertEqual(response.header(b"content-length"), b"3")

    def test_a_status_without_a_body(self) -> None:
        """An `error_page` that sets a status without a body sends no length and no type."""
        for status in (204, 304):

            def error_page(request: Request, cause: Cause, status: int = status) -> bytes:
                request.setResponseCode(status)
                return b"none"

            for root in (self.deadline(error_page), self.draining(error_page=error_page)):
                response = self.ask(root)
                self.assertEqual((response.code, response.body), (status, b""))
                self.assertIsNone(response.header(b"content-length"))
                self.assertIsNone(response.header(b"content-type"))

    def test_each_cause(self) -> None:
        """An `error_page` is called at a drain's end, for a refused request, and for a cancel."""
        own = self.page(b"own")
        monitor = Monitor()
        root = CancellingResource(Page(waiting), monitor=monitor, error_page=own, observers=())
        connection = connect(root)
        connection.get()
        monitor.drain(0)
        connection.client.clock.advance(0)
        self.assertEqual(connection.response.body, b"own")
        self.assertEqual(connection.response.header(b"connection"), b"close")
        response = self.ask(root)
        self.assertEqual((response.code, response.body), (503, b"own"))
        self.assertEqual(response.header(b"retry-after"), b"1")
        response = self.ask(self.deadline(own, evicted))
        self.assertEqual((response.code, response.body), (429, b"own"))
        self.assertEqual(
            [type(each).__name__ for each in self.given], ["Draining"] * 2 + ["Evicted"]
        )

    def test_is_not_called_without_a_client_to_answer(self) -> None:
        """An `error_page` is not called for a lost client, a begun response or a dry run."""

        def begun(request: Request) -> int:
            request.write(b"begun")
            return NOT_DONE_YET

        self.ask(self.deadline(self.page(b"own"), begun))
        connection = connect(self.deadline(self.page(b"own")))
        connection.get()
        connection.disconnect()
        dry = CancellingResource(
            Page(waiting), timeout=1, dry_run=True, error_page=self.page(b"own"), observers=()
        )
        connection = connect(dry)
        connection.get()
        connection.client.clock.advance(1)
        self.assertEqual(self.given, [])

    def test_the_innermost_wins(self) -> None:
        """Where entry points meet, the innermost `error_page` that was given is called."""
        inner = self.deadline(self.page(b"inner"))
        outer = self.page(b"outer")
        self.assertEqual(self.ask(CancellingResource(inner, error_page=outer)).body, b"inner")
        inner = self.deadline()
        self.assertEqual(self.ask(CancellingResource(inner, error_page=outer)).body, b"outer")

    def test_context(self) -> None:
        """An `error_page` sees the handler's scope and context, and what it sets does not leak."""
        seen: list[object] = []

        def error_page(request: Request, cause: Cause) -> bytes:
            seen.extend([SECRET.get(), current_scope().cause])
            SECRET.set("of the page")
            return b"own"

        def handler(request: Request) -> Deferred[bytes]:
            SECRET.set("of the handler")
            return Deferred()

        token = SECRET.set("of the test")
        self.addCleanup(SECRET.reset, token)
        self.ask(self.deadline(error_page, handler))
        self.assertEqual(seen, ["of the handler", TimedOut(1)])
        self.assertNotEqual(SECRET.get(), "of the page")
