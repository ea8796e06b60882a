"""The answer to a request that is cancelled while its client waits: by default, in its own format.

What belongs here: what the default is, and the program of the docs. What does not: the Accept
header alone, which has `test_negotiation`; `error_page`, which has `test_error_pages_own`; and what
a cause says in headers: `test_cause_headers`.
"""

import json
from pathlib import Path
from typing import Any

from h2.errors import ErrorCodes
from twisted.internet.defer import Deferred
from twisted.web.server import Request

from cancelweb import (
    CancellingResource,
    Cause,
    Ended,
    TimedOut,
    cancel_on_disconnect,
    current_scope,
)
from cancelweb.monitor import Monitor

from .._docs import ERROR_PAGE, ERROR_PAGE_FILE, run
from .._pages import Page, waiting
from .._visits import connect, response_of
from ._answers import AS_TODAY, AnswerTestCase, evicted
from ._multiplexed import HTTP2TestCase


class OneAnswerInTheClientsFormatTests(AnswerTestCase):
    """The default error page is in the format that the client asks for."""

    def test_as_before(self) -> None:
        """A client that asks for nothing in particular gets the page that it always got."""
        for accept in (None, b"*/*", b"text/html"):
            response = self.ask(self.deadline(), accept)
            self.assertEqual((response.code, response.body), (503, AS_TODAY))
            self.assertEqual(response.header(b"content-type"), b"text/html; charset=utf-8")
            self.assertEqual(response.header(b"vary"), b"Accept")
            self.assertEqual(response.header(b"cache-control"), b"no-store")

    def test_problem(self) -> None:
        """A client that asks for JSON gets a problem (RFC 9457) when its deadline has passed."""

        def handler(request: Request) -> Deferred[bytes]:
            request.setHeader("Content-Type", "application/json")
            request.setHeader("Content-Length", "5")
            return Deferred()

        for accept in (b"application/json", b"application/problem+json", b"application/json, */*"):
            response = self.ask(self.deadline(handler=handler), accept)
            self.assertEqual(response.header(b"content-type"), b"application/problem+json")
            self.assertEqual(response.header(b"content-length"), b"%d" % len(response.body))
            self.assertEqual(
                json.loads(response.body),
                {
                    "type": "about:blank",
                    "title": "Service Unavailable",
                    "status": 503,
                    "detail": "The request was stopped before it was done.",
                },
            )

    def test_headers_of_the_handlers_own_page(self) -> None:
        """Headers about the handler's own page are removed; its other headers stay."""
        own = ("ETag", "Last-Modified", "Content-Language", "Content-Location", "Link", "Location")

        def handler(request: Request) -> Deferred[bytes]:
            for name in (*own, "Transfer-Encoding", "X-Request-ID"):
                request.setHeader(name, "chunked")
            return Deferred()

        for error_page in (None, lambda request, cause: b"own"):
            response = self.ask(self.deadline(error_page, handler))
            for name in (*own, "Transfer-Encoding"):
                self.assertIsNone(response.header(name.encode()), name)
            self.assertEqual(response.header(b"x-request-id"), b"chunked")

    def test_text(self) -> None:
        """A client that asks for plain text gets a sentence."""
        response = self.ask(self.deadline(), b"text/plain")
        self.assertEqual(response.body, b"The request was stopped before it was done.\n")
        self.assertEqual(response.header(b"content-type"), b"text/plain; charset=utf-8")

    def test_turned_away(self) -> None:
        """A request that a drain turns away is answered in its format, by default in plain text."""
        sentence = "the server is shutting down"
        for accept in (None, b"*/*", b"text/plain"):
            response = self.ask(self.draining(), accept)
            self.assertEqual(response.body, f"{sentence}\n".encode())
        for accept in (b"application/json", b"application/json, text/plain, */*"):
            response = self.ask(self.draining(), accept)
            self.assertEqual(json.loads(response.body)["detail"], sentence)
            self.assertEqual(response.header(b"retry-after"), b"1")
        response = self.ask(self.draining(), b"text/html")
        self.assertIn(f"<p>{sentence}</p>".encode(), response.body)
        self.assertEqual(response.header(b"connection"), b"close")

    def test_head(self) -> None:
        """A HEAD gets the head of the error page alone, with the length of its body."""
        for root in (self.deadline(), self.draining()):
            whole = self.ask(root, b"application/json")
            head = self.ask(root, b"application/json", b"HEAD")
            self.assertEqual((head.code, head.body), (503, b""))
            self.assertEqual(head.header(b"content-length"), whole.header(b"content-length"))

    def test_a_cause_is_no_text_for_clients(self) -> None:
        """What a cause of the user's own says is not shown; its status and title are."""

        for accept in (b"text/html", b"application/json", b"text/plain"):
            response = self.ask(self.deadline(handler=evicted), accept)
            self.assertEqual(response.code, 429)
            self.assertNotIn(b"token", response.body)
            if accept != b"text/plain":
                self.assertIn(b"Too Many Requests", response.body)

    def test_the_name_of_a_status(self) -> None:
        """The status line and the problem name the status; one without a name is Stopped."""
        for status, name in [
            (429, "Too Many Requests"),
            (451, "Unavailable For Legal Reasons"),
            (503, "Service Unavailable"),
            (599, "Stopped"),
        ]:
            decorate: Any = cancel_on_disconnect(timeout=1, timeout_status=status, observers=())
            connection = connect(Page(decorate(waiting)))
            connection.get(headers={b"Accept": b"application/json"})
            connection.client.clock.advance(1)
            self.assertEqual(json.loads(connection.response.body)["title"], name)
            self.assertTrue(
                connection.received.startswith(f"HTTP/1.1 {status} {name}\r\n".encode())
            )


