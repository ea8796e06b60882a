"""A framework turns what a decorated handler returned into JSON: the log says so, once.

NOT_DONE_YET is the number 1, so the client gets ``1`` while the work runs. What belongs here: any
framework but Klein, which has its own message (`test_mistakes_logged`).
"""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast
from zlib import compress

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred, succeed
from twisted.logger import LogLevel, formatEvent
from twisted.python.filepath import FilePath
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import File
from twisted.web.xmlrpc import XMLRPC, withRequest

from cancelweb import CancellingResource, cancel_on_disconnect, scope_of
from cancelweb.testing import Client

from .._logs import log_events, of_cancelweb
from .._pages import PAGE, Page, returning
from .._visits import connect_http2, response_of
from ._mistakes import MistakeTestCase, place

decorate: Any = cancel_on_disconnect

View = Callable[[Any], Any]


class Dispatcher(Resource):
    """A framework that makes JSON from what its only view returns."""

    isLeaf = True

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view

    def render(self, request: Request) -> Any:
        """Return JSON."""
        return json.dumps(self.view(request)).encode()


class Remote(Dispatcher):
    """A framework that answers a call of JSON-RPC, and finishes the response itself."""

    def render(self, request: Request) -> Any:
        """Write JSON."""
        answer = {"jsonrpc": "2.0", "result": self.view(request), "id": 7}
        request.write(json.dumps(answer).encode())
        request.finish()
        return NOT_DONE_YET


