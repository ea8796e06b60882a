"""`request.content` of a request whose client has left: reading it raises the disconnect.

What else can be done to a dead request is for `test_dead_requests_guarded`.
"""

import gc
import io
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request
from twisted.web.wsgi import WSGIResource

from cancelweb import (
    CancellingResource,
    ContentLost,
    Disconnected,
    Ended,
    Outcome,
    cancel_on_disconnect,
    current_scope,
)
from cancelweb._http.lost_content import ThreadContent, tell_threads_of_loss
from cancelweb.testing import Client

from .._docs import WSGI_INPUT, run
from .._logs import log_events
from .._pages import Page
from .._visits import kept_request

READINGS: dict[str, Callable[[Any], object]] = {
    "read": lambda content: content.read(),
    "read some": lambda content: content.read(10),
    "read by name": lambda content: content.read(size=10),
    "read1": lambda content: content.read1(),
    "readinto": lambda content: content.readinto(bytearray(4)),
    "readline": lambda content: content.readline(),
    "readline at most": lambda content: content.readline(4),
    "readlines": lambda content: content.readlines(),
    "iteration": list,
    "next": next,
    "with": lambda content: content.__enter__(),
    "seek": lambda content: content.seek(0),
    "seek from the end": lambda content: content.seek(0, 2),
    "tell": lambda content: content.tell(),
    "truncate": lambda content: content.truncate(),
    "write": lambda content: content.write(b"more"),
    "flush": lambda content: content.flush(),
    "text": lambda content: io.TextIOWrapper(content).read(),
}
"""Ways to use the content of a request."""

BODY = b"one\ntwo\n"
LARGE = BODY * 20_000
"""So much that Twisted keeps it in a file."""


class ContentOfADeadRequestTests(SynchronousTestCase):
    """Promise 2: reading the content of a lost request raises the disconnect."""

    def left(self, page: Any, *, version: int = 1, body: bytes = BODY) -> None:
        """Post a body, and leave."""
        connection: Any = Client(page).connect()
        if version == 2:
            connection = Client(page).connect_http2()
        exchange = connection.request(b"POST", b"/", {}, body)
        exchange.advance(1)
        exchange.disconnect()
        exchange.advance(1)

    def requests_lost(self) -> list[Any]:
        """Lost requests of each entry point, small and large, over HTTP/1 and HTTP/2."""
        kept: list[Any] = []

        def handler(request: Request) -> Deferred[bytes]:
            kept.append(request)
            return Deferred(lambda _: None)

        for page in (Page(cancel_on_disconnect(handler)), CancellingResource(Page(handler))):
            for version in (1, 2):
                for body in (BODY, LARGE):
                    self.left(page, version=version, body=body)
        return kept

    def test_each_way_to_read(self) -> None:
        """Each use of lost content raises an error that is also a CancelledError and an OSError."""
        for request in self.requests_lost():
            for read in READINGS.values():
                for kind in (ContentLost, CancelledError, OSError):
                    with self.assertRaisesRegex(kind, "^the client disconnected$"):
                        read(request.content)

    def test_it_can_be_closed(self) -> None:
        """Lost content can be closed, and then says that it is closed."""
        for request in self.requests_lost():
            request.content.close()
            self.assertTrue(request.content.closed)

    def test_in_the_handler(self) -> None:
        """ContentLost has the cause of the scope, and a handler that ends with it was STOPPED."""
        seen: list[Any] = []
        outcomes: list[Outcome] = []

        async def handler(request: Any) -> bytes:
            scope = current_scope()
            try:
                await Deferred(lambda _: None)
            finally:
                try:
                    request.content.read()
                except ContentLost as error:
                    seen.append((error, scope.cause))
                    raise
            return b""

        # With a deadline it does not take the fast path.
        for timeout in (None, 9):
            entry_point = cancel_on_disconnect(observers=outcomes.append, timeout=timeout)
            self.left(Page(entry_point(handler)))
        for error, cause in seen:
            self.assertIs(error.cause, cause)
            self.assertEqual(str(error), str(cause))
        self.assertEqual([each.ended for each in outcomes], [Ended.STOPPED] * 2)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_in_a_spared_request(self) -> None:
        """In a spared request, ContentLost has the disconnect as its cause."""
        outcomes: list[Outcome] = []
        causes: list[Any] = []
        again: list[Deferred[None]] = []

        async def handler(request: Any) -> bytes:
            again.append(Deferred())
            await again[0]
            try:
                return request.content.read()  # type: ignore[no-any-return]
            except ContentLost as error:
                causes.append(error.cause)
                raise

        self.left(CancellingResource(Page(handler), observers=outcomes.append))
        again[0].callback(None)
        self.assertEqual([each.would_have_cancelled for each in outcomes], causes)
        self.assertIsInstance(causes[0], Disconnected)
        self.assertIsNotNone(causes[0].failure)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_after_a_normal_end(self) -> None:
        """The content of a finished request is gone, as in Twisted."""
        kept: list[Any] = []

        def handler(request: Any) -> bytes:
            kept.append((request, request.content))
            return b"page"

        for page in (Page(cancel_on_disconnect(handler)), CancellingResource(Page(handler))):
            Client(page).post(b"/", BODY)
        for request, content in kept:
            self.assertIsNone(request.content)
            with self.assertRaises(ValueError):
                content.read()

    def test_while_the_client_waits(self) -> None:
        """The content of a request whose client waits is what the client has sent."""

        async def handler(request: Any) -> Any:
            return request.content.read()

        for page in (Page(cancel_on_disconnect(handler)), CancellingResource(Page(handler))):
            self.assertEqual(Client(page).post(b"/", BODY).response.body, BODY)  # type: ignore[union-attr]

    def test_entry_on_a_dead_request(self) -> None:
        """A handler that is called for a lost request gets ContentLost when it reads."""
        raised: list[Exception] = []

        def handler(request: Any) -> bytes:
            try:
                request.content.read()
            except ContentLost as error:
                raised.append(error)
            return b""

        connection, request = kept_request(b"POST")
        connection.disconnect()
        CancellingResource(Page(handler)).render(request)
        self.assertEqual([str(each) for each in raised], ["the client disconnected"])