class OverHTTP2Tests(HTTP2TestCase):
    """Error pages over HTTP/2."""

    def test_each(self) -> None:
        """The default page and the site's own are sent; one that fails half-way is broken off."""

        def half(request: Request, cause: Cause) -> bytes:
            request.write(b"half")
            raise ValueError

        bodies = []
        for page in (None, lambda request, cause: b"own", half):
            self.connect(self.work, timeout=3, error_page=page)
            stream = self.get()
            self.clock.advance(3)
            self.settle()
            self.assertEqual(response_of(stream).code, 503)
            bodies.append(self.body(stream))
        self.assertEqual(bodies, [(AS_TODAY, True), (b"own", True), (b"half", False)])
        self.logged_error(ValueError)
        self.assertEqual({type(each.cause) for each in self.outcomes}, {TimedOut})
        self.assertEqual(self.outcomes[-1].ended, Ended.FAILED)


class BrokenOffInADrainTests(HTTP2TestCase):
    """Error pages of requests that are turned away, which fail half-way."""

    def test_over_http2(self) -> None:
        """A stream whose error page fails half-way is reset, and its connection goes on."""

        def half(request: Request, cause: Cause) -> bytes:
            request.write(b"half")
            raise ValueError

        monitor = Monitor(self.clock)
        monitor.drain(0)
        wrapped: Any = CancellingResource(
            Page(self.work), monitor=monitor, error_page=half, observers=self.outcomes.append
        )
        self.open(wrapped)
        for _ in range(2):
            stream = self.get()
            self.assertEqual(self.body(stream), (b"half", False))
            self.assertIs(stream.error_code, ErrorCodes.INTERNAL_ERROR)
            self.logged_error(ValueError)
        self.assertEqual({each.ended for each in self.outcomes}, {Ended.REFUSED})


class ShownTests(AnswerTestCase):
    """The programs of the how-to about error pages."""

    def test_error_page(self) -> None:
        """The program's `error_page` answers requests below /api/, and leaves the rest alone."""
        names = run(ERROR_PAGE.read_text())
        for path, status, body in [
            (b"/api/x", 504, b'{"error": "too slow"}'),
            (b"/x", 503, AS_TODAY),
        ]:
            decorate: Any = cancel_on_disconnect(
                timeout=1, error_page=names["error_page"], observers=()
            )
            connection = connect(Page(decorate(waiting)))
            connection.get(path=path)
            connection.client.clock.advance(1)
            self.assertEqual((connection.response.code, connection.response.body), (status, body))

    def test_file(self) -> None:
        """An error page that is a file is sent from memory, at a time limit and in a drain."""
        self.patch(Path, "read_bytes", lambda path: f"the page {path}".encode())
        names = run(ERROR_PAGE_FILE.read_text())
        error_page = names["error_page"]
        for root in (self.deadline(error_page), self.draining(error_page=error_page)):
            response = self.ask(root)
            self.assertEqual((response.code, response.body), (503, b"the page 503.html"))
        connection = connect(names["Report"](Deferred))
        connection.get()
        connection.client.clock.advance(30)
        self.assertEqual(connection.response.body, b"the page 503.html")

    def test_cause(self) -> None:
        """The program's cause sets the status and the Retry-After of the answer."""
        names = run(ERROR_PAGE.read_text())

        def handler(request: Request) -> Deferred[bytes]:
            current_scope().cancel(names["QuotaUsedUp"](30))
            return Deferred()

        response = self.ask(self.deadline(names["error_page"], handler))
        self.assertEqual((response.code, response.header(b"retry-after")), (429, b"30"))
