"""`cancel_on_disconnect`: what it can decorate, what it keeps, and what it says on misuse.

What becomes of each kind of result is for the tests of the results; where entry points meet has a
module of its own.
"""

import inspect
from collections.abc import AsyncIterator, Generator
from functools import partial
from typing import Any, assert_type

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.test.requesthelper import DummyRequest

from cancelweb import CancellingResource, Ended, Outcome, cancel_on_disconnect, current_scope

from .._pages import Page, waiting
from .._visits import connect


class Report(Resource):
    """A resource with a decorated method of every kind."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.go: Deferred[bytes] = Deferred()

    @cancel_on_disconnect
    def render_GET(self, request: Request) -> Deferred[bytes]:
        """Wait for the report."""
        return self.go

    @cancel_on_disconnect(timeout=5)
    @inlineCallbacks
    def render_POST(self, request: Request) -> Generator[Deferred[bytes], bytes, bytes]:
        """Wait for the report."""
        return (yield self.go)

    @cancel_on_disconnect()
    async def render_OPTIONS(self, request: Request) -> bytes:
        """Wait for the report."""
        return await self.go

    @cancel_on_disconnect
    async def render_HEAD(self, request: Request) -> AsyncIterator[bytes]:
        """Wait for the report."""
        yield await self.go


METHODS = [b"GET", b"POST", b"OPTIONS", b"HEAD"]


class KindsTests(SynchronousTestCase):
    """What can be decorated."""

    def test_each_kind_of_method_completes(self) -> None:
        """A decorated function, generator, coroutine or async generator sends its page."""
        for method in METHODS:
            report = Report()
            connection = connect(report)
            connection.request(method)
            report.go.callback(b"report")
            self.assertEqual(connection.response.code, 200)
            self.assertEqual(connection.response.body, b"" if method == b"HEAD" else b"report")

    def test_each_kind_of_method_is_cancelled(self) -> None:
        """The work of a decorated method of each kind stops when the client leaves."""
        for method in METHODS:
            cancelled: list[object] = []
            report = Report()
            report.go = Deferred(cancelled.append)
            connection = connect(report)
            connection.request(method)
            connection.disconnect()
            self.assertEqual(cancelled, [report.go])

    def test_a_function(self) -> None:
        """A decorated function may take arguments besides the request."""

        @cancel_on_disconnect
        def page(name: str, request: Request, *, greeting: str = "Hello") -> bytes:
            return f"{greeting}, {name}: {request.uri.decode()}".encode()

        connection = connect(Page(lambda request: page("you", request, greeting="Hi")))
        connection.get()
        self.assertEqual(connection.response.body, b"Hi, you: /")

    def test_a_callable_without_a_name(self) -> None:
        """A callable that is not a function, such as a partial, can be decorated."""

        def page(name: bytes, request: Request) -> bytes:
            return name

        connection = connect(Page(cancel_on_disconnect(partial(page, b"you"))))
        connection.get()
        self.assertEqual(connection.response.body, b"you")

    def test_the_first_request_of_several(self) -> None:
        """The decorator takes the first argument that has a `notifyFinish` as the request."""
        found: list[object] = []

        @cancel_on_disconnect
        def page(first: Any, second: Any) -> bytes:
            found.append(current_scope().request)
            return b"page"

        connection = connect(Page(lambda request: page(request, DummyRequest([]))))
        connection.get()
        self.assertEqual([type(each) for each in found], [Request])


class KeptTests(SynchronousTestCase):
    """What the decorator keeps of a handler."""

    def test_name_and_docstring(self) -> None:
        """A decorated handler keeps its name, its docstring and its module."""
        render: Any = Report.render_GET
        self.assertEqual(render.__name__, "render_GET")
        self.assertEqual(render.__qualname__, "Report.render_GET")
        self.assertEqual(render.__doc__, "Wait for the report.")
        self.assertEqual(render.__module__, __name__)

    def test_signature(self) -> None:
        """A decorated handler keeps its parameters."""
        self.assertEqual(list(inspect.signature(Report.render_GET).parameters), ["self", "request"])

    def test_the_undecorated_handler(self) -> None:
        """The undecorated handler is reachable as `__wrapped__`, and can be called alone."""
        render: Any = Report.render_GET
        report = Report()
        self.assertIs(render.__wrapped__(report, None), report.go)

    def test_types(self) -> None:
        """A type checker sees a decorated handler's parameters, and what Twisted takes from it."""

        @cancel_on_disconnect(timeout=5)
        def page(name: str, request: Request) -> Deferred[bytes]:
            return Deferred()

        connection = connect(Page(lambda request: assert_type(page("you", request), bytes | int)))
        connection.get()
        connection.disconnect()


