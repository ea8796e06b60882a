"""Responses that the server breaks off, because what makes them has failed after the first write.

What belongs here: that nothing is taken for the client leaving, and that each failure is one error.
What does not: the answer to a failure before the first write, which `test_results_wrong` has.
"""

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

from attrs import define
from h2.errors import ErrorCodes
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel
from twisted.python.filepath import FilePath
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request, Site

from cancelweb import (
    CancellingResource,
    Ended,
    Outcome,
    Scope,
    TimedOut,
    access_log_499,
    cancel_on_disconnect,
    current_scope,
)
from cancelweb.monitor import Monitor

from .._logs import log_events
from .._pages import Handler, Page
from .._visits import Visit, connect, response_of
from ._multiplexed import HTTP2TestCase


class Kinds:
    """Handlers of each kind, which write and then fail."""

    def __init__(self) -> None:
        self.gate: Deferred[None] = Deferred()

    def all(self) -> list[Callable[[Any], object]]:
        """Each kind once."""
        late = [self.deferred, self.coroutine, self.generator_of_deferreds, self.stream]
        return [*late, self.plain, self.iterator]

    def deferred(self, request: Request) -> Deferred[Any]:
        """A Deferred."""
        request.write(b"begun")
        return self.gate.addCallback(self.fail)

    def fail(self, _: object) -> None:
        """The failure."""
        raise ValueError("by design")

    async def coroutine(self, request: Request) -> None:
        """A coroutine."""
        request.write(b"begun")
        await self.gate
        self.fail(None)

    @inlineCallbacks
    def generator_of_deferreds(self, request: Request) -> Generator[Deferred[Any], Any, None]:
        """An ``inlineCallbacks`` function."""
        request.write(b"begun")
        yield self.gate
        self.fail(None)

    async def stream(self, request: Request) -> AsyncIterator[bytes]:
        """An async generator."""
        yield b"begun"
        await self.gate
        self.fail(None)

    def plain(self, request: Request) -> bytes:
        """A plain function."""
        request.write(b"begun")
        raise ValueError("by design")

    def iterator(self, request: Request) -> Iterator[bytes]:
        """A generator."""
        yield b"begun"
        self.fail(None)


@define(eq=False)
class Finishing:
    """A producer that finishes the response when it is stopped."""

    request: Request

    def resumeProducing(self) -> None:
        """See `IPushProducer`."""

    def stopProducing(self) -> None:
        """See `IPushProducer`."""
        self.request.finish()