class Later(Dispatcher):
    """A framework that first looks who asks."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.user: Deferred[None] = Deferred()

    def render(self, request: Request) -> Any:
        """Look."""
        Deferred.fromCoroutine(self.answer(request))
        return NOT_DONE_YET

    async def answer(self, request: Request) -> None:
        """Write JSON."""
        await self.user
        data = await maybeDeferred(self.view, request)
        request.write(json.dumps(data).encode())
        request.finish()


class Procedures(XMLRPC):
    """A procedure that needs the request, and is decorated as if it were a handler."""

    isLeaf = True

    def report(self, request: Request) -> Deferred[bytes]:
        """Wait."""
        return Deferred()

    xmlrpc_report: Any = cast(Any, withRequest)(decorate(report))


async def waiting(_: Request) -> bytes:
    """Wait in a coroutine."""
    return await Deferred()


def deferring(_: Request) -> Deferred[bytes]:
    """Wait in a Deferred."""
    return Deferred()


def tracking(request: Request) -> Deferred[bytes]:
    """Wait, with a hook and other work."""
    scope_of(request).on_exit(lambda _: None)
    scope_of(request).track(Deferred(lambda _: None))
    return Deferred()


def leaving_open(request: Request) -> int:
    """Leave the answer to other code."""
    return NOT_DONE_YET


class FrameworkTests(MistakeTestCase):
    """Frameworks that do not know NOT_DONE_YET."""

    def message(self, view: View, caller: str) -> str:
        """What the log says of a view."""
        return (
            f"{caller} answered and did not wait for {place(view)}: a handler that is decorated "
            "with @cancel_on_disconnect returns NOT_DONE_YET, the number 1, and only Twisted "
            "knows that this is not the page. Remove the decorator from "
            f"{view.__name__}, return its work to the framework, and wrap the resource that "
            "Twisted calls: CancellingResource(resource) (logged once)"
        )

    def errors(self, root: Any, body: bytes = b"1") -> list[str]:
        """What two requests, which get this page, have cancelweb log as errors."""
        events = log_events(self)
        for _ in range(2):
            connection = self.serve_resource(root)
            connection.get()
            self.assertEqual((connection.response.code, connection.response.body), (200, body))
        return [formatEvent(event) for event in of_cancelweb(events, LogLevel.error)]

    def assert_told(self, root: Any, view: View, caller: str, body: bytes = b"1") -> None:
        """The log has one error, which names the view and the code that did not wait for it."""
        (line,) = self.errors(root, body)
        self.assertRegex(line, "^" + caller)
        self.assertTrue(line.endswith(self.message(view, "")), line)

    def test_that_returns_json(self) -> None:
        """The error names the view and the framework's resource, whatever the view waits for."""
        caller = r"tests\.http\.test_mistakes_frameworks\.Dispatcher\.render answered"
        for view in (waiting, deferring, tracking, leaving_open):
            self.assert_told(Dispatcher(decorate(view)), view, caller)

    def test_that_finishes_the_response(self) -> None:
        """The error names the line that finished the response with NOT_DONE_YET in its body."""
        body = b'{"jsonrpc": "2.0", "result": 1, "id": 7}'
        caller = r"\S+test_mistakes_frameworks\.py:\d+ in Remote\.render answered"
        for view in (waiting, deferring, tracking):
            self.assert_told(Remote(decorate(view)), view, caller, body)

    def test_in_a_later_turn(self) -> None:
        """The error comes, too, if the framework has called the view in a later turn."""
        caller = r"\S+test_mistakes_frameworks\.py:\d+ in Later\.answer answered"
        for view in (waiting, deferring, tracking):
            framework = Later(decorate(view))
            events = log_events(self)
            connection = self.serve_resource(framework)
            connection.get()
            framework.user.callback(None)
            self.assertEqual(connection.response.body, b"1")
            (event,) = of_cancelweb(events, LogLevel.error)
            self.assertRegex(formatEvent(event), "^" + caller)

    def test_in_a_wrapper(self) -> None:
        """The error comes, too, if the framework's resource is wrapped."""
        caller = r"tests\.http\.test_mistakes_frameworks\.Dispatcher\.render answered"
        for view in (waiting, deferring, tracking):
            self.assert_told(CancellingResource(Dispatcher(decorate(view))), view, caller)

    def test_over_http2(self) -> None:
        """The error comes, too, over HTTP/2."""
        events = log_events(self)
        connection = connect_http2(Dispatcher(decorate(waiting)), self.clock)
        stream = connection.get()
        self.clock.pump([0.01] * 5)
        self.assertEqual(response_of(stream).body, b"1")
        self.assertEqual(len(of_cancelweb(events, LogLevel.error)), 1)

    def test_procedures(self) -> None:
        """The error comes, too, if XML-RPC makes a response of it."""
        events = log_events(self)
        connection = self.serve_resource(Procedures())
        call = b"<?xml version='1.0'?><methodCall><methodName>report</methodName></methodCall>"
        connection.request(b"POST", body=call, headers={b"Content-Type": b"text/xml"})
        self.assertIn(b"<int>1</int>", connection.response.body)
        (event,) = of_cancelweb(events, LogLevel.error)
        self.assertIn("XMLRPC", formatEvent(event))

    def test_that_finishes_a_wrapped_response(self) -> None:
        """The error comes, too, if a wrapped framework finishes the response in its call."""

        class Own(Dispatcher):
            def render(self, request: Request) -> int:
                """Write JSON."""
                request.write(json.dumps(self.view(request)).encode())
                request.finish()
                return NOT_DONE_YET

        (line,) = self.errors(CancellingResource(Own(decorate(waiting))))
        self.assertRegex(line, r"\.Own\.render answered and did not wait")

    def test_what_is_not_noticed(self) -> None:
        """Without certainty there is no error: a long body, an object in a later turn, JSON-RPC."""

        class Long(Dispatcher):
            def render(self, request: Request) -> bytes:
                """Return JSON."""
                return json.dumps([self.view(request), "x" * 200]).encode()

        class Packed(Dispatcher):
            def render(self, request: Request) -> bytes:
                """Return compressed JSON."""
                return compress(json.dumps(self.view(request)).encode())

        class Object(Dispatcher):
            clock: Any = self.clock

            def render(self, request: Request) -> int:
                """Write JSON in the next turn."""
                self.clock.callLater(0, self.write, request, self.view(request))
                return NOT_DONE_YET

            def write(self, request: Request, result: object) -> None:
                """Answer."""
                request.write(json.dumps({"result": result}).encode())
                request.finish()

        remote = Remote(decorate(waiting))
        events = log_events(self)
        for root in (
            *(each(decorate(waiting)) for each in (Long, Packed, Object)),
            *(Remote(decorate(leaving_open)), CancellingResource(remote)),
        ):
            connection = self.serve_resource(root)
            connection.get()
            self.clock.advance(0)
            self.assertEqual(connection.response.code, 200)
        self.assertEqual(of_cancelweb(events, LogLevel.error), [])