class WrongUseTests(SynchronousTestCase):
    """What the decorator says on misuse."""

    def test_on_a_class(self) -> None:
        """A resource class that is decorated raises a TypeError that names `CancellingResource`."""
        wrong: Any = Report
        with self.assertRaisesRegex(TypeError, "Report is a class.*CancellingResource"):
            cancel_on_disconnect(wrong)

    def test_on_what_cannot_be_called(self) -> None:
        """A value that is decorated, such as a timeout given by position, raises a TypeError."""
        wrong: Any = 30
        with self.assertRaisesRegex(TypeError, "take a request, not 30.*options by name"):
            cancel_on_disconnect(wrong)
        with self.assertRaisesRegex(TypeError, "take a request, not 30"):
            cancel_on_disconnect(timeout=3)(wrong)

    def test_called_without_a_request(self) -> None:
        """A decorated handler that is called without a request is named in the TypeError."""

        @cancel_on_disconnect
        def page(request: object) -> bytes:
            return b"page"

        with self.assertRaisesRegex(TypeError, r"page was called without a request.*\('no'\)"):
            page("no")

    def test_called_without_a_request_and_without_a_name(self) -> None:
        """A decorated partial that is called without a request is named by its function."""
        with self.assertRaisesRegex(TypeError, "_pages.py:.* in waiting was called without a"):
            cancel_on_disconnect(partial(waiting))()

    def test_an_unknown_option(self) -> None:
        """An option that does not exist raises a TypeError when it is given."""
        decorate: Any = cancel_on_disconnect
        wrap: Any = CancellingResource
        with self.assertRaisesRegex(TypeError, "methods"):
            decorate(methods=["GET"])
        with self.assertRaisesRegex(TypeError, "time_out"):
            wrap(Report(), time_out=5)


class RouterTests(SynchronousTestCase):
    """A decorated handler returns only what Twisted knows."""

    def test_answers_not_done_yet(self) -> None:
        """A decorated handler that waits returns NOT_DONE_YET, which is 1, to whatever calls it."""
        answers: list[object] = []
        decorated = cancel_on_disconnect(waiting)

        def view(request: Request) -> object:
            answers.append(decorated(request))
            return answers[0]

        connect(Page(view)).get()
        self.assertEqual(answers, [1])
        self.assertIs(answers[0], NOT_DONE_YET)

    def test_answers_the_same_bytes(self) -> None:
        """A decorated handler returns the very bytes that the undecorated handler returns."""
        page = b"a page"
        answers: list[object] = []

        def view(request: Request) -> object:
            answers.append(cancel_on_disconnect(lambda _: page)(request))
            return answers[0]

        connect(Page(view)).get()
        self.assertIs(answers[0], page)


class TestDoubleTests(SynchronousTestCase):
    """Handlers can be tested with Twisted's own test double."""

    def test_completes(self) -> None:
        """A decorated handler serves a DummyRequest."""
        request, result = DummyRequest([]), Deferred[bytes]()
        cancel_on_disconnect(lambda _: result)(request)
        result.callback(b"page")
        self.assertEqual((request.written, request.finished), ([b"page"], 1))

    def test_completes_without_a_body(self) -> None:
        """A decorated handler whose Deferred comes to None finishes a DummyRequest."""
        request = DummyRequest([])
        cancel_on_disconnect(lambda _: succeed(None))(request)
        self.assertEqual((request.written, request.finished), ([], 1))

    def test_without_a_site(self) -> None:
        """Without a Site or a `clock` option, the clock of a scope is the global reactor."""
        clocks: list[object] = []

        @cancel_on_disconnect
        def handler(_: object) -> bytes:
            clocks.append(current_scope().clock)
            return b"page"

        self.assertEqual(handler(DummyRequest([])), b"page")
        self.assertEqual(clocks, [reactor])

    def test_is_cancelled(self) -> None:
        """A DummyRequest that fails counts as a client that has left: the work is stopped."""
        ran: list[str] = []
        outcomes: list[Outcome] = []
        request, result = DummyRequest([]), Deferred[bytes](lambda _: None)
        cancel_on_disconnect(
            clock=Clock(), on_cancel=lambda _: ran.append("hook"), observers=outcomes.append
        )(lambda _: result)(request)
        request.processingFailed(Failure(ConnectionDone()))
        self.assertTrue(result.called)
        self.assertEqual(ran, ["hook"])
        self.assertEqual([each.ended for each in outcomes], [Ended.STOPPED])