class FailureIsNoCancelTests(SynchronousTestCase):
    """A failure after the first write is a failure: no client has left, nothing is cancelled."""

    def setUp(self) -> None:
        """Note what the hooks see."""
        self.cancelled: list[Scope] = []
        self.exited: list[object] = []

    def visit(self, handler: Callable[[Any], object], **options: Any) -> Visit:
        """Ask for a page that fails."""
        options.setdefault("on_exit", lambda scope: self.exited.append(scope.cause))
        return Visit(handler, on_cancel=self.cancelled.append, **options)

    def assert_failed(self, visit: Visit) -> None:
        """The response is broken off, and the outcome reports a failure and nothing else."""
        for _ in range(4):
            visit.clock.advance(0)
        self.assertTrue(visit.is_aborted)
        outcome = visit.outcome
        self.assertEqual(
            (outcome.ended, outcome.cause, outcome.cancelled), (Ended.FAILED, None, None)
        )
        self.assertIsNone(outcome.would_have_cancelled)
        self.assertIsNotNone(outcome.failure and outcome.failure.check(ValueError))
        self.assertEqual((self.cancelled, self.exited), ([], [None]))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.exited.clear()

    def test_each_kind_of_handler(self) -> None:
        """A handler of any kind that fails after a write counts as failed, not as cancelled."""
        for number in range(len(Kinds().all())):
            kinds = Kinds()
            visit = self.visit(kinds.all()[number])
            visit.clock.advance(0)
            kinds.gate.callback(None)
            self.assert_failed(visit)

    def test_in_a_dry_run_and_for_any_method(self) -> None:
        """Where a disconnect cancels nothing, a failure is not a cancel that would have been."""
        for options in ({"dry_run": True}, {"methods": ()}):
            kinds, outcomes = Kinds(), list[Any]()
            wrapped = CancellingResource(
                Page(kinds.coroutine), observers=outcomes.append, **options
            )
            connection = connect(wrapped)
            connection.get()
            kinds.gate.callback(None)
            connection.client.clock.advance(0)
            self.assertTrue(connection.is_aborted)
            [outcome] = outcomes
            self.assertEqual((outcome.ended, outcome.cause), (Ended.FAILED, None))
            self.assertIsNone(outcome.would_have_cancelled)
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_tracked_work(self) -> None:
        """Tracked work that still runs when the handler fails is stopped, as leftover work."""
        stopped: list[object] = []
        kinds = Kinds()

        def handler(request: Request) -> object:
            current_scope().track(Deferred(stopped.append))
            return kinds.coroutine(request)

        visit = self.visit(handler)
        self.assertEqual(stopped, [])
        kinds.gate.callback(None)
        self.assertEqual(len(stopped), 1)
        for _ in range(2):
            visit.clock.advance(0)
        self.assertEqual(self.cancelled, [])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_what_an_entry_point_outside_returned(self) -> None:
        """Where entry points meet and the inner one fails, the work of the outer one is stopped."""
        for fails_at_once in (True, False):
            stopped: list[object] = []
            kinds = Kinds()
            inner = cancel_on_disconnect(kinds.plain if fails_at_once else kinds.coroutine)

            def outer(request: Request, inner: Any = inner, stopped: Any = stopped) -> object:
                self.assertIs(inner(request), NOT_DONE_YET)
                return Deferred(stopped.append)

            visit = self.visit(outer)
            if not fails_at_once:
                kinds.gate.callback(None)
            visit.clock.advance(0)
            self.assertEqual(len(stopped), 1)
            self.assertEqual(self.cancelled, [])
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_what_is_written_from_then_on(self) -> None:
        """What is written after a response is broken off is not sent, whatever code writes it."""
        kinds = Kinds()
        inner = cancel_on_disconnect(kinds.plain)

        def outer(request: Request) -> bytes:
            inner(request)
            request.write(b"more")
            return b"the rest"

        visit = self.visit(outer)
        self.assertEqual(visit.response.body, b"begun")
        self.assert_failed(visit)

    def test_a_producer_that_finishes_when_it_is_stopped(self) -> None:
        """A producer that finishes the response when stopped cannot make half of it look whole."""

        def handler(request: Request) -> Deferred[None]:
            request.write(b"half")
            request.registerProducer(Finishing(request), True)
            return gate

        for fails in (True, False):
            gate: Deferred[None] = Deferred(lambda _: None)
            clock = Clock()
            connection = connect(CancellingResource(Page(handler), total_timeout=2), clock)
            connection.get()
            if fails:
                gate.errback(ValueError("by design"))
            clock.advance(2)
            self.assertIn(b"half", connection.received)
            self.assertNotIn(b"0\r\n\r\n", connection.received)
            self.assertTrue(connection.is_aborted)
        self.flushLoggedErrors(ValueError)

    def test_totals(self) -> None:
        """A monitor counts a failure, and no cancel."""
        kinds, monitor = Kinds(), Monitor()
        connection = connect(CancellingResource(Page(kinds.stream), monitor=monitor))
        connection.get()
        kinds.gate.callback(None)
        for _ in range(3):
            connection.client.clock.advance(0)
        self.assertEqual(dict(monitor.totals), {("none", "failed"): 1})
        self.assertEqual(dict(monitor.would_have_cancelled), {})
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_access_log(self) -> None:
        """The access log has no 499 for a handler that fails: its client has not left."""
        log = FilePath(self.mktemp())
        log.touch()
        page = Page(cancel_on_disconnect(on_exit=access_log_499)(Kinds().plain))
        connection = connect(Page(lambda _: b""))
        site = Site(page, logPath=log.path, reactor=connection.client.clock)
        site.startFactory()
        self.addCleanup(site.stopFactory)
        connection = connect(site, connection.client.clock)
        connection.get()
        connection.client.clock.advance(0)
        self.assertTrue(connection.is_closed)
        self.assertEqual(log.getContent(), b"")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_access_log_behind_a_limit(self) -> None:
        """The access log has no 499 either where a limit was only noted before the failure."""
        for method, dry_run in ((b"GET", True), (b"POST", False)):
            kinds, logged, outcomes = Kinds(), list[Request](), list[Outcome]()
            connection = connect(
                CancellingResource(
                    Page(kinds.stream),
                    total_timeout=1,
                    on_exit=access_log_499,
                    observers=outcomes.append,
                    dry_run=dry_run,
                )
            )
            site: Any = connection.client.site
            site.log = logged.append
            connection.request(method)
            connection.client.clock.advance(1)
            kinds.gate.callback(None)
            for _ in range(3):
                connection.client.clock.advance(0)
            [outcome] = outcomes
            self.assertEqual(outcome.would_have_cancelled, TimedOut(1, "total_timeout"))
            self.assertTrue(connection.is_aborted)
            self.assertEqual((outcome.status, logged), (200, []))
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_deadline_is_over(self) -> None:
        """After the failure, no deadline cancels the request before its connection is lost."""
        visit = self.visit(Kinds().plain, timeout=1)
        self.assertEqual(visit.clock.getDelayedCalls()[0].getTime(), 0)
        visit.clock.advance(2)
        self.assert_failed(visit)