class Threads:
    """A fake pool of threads and a fake reactor: calls wait until the test runs them."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def callInThread(self, function: Callable[[], object]) -> None:
        """See `ThreadPool`."""
        self.waiting.append(function)

    def callFromThread(self, function: Callable[..., object], *args: object) -> None:
        """See `IReactorFromThreads`."""
        function(*args)

    def run(self) -> None:
        """Run the last call that waits."""
        self.waiting.pop()()


class InputOfADeadApplicationTests(SynchronousTestCase):
    """A WSGI application that keeps the content of its request beyond the loss."""

    def setUp(self) -> None:
        """Create the fake threads, and how the application reads its input."""
        self.threads, self.clock = Threads(), Clock()
        self.read: Callable[[Any], object] = lambda content: content.read()
        self.results: list[object] = []

    def application(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """Read the input, and note the result."""
        try:
            self.results.append(self.read(environ["wsgi.input"]))
        except Exception as error:
            self.results.append(error)
            raise
        start_response("200 OK", [])
        return []

    def post(self, method: bytes = b"POST", application: Any = None) -> Any:
        """Send a body to the application."""
        threads: Any = self.threads
        resource: Any = WSGIResource(threads, threads, application or self.application)
        client = Client(CancellingResource(resource), self.clock)
        return client.request(method, b"/", {}, BODY)

    def test_each_way_to_read(self) -> None:
        """Each way to read the input of a WSGI application raises ContentLost after a loss."""
        ways: list[Callable[[Any], object]] = [
            lambda content: content.read(),
            lambda content: content.read(3),
            lambda content: content.readline(),
            lambda content: content.readlines(),
            list,
        ]
        for self.read in ways:
            for method in (b"POST", b"GET"):
                exchange = self.post(method)
                exchange.disconnect()
                self.threads.run()
                error: Any = self.results.pop()
                self.assertIsInstance(error, ContentLost)
                # A POST is spared: its scope has no cause.
                details = "" if method == b"POST" else r" \(Connection was closed cleanly\.\)"
                self.assertRegex(str(error), rf"^the client disconnected{details}$")
        self.flushLoggedErrors(ContentLost)

    def test_in_the_middle(self) -> None:
        """A WSGI application whose client leaves between two reads gets ContentLost."""

        def read(content: Any) -> object:
            self.results.append(next(iter(content)))
            exchange.disconnect()
            return content.read()

        self.read, exchange = read, self.post()
        self.threads.run()
        self.assertEqual(self.results[0], b"one\n")
        self.assertIsInstance(self.results[1], ContentLost)
        self.flushLoggedErrors(ContentLost)

    def test_while_the_client_waits(self) -> None:
        """Each way to read the input of a WSGI application gives what its client has sent."""
        lines = [b"one\n", b"two\n"]
        ways: list[tuple[Callable[[Any], object], object]] = [
            (lambda content: content.read(), BODY),
            (lambda content: content.read(3), b"one"),
            (lambda content: content.readline(), lines[0]),
            (lambda content: content.readlines(), lines),
            (list, lines),
        ]
        for self.read, result in ways:
            exchange = self.post()
            self.threads.run()
            self.assertEqual((self.results.pop(), exchange.response.code), (result, 200))

    def test_after_a_normal_end(self) -> None:
        """The input of a WSGI application is closed after its response, as in Twisted."""
        inputs: list[Any] = []

        def read(content: Any) -> None:
            inputs.append(content)

        self.read = read
        self.post()
        self.threads.run()
        with self.assertRaises(ValueError):
            inputs[0].read()

    def test_an_error_of_its_own(self) -> None:
        """A WSGI application that reads input it has closed gets a ValueError, no ContentLost."""

        def read(content: Any) -> object:
            iter(content).close()
            return content.read()

        self.read = read
        self.post()
        self.threads.run()
        self.assertIsInstance(self.results[0], ValueError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_what_is_logged(self) -> None:
        """A ContentLost that escapes from a WSGI application is logged as the docs show it."""
        events = log_events(self)
        exchange = self.post()
        exchange.disconnect()
        self.threads.run()
        [error] = self.flushLoggedErrors(ContentLost)
        shown = [formatEvent(each) for each in events if each.get("log_failure") is error]
        self.assertEqual(shown, ["WSGI application error"])

    def test_around_an_application(self) -> None:
        """The `quiet` of the docs keeps the ContentLost of a WSGI application out of the log."""
        quiet = run(WSGI_INPUT.read_text())["quiet"]
        for leaves in (False, True):
            exchange = self.post(application=quiet(self.application))
            if leaves:
                exchange.disconnect()
            self.threads.run()
            self.assertEqual(exchange.response is None, leaves)
        self.assertIsInstance(self.results[1], ContentLost)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_around_an_application_whose_result_is_closed(self) -> None:
        """The `quiet` of the docs closes a WSGI application's result, however that ends."""
        closed: list[str] = []

        class Chunks(list[bytes]):
            def close(self) -> None:
                closed.append("closed")

        def failing() -> Iterator[bytes]:
            try:
                yield b"one"
                raise CancelledError
            finally:
                closed.append("closed")

        quiet = run(WSGI_INPUT.read_text())["quiet"]
        for result in (Chunks([b"one"]), failing()):
            self.assertEqual(list(quiet(lambda *_, result=result: result)({}, None)), [b"one"])
            self.assertEqual(closed.pop(), "closed")
        begun = quiet(lambda *_: Chunks([b"one", b"two"]))({}, None)
        self.assertEqual(next(begun), b"one")
        begun.close()
        self.assertEqual(closed, ["closed"])