class NoMistakeTests(MistakeTestCase):
    """What looks similar, and is not a mistake."""

    def assert_silent(self, root: Any, body: bytes) -> None:
        """A request gets this page, and the log says nothing."""
        events = log_events(self)
        connection = self.serve_resource(root)
        connection.get()
        self.clock.advance(0)
        self.assertEqual(connection.response.body, body)
        self.assertEqual(of_cancelweb(events, LogLevel.error), [])

    def test_a_view_that_has_its_page(self) -> None:
        """A decorated view that returns its page at once can be called by any code."""
        framework = Dispatcher(lambda request: decorate(returning(PAGE))(request).decode())
        self.assert_silent(framework, json.dumps(PAGE.decode()).encode())

    def test_a_page_of_one_byte(self) -> None:
        """A handler may write ``1``, finish the response, and go on."""

        def write(request: Request, page: bytes = b"1") -> None:
            request.write(page)
            request.finish()

        async def coroutine(request: Request) -> None:
            write(request)
            await Deferred()

        def callbacks(request: Request) -> Deferred[None]:
            return self.turn.addCallback(lambda _: write(request)).addCallback(lambda _: Deferred())

        async def later(request: Request) -> None:
            await self.turn
            write(request)
            await Deferred()

        @inlineCallbacks
        def generator(request: Request) -> Any:
            yield self.turn
            write(request)
            yield Deferred()

        for handler in (coroutine, later, generator, callbacks):
            self.turn: Deferred[None] = Deferred()
            self.clock.callLater(0, self.turn.callback, None)
            self.assert_silent(self.decorated(handler), b"1")

    def test_other_pages_of_one_byte(self) -> None:
        """A response of one byte may be finished by other code than the work, in a later turn."""

        def finish(request: Request, page: bytes) -> None:
            request.write(page)
            request.finish()

        def left_open(request: Request) -> int:
            self.clock.callLater(0, finish, request, b"1")
            return NOT_DONE_YET

        def deferring(request: Request) -> Deferred[None]:
            self.clock.callLater(0, finish, request, b"0")
            return Deferred()

        async def stream(_: Request) -> AsyncIterator[bytes]:
            self.clock.callLater(0, (turn := Deferred[None]()).callback, None)
            await turn
            yield b"1"

        async def streaming(request: Request) -> AsyncIterator[bytes]:
            return stream(request)

        for handler, body in ((left_open, b"1"), (deferring, b"0"), (streaming, b"1")):
            self.assert_silent(self.decorated(handler), body)
            self.assert_silent(CancellingResource(Page(handler)), body)

    def test_a_file_of_one_byte(self) -> None:
        """A wrapped file may have one byte."""
        file = FilePath(self.mktemp())
        file.setContent(b"1")
        root = Resource()
        root.putChild(b"", File(file.path))
        events = log_events(self)
        connection = Client(CancellingResource(root), self.clock).connect()
        connection.get()
        self.clock.pump([0] * 3)
        self.assertEqual(connection.response.body, b"1")
        self.assertEqual(of_cancelweb(events, LogLevel.error), [])

    def test_one_byte_before_the_handler_returns(self) -> None:
        """A handler may answer ``1`` and return NOT_DONE_YET, also in a wrapper."""

        def handler(request: Request) -> int:
            request.write(b"1")
            request.finish()
            return NOT_DONE_YET

        self.assert_silent(self.decorated(handler), b"1")
        self.assert_silent(CancellingResource(self.decorated(handler)), b"1")

    def test_a_handler_that_another_request_answers(self) -> None:
        """A request may be finished by the handler of another request."""
        open_: list[Any] = []

        def handler(request: Request) -> Any:
            if not open_:
                open_.append(request)
                return Deferred()
            open_[0].write(PAGE)
            open_[0].finish()
            return PAGE

        events = log_events(self)
        page = self.decorated(handler)
        for _ in range(2):
            self.serve_resource(page).get()
        self.assertEqual(of_cancelweb(events, LogLevel.error), [])

    def test_a_middle_layer_that_answers(self) -> None:
        """A resource may have decorated work done and answer something else."""
        for body in (b"accepted, 10 to go", b"version 1.1", b"." * 1000):

            def answer(request: Request, body: bytes = body) -> bytes:
                decorate(waiting)(request)
                return body

            page = Page(answer)
            self.assert_silent(page, body)
            self.assert_silent(CancellingResource(page), body)

    def test_head(self) -> None:
        """A HEAD that Twisted answers itself is not a mistake."""
        events = log_events(self)
        connection = self.serve_resource(self.decorated(waiting))
        connection.request(b"HEAD")
        self.assertEqual(of_cancelweb(events, LogLevel.error), [])

    def test_work_that_has_ended(self) -> None:
        """A coroutine that ends at once has answered before the framework can."""

        async def at_once(_: Request) -> bytes:
            return await succeed(PAGE)

        events = log_events(self)
        connection = self.serve_resource(self.decorated(at_once))
        connection.get()
        self.assertEqual(connection.response.body, PAGE)
        self.assertEqual(of_cancelweb(events, LogLevel.error), [])
