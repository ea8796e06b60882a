"""What an outcome says about the response and the handler, and what users add to it.

What belongs here: `status`, `sent`, `handler` and `notes`. What does not: how a request ended.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import NOT_DONE_YET, GzipEncoderFactory, Request
from twisted.web.xmlrpc import XMLRPC

from cancelweb import CancellingResource, Cause, Outcome, cancel_on_disconnect, current_scope
from cancelweb.monitor import Monitor

from .._logs import log_events, of_cancelweb
from .._pages import Page, raising, returning, waiting
from .._visits import Visit, connect


async def created(request: Request) -> bytes:
    """A handler that sets a status of its own, and answers later."""
    request.setResponseCode(201)
    await step
    return b"page"


def _page(_: Request) -> bytes:
    return b"page"


step: Deferred[None] = Deferred()


class ResponseTests(SynchronousTestCase):
    """Promise 12: an outcome tells the status and the bytes of the response."""

    def answer(self, visit: Visit) -> tuple[int | None, int]:
        """The status and the number of bytes that the outcome of a visit tells."""
        return visit.outcome.status, visit.outcome.sent

    def test_bytes(self) -> None:
        """If a handler returns bytes, the outcome tells the status and length of the response."""

        def handler(request: Request) -> bytes:
            request.setResponseCode(201)
            return b"page"

        visit = Visit(handler)
        self.assertEqual((self.answer(visit), visit.response.code), ((201, 4), 201))

    def test_bytes_with_a_hook(self) -> None:
        """The outcome tells the status and length of returned bytes even if a hook runs first."""
        self.assertEqual(self.answer(Visit(returning(b"page"), on_exit=lambda _: None)), (200, 4))

    def test_no_body(self) -> None:
        """No bytes are counted for a response without a body, such as a 304 or that to a HEAD."""

        def handler(request: Request) -> bytes:
            request.setResponseCode(304)
            return b"page"

        self.assertEqual(self.answer(Visit(handler)), (304, 0))
        self.assertEqual(self.answer(Visit(returning(b"page"), method=b"HEAD")), (200, 0))

    def test_later(self) -> None:
        """The outcome of a coroutine tells the status that it set and the bytes it returned."""
        global step
        step = Deferred()
        visit = Visit(created)
        step.callback(None)
        self.assertEqual(self.answer(visit), (201, 4))

    def test_written_by_the_handler(self) -> None:
        """The outcome tells the status and bytes of a response that the handler writes itself."""

        def handler(request: Request) -> int:
            request.write(b"pa")
            request.write(b"ge")
            request.finish()
            return NOT_DONE_YET

        self.assertEqual(self.answer(Visit(handler)), (200, 4))

    def test_error(self) -> None:
        """If a handler raises, the outcome has status 500, and no bytes of Twisted's error page."""
        self.assertEqual(self.answer(Visit(raising)), (500, 0))
        self.flushLoggedErrors(ValueError)

    def test_unsupported_method(self) -> None:
        """A method that the resource lacks has status 405 in the outcome, an unknown method 501."""
        outcomes: list[Outcome] = []

        class Page(Resource):
            isLeaf = True

            def render_GET(self, _: Request) -> bytes:
                return b""

        connection = connect(CancellingResource(Page(), observers=outcomes.append))
        connection.request(method=b"POST")
        connection.request(method=b"BREW")
        self.assertEqual([each.status for each in outcomes], [405, 501])

    def test_compressed(self) -> None:
        """A result that is there at once counts uncompressed; one that comes later, compressed."""
        body, outcomes = bytes(10_000), list[Outcome]()
        ready: Deferred[None] = Deferred()

        async def later(_: Request) -> bytes:
            await ready
            return body

        for handler in (returning(body), later):
            page = CancellingResource(Page(handler), observers=outcomes.append)
            connection = connect(EncodingResourceWrapper(page, [GzipEncoderFactory()]))
            connection.get(headers={b"Accept-Encoding": b"gzip"})
        ready.callback(None)
        at_once, late = outcomes
        self.assertEqual(at_once.sent, len(body))
        self.assertLess(late.sent, 1000)

    def test_nothing_was_sent(self) -> None:
        """The outcome has no status and no bytes if the client left before anything was sent."""
        visit = Visit(waiting)
        visit.disconnect()
        self.assertEqual(self.answer(visit), (None, 0))

    def test_bytes_for_a_client_that_has_left(self) -> None:
        """The outcome has no status and no bytes if the client left during the handler's call."""

        def handler(request: Any) -> bytes:
            request.transport.loseConnection()
            visit.disconnect()
            return b"page"

        visit = Visit.__new__(Visit)
        Visit.__init__(visit, handler)
        self.assertEqual(self.answer(visit), (None, 0))

    def test_in_the_middle(self) -> None:
        """The outcome counts the bytes that a stream had written when its client left."""

        async def handler(_: Request) -> AsyncIterator[bytes]:
            yield b"first"
            await Deferred(lambda _: None)

        visit = Visit(handler)
        visit.disconnect()
        self.assertEqual(self.answer(visit), (200, 5))

    def test_deadline(self) -> None:
        """The outcome of a request that timed out tells the status and length of the error page."""
        visit = Visit(waiting, timeout=1)
        visit.clock.advance(1)
        status, sent = self.answer(visit)
        self.assertEqual((status, sent), (503, len(visit.response.body)))

    def test_turned_away(self) -> None:
        """The outcome of a request turned away tells the status and length of the error page."""
        outcomes: list[Outcome] = []
        monitor = Monitor()
        connection = connect(
            CancellingResource(Page(waiting), monitor=monitor, observers=outcomes.append)
        )
        monitor.drain(0)
        connection.get()
        [outcome], response = outcomes, connection.response
        self.assertEqual((outcome.status, outcome.sent), (503, len(response.body)))

    def test_turned_away_with_a_page_of_the_site(self) -> None:
        """The outcome of a request turned away tells what `error_page` sent, whole or in part."""

        def own(request: Any, _: Cause) -> bytes:
            request.setResponseCode(429)
            return b"own"

        def half(request: Any, _: Cause) -> bytes:
            request.write(b"half")
            raise ValueError

        for page, answered in ((own, (429, 3)), (half, (503, 4))):
            outcomes: list[Outcome] = []
            monitor = Monitor()
            monitor.drain(0)
            root = CancellingResource(
                Page(waiting), monitor=monitor, error_page=page, observers=outcomes.append
            )
            connect(root).get()
            self.assertEqual([(each.status, each.sent) for each in outcomes], [answered])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class HandlerTests(SynchronousTestCase):
    """An outcome names the handler."""

    def test_decorated(self) -> None:
        """The outcome names a decorated method, with its module and class."""
        visit = Visit(returning(b"page"))
        self.assertEqual(visit.outcome.handler, "tests._visits.Visit._handle")

    def test_function(self) -> None:
        """The outcome names a decorated function, with its module."""
        outcomes: list[Outcome] = []
        decorate = cancel_on_disconnect(observers=outcomes.append)
        connect(Page(decorate(waiting))).get()
        connection = connect(Page(decorate(raising)))
        connection.get()
        self.assertEqual(outcomes[0].handler, "tests._pages.raising")
        self.flushLoggedErrors(ValueError)

    def test_wrapped(self) -> None:
        """The outcome names the class of a wrapped resource, and its `render`."""
        outcomes: list[Outcome] = []
        page = Page(returning(b"page"))
        connect(CancellingResource(page, observers=outcomes.append)).get()
        self.assertEqual(outcomes[0].handler, "tests._pages.Page.render")

    def test_without_a_name(self) -> None:
        """The outcome shows the repr of a handler that has no name."""
        page, outcomes = partial(_page), list[Outcome]()
        connect(Page(cancel_on_disconnect(observers=outcomes.append)(page))).get()
        self.assertEqual(outcomes[0].handler, repr(page))

    def test_of_procedures(self) -> None:
        """The outcome names a wrapped XML-RPC resource's own class, not the class of `render`."""

        class Calls(XMLRPC):
            isLeaf = True

        outcomes: list[Outcome] = []
        connect(CancellingResource(Calls(), observers=outcomes.append)).request(b"POST", body=b"x")
        self.assertEqual(outcomes[0].handler, f"{__name__}.{Calls.__qualname__}.render")

    def test_innermost(self) -> None:
        """Where entry points meet, the outcome names the innermost handler."""
        outcomes: list[Outcome] = []

        class Decorated(Resource):
            isLeaf = True

            @cancel_on_disconnect
            def render_GET(self, _: Request) -> bytes:
                return b"page"

        for page, name in (
            (Decorated(), "Decorated.render_GET"),
            (Page(returning(b"")), "Page.render"),
        ):
            inside = CancellingResource(page)
            connect(CancellingResource(inside, observers=outcomes.append)).get()
            told = str(outcomes.pop().handler)
            self.assertEqual(told.rpartition("<locals>.")[2].rpartition("_pages.")[2], name)

    def test_class_method(self) -> None:
        """The outcome names a decorated class method, with its class."""

        class Pages:
            @classmethod
            def front(cls, _: Request) -> bytes:
                return b"page"

        outcomes: list[Outcome] = []
        page = cancel_on_disconnect(observers=outcomes.append)(Pages.front)
        connect(Page(page)).get()
        self.assertTrue(str(outcomes[0].handler).endswith("<locals>.Pages.front"), outcomes)

    def test_of_a_script(self) -> None:
        """The outcome has only the name of a handler that has no module, as in a script."""
        names: dict[str, Any] = {}
        exec("def page(request): return b'page'", names)
        outcomes: list[Outcome] = []
        page = cancel_on_disconnect(observers=outcomes.append)(names["page"])
        connect(Page(page)).get()
        self.assertEqual(outcomes[0].handler, "page")

    def test_not_called(self) -> None:
        """The outcome names no handler if the request was turned away before one was called."""
        outcomes: list[Outcome] = []
        monitor = Monitor()
        monitor.drain(0)
        page = CancellingResource(Page(waiting), monitor=monitor, observers=outcomes.append)
        connect(page).get()
        self.assertIs(outcomes[0].handler, None)

    def test_hashable(self) -> None:
        """An outcome can be put into a set."""
        visit = Visit(returning(b"page"))
        self.assertEqual(len({visit.outcome, visit.outcome}), 1)