class ThreadContentTests(SynchronousTestCase):
    """`ThreadContent`, which stands for the content of a request in threads."""

    def request(self) -> Any:
        """A request with some content."""
        _, request = kept_request()
        any_request: Any = request
        any_request.content = io.BytesIO(BODY)
        return any_request

    def test_is_like_a_file(self) -> None:
        """A `ThreadContent` can be used as the file that it stands for."""
        content = ThreadContent(self.request())
        self.assertEqual((content.tell(), content.seek(0, 2)), (0, len(BODY)))
        self.assertFalse(content.closed)
        with content as entered:
            self.assertIs(entered, content)
        self.assertTrue(content.closed)

    def test_arguments_by_name(self) -> None:
        """The methods of a `ThreadContent` take arguments by name, as those of the file do."""
        request = self.request()

        class Named(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                return super().read(size)

        request.content = Named(BODY)
        self.assertEqual(ThreadContent(request).read(size=3), b"one")

    def test_is_put_there_once(self) -> None:
        """A `ThreadContent` is not put around another one, and not around None."""
        request = self.request()
        for _ in range(2):
            tell_threads_of_loss(request)
        self.assertIsInstance(request.content._content, io.BytesIO)
        request.content = None
        tell_threads_of_loss(request)
        self.assertIsNone(request.content)

    def test_misuse_of_an_open_file(self) -> None:
        """An error of a file that is still open is not taken for a loss."""
        connection, request = kept_request()
        any_request: Any = request
        content = ThreadContent(any_request)
        connection.disconnect()
        content._content = io.BytesIO(BODY)
        with self.assertRaisesRegex(ValueError, "negative"):
            content.seek(-1)

    def test_of_a_request_that_is_gone(self) -> None:
        """A `ThreadContent` of a request that is gone raises the error of its closed file."""
        request = self.request()
        content, gone = ThreadContent(request), ref(request)
        content.close()
        del request
        gc.collect()
        self.assertIsNone(gone())
        with self.assertRaises(ValueError):
            content.read()

    def test_a_request_that_was_kept(self) -> None:
        """A `ThreadContent` of a lost request without a scope raises ContentLost."""
        connection, request = kept_request()
        content = ThreadContent(request)
        connection.disconnect()
        with self.assertRaisesRegex(ContentLost, "^the client disconnected$"):
            content.read()