class OneErrorTests(SynchronousTestCase):
    """A handler that fails is one error event, its traceback."""

    def errors_of(self, handler: Handler, fire: Deferred[None]) -> list[LogEvent]:
        """What is logged at a higher level than info, by default."""
        events = log_events(self)
        connection = connect(Page(cancel_on_disconnect(handler)))
        connection.get()
        connection.client.clock.advance(0)
        fire.callback(None)
        for _ in range(4):
            connection.client.clock.advance(0)
        return [each for each in events if each["log_level"] > LogLevel.info]

    def test_each_kind_of_handler(self) -> None:
        """A failing handler logs one error, whatever its kind, with or without a write before."""
        for number in range(len(Kinds().all())):
            for writes in (True, False):
                kinds = Kinds()
                handler = kinds.all()[number]

                def silent(request: Any, handler: Any = handler, writes: bool = writes) -> object:
                    if not writes:
                        self.patch(request, "write", lambda _: None)
                    return handler(request)

                [event] = self.errors_of(silent, kinds.gate)
                self.assertIn("log_failure", event)
                self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class OverHTTP2Tests(HTTP2TestCase):
    """Streams of HTTP/2 whose handlers fail after the first write."""

    def test_failed(self) -> None:
        """A stream whose handler fails counts as failed, not cancelled; its sibling completes."""
        kinds = Kinds()

        def handler(request: Request) -> object:
            return kinds.stream(request) if request.path == b"/1" else self.work(request)

        self.connect(handler)
        failing, sibling = self.get(b"/1"), self.get(b"/2")
        kinds.gate.callback(None)
        self.settle()
        self.works[b"/2"].callback(b"page")
        self.settle()
        self.assertFalse(response_of(failing).is_complete)
        self.assertTrue(response_of(sibling).is_complete)
        self.assertEqual(failing.error_code, ErrorCodes.INTERNAL_ERROR)
        self.assertEqual([each.ended for each in self.outcomes], [Ended.FAILED, Ended.COMPLETED])
        self.assertEqual([each.cause for each in self.outcomes], [None, None])
        self.logged_error(ValueError)