class NoteTests(SynchronousTestCase):
    """Users add facts with `Scope.note`."""

    def test_outcome(self) -> None:
        """The outcome has the notes of its scope, and the last value of each name."""

        def handler(_: Request) -> bytes:
            current_scope().note(user="ann", rows=1)
            current_scope().note(rows=2)
            return b"page"

        self.assertEqual(Visit(handler).outcome.notes, {"user": "ann", "rows": 2})

    def test_none(self) -> None:
        """The outcome has no notes if none were added."""
        self.assertEqual(Visit(returning(b"page")).outcome.notes, {})

    def test_in_hooks(self) -> None:
        """A hook can add a note to the outcome."""
        visit = Visit(waiting, on_cancel=lambda scope: scope.note(cleaned=True))
        visit.disconnect()
        self.assertEqual(visit.outcome.notes, {"cleaned": True})

    def test_later(self) -> None:
        """A note that is added to a closed scope is dropped without an error."""
        visit = Visit(returning(b"page"))
        visit.scope.note(user="ann")
        self.assertEqual(visit.outcome.notes, {})

    def test_log(self) -> None:
        """The event of the default log has the outcome's notes, status and bytes."""
        events = log_events(self)

        async def handler(_: Request) -> None:
            current_scope().note(user="ann")
            await Deferred(lambda _: None)

        connection = connect(CancellingResource(Page(handler)))
        connection.get()
        connection.disconnect()
        [event] = of_cancelweb(events)
        self.assertEqual(
            (event["notes"], event["status"], event["sent"]), ({"user": "ann"}, None, 0)
        )
