"""Limits of several entry points that meet on one request, and those that a handler sets itself.

What belongs here: which limit holds, from when it counts, and what `deadline` and `remaining` tell.
"""

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Cause, Scope, TimedOut, cancel_on_disconnect, current_scope, scope_of

from .._docs import LIMITS, run
from .._pages import PAGE, GetPage
from .._visits import VisitTestCase, connect
from ..http._nests import NESTS, NestTestCase

Options = dict[str, Any]


class InnermostWinsTests(NestTestCase):
    """Promise 7: the innermost `timeout` and `stall_timeout`, and the soonest `total_timeout`."""

    def begun(self, request: Request) -> Deferred[bytes]:
        """Write, and wait as the handler does."""
        request.write(b".")
        return self.handler(request)

    def assert_cut(self, outer: Options, inner: Options, cause: Cause, at: float) -> None:
        """In each nest, a handler that has written nothing is cut so."""
        for nest in NESTS:
            connection = self.ask(nest, self.handler, outer, inner)
            self.assertEqual(self.scopes[0].deadline, at)
            connection.client.clock.advance(at - 0.5)
            self.assertEqual(self.outcomes, [])
            connection.client.clock.advance(0.5)
            self.assertEqual([each.cause for each in self.outcomes], [cause])
            self.assertEqual(connection.client.clock.getDelayedCalls()[1:], [])

    def test_timeout(self) -> None:
        """A route may have a longer `timeout` than the site, or a shorter one."""
        self.assert_cut({"timeout": 2}, {"timeout": 5}, TimedOut(5), 5)
        self.assert_cut({"timeout": 5}, {"timeout": 2}, TimedOut(2), 2)

    def test_not_given(self) -> None:
        """The `timeout` of the site or of the route holds where the other has none."""
        self.assert_cut({"timeout": 2}, {}, TimedOut(2), 2)
        self.assert_cut({}, {"timeout": 2}, TimedOut(2), 2)

    def test_none(self) -> None:
        """A route may have no `timeout` and no `stall_timeout` at all."""
        for nest in NESTS:
            for name in ("timeout", "stall_timeout"):
                connection = self.ask(nest, self.begun, {name: 2}, {name: None})
                connection.pause(full=True)
                connection.client.clock.pump([2] * 10)
                self.assertFalse(connection.is_aborted)
                connection.disconnect()

    def test_stall_timeout(self) -> None:
        """The innermost `stall_timeout` holds."""
        for nest in NESTS:
            for outer, inner in ((2, 5), (9, 5), (None, 5)):
                both = [{"stall_timeout": each} for each in (outer, inner)]
                connection = self.ask(nest, self.begun, *both)
                connection.pause(full=True)
                connection.client.clock.pump([5, 5, 0])
                causes = [each.cause for each in self.outcomes]
                self.assertEqual(causes, [TimedOut(5, "stall_timeout")])

    def test_total_timeout(self) -> None:
        """Of several `total_timeout`s the soonest holds, and None adds none."""
        for outer, inner in ((2, 5), (5, 2), (2, None), (None, 2)):
            cause = TimedOut(2, "total_timeout")
            self.assert_cut({"total_timeout": outer}, {"total_timeout": inner}, cause, 2)

    def test_the_cap(self) -> None:
        """The site's `total_timeout` caps a route without `timeout`."""
        cause = TimedOut(9, "total_timeout")
        self.assert_cut({"timeout": 2, "total_timeout": 9}, {"timeout": None}, cause, 9)

    def test_counts_from_the_entry_point(self) -> None:
        """The limit of an entry point that is met late counts from that time."""

        def late(request: Request) -> int:
            inner: Any = cancel_on_disconnect(**options)(self.handler)
            connection.client.clock.callLater(3, inner, request)
            return NOT_DONE_YET

        options: Options
        for options in ({"timeout": 5}, {"total_timeout": 5}):
            connection = connect(
                NESTS[0](late, {"observers": self.outcomes.append, "timeout": 4}, {})
            )
            connection.get()
            connection.client.clock.advance(3)
            self.assertEqual(self.scopes[-1].deadline, 8 if "timeout" in options else 4)
            connection.disconnect()

    def test_clock(self) -> None:
        """Time that has passed on the outer clock has passed on that of an inner entry point."""
        clock = Clock()
        clock.advance(1000)

        def late(request: Request) -> int:
            inner: Any = cancel_on_disconnect(clock=clock)(self.handler)
            connection.client.clock.callLater(3, inner, request)
            return NOT_DONE_YET

        connection = connect(NESTS[0](late, {"timeout": 5}, {}))
        connection.get()
        connection.client.clock.advance(3)
        (scope,) = self.scopes
        self.assertEqual((scope.deadline, scope.remaining()), (1002, 2))
        connection.client.clock.advance(10)
        self.assertIsNone(scope.cause)
        clock.advance(2)
        self.assertEqual(scope.cause, TimedOut(5))


class HowToTests(SynchronousTestCase):
    """The program of the how-to does what the how-to says."""

    def test_route(self) -> None:
        """The report of the how-to has ten minutes, and its other pages have one."""
        never: Any = Deferred
        root = run(LIMITS.read_text())["root_of"](Resource(), never)
        root.putChild(b"page", GetPage(lambda _: NOT_DONE_YET))
        for path, seconds in ((b"/report", 600), (b"/page", 60)):
            connection = connect(root)
            connection.get(path=path)
            connection.client.clock.advance(seconds - 1)
            self.assertEqual(connection.received, b"")
            connection.client.clock.advance(1)
            self.assertEqual(connection.response.code, 503)


class RunTimeTests(VisitTestCase):
    """Promise 14: `scope.limit` sets `timeout` while the handler runs."""

    def setUp(self) -> None:
        super().setUp()
        self.scopes: list[Scope] = []

    def handler(self, seconds: float | None, request: Request) -> object:
        """Set a limit after two seconds."""
        self.scopes.append(current_scope())
        self.clock.callLater(2, self.scopes[0].limit, seconds)
        return Deferred()

    def test_more_or_less(self) -> None:
        """A limit that is set while the handler runs counts from the call, whatever held before."""
        for before in (None, 3, 60):
            for seconds in (1, 10):
                self.scopes.clear()
                start = self.clock.seconds()
                connection = self.visit(partial(self.handler, seconds), timeout=before)
                self.clock.advance(2)
                self.assertEqual(self.scopes[0].deadline, start + 2 + seconds)
                self.clock.advance(seconds)
                self.assertEqual(connection.response.code, 503)
                self.assertEqual(self.scopes[0].cause, TimedOut(seconds))

    def test_none(self) -> None:
        """`limit(None)` lifts `timeout`, and leaves `total_timeout`."""
        connection = self.visit(partial(self.handler, None), timeout=3, total_timeout=30)
        self.clock.advance(29)
        self.assertEqual(connection.received, b"")
        self.clock.advance(1)
        self.assertEqual(self.scopes[0].cause, TimedOut(30, "total_timeout"))

    def test_validates(self) -> None:
        """`limit` raises an error that names it for a wrong number of seconds."""
        connection = self.visit(partial(self.handler, None))
        wrong: Any
        for wrong, error in ((0, ValueError), (float("nan"), ValueError), ("5", TypeError)):
            with self.assertRaisesRegex(error, r"^seconds must be .*, not "):
                self.scopes[0].limit(wrong)
        connection.disconnect()

    def test_too_late(self) -> None:
        """`limit` does nothing on a scope that has ended."""
        connection = self.visit(partial(self.handler, 5))
        connection.disconnect()
        self.clock.advance(60)
        self.assertEqual(self.scopes[0].remaining(), None)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_a_handler_that_answers_at_once(self) -> None:
        """A handler that sets a limit, and returns bytes, leaves no timer."""

        def handler(_: Request) -> bytes:
            current_scope().limit(5)
            return PAGE

        connection = self.visit(handler)
        connection.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(connection.response.body, PAGE)


class RemainingTests(VisitTestCase):
    """Promise 14: what `remaining` and `deadline` tell."""

    def scope(self, **options: Any) -> tuple[Scope, Any]:
        """The scope of a request that waits, and the request."""
        requests: list[Any] = []

        def handler(request: Request) -> object:
            requests.append(request)
            return Deferred()

        self.visit(handler, **options)
        return scope_of(requests[0]), requests[0]

    def test_before_the_response(self) -> None:
        """`remaining` tells the sooner of `timeout` and `total_timeout` before the response."""
        for timeout, total in ((5, 9), (9, 5), (5, None), (None, 5)):
            scope, _ = self.scope(timeout=timeout, total_timeout=total)
            self.assertEqual(scope.remaining(), 5)

    def test_once_it_has_begun(self) -> None:
        """`remaining` counts only `total_timeout` once the response has begun."""
        for total in (None, 9):
            scope, request = self.scope(timeout=5, total_timeout=total)
            self.clock.advance(1)
            request.write(b".")
            self.assertEqual(scope.remaining(), None if total is None else 8)
            request.finish()

    def test_stall_timeout(self) -> None:
        """`remaining` does not count `stall_timeout`."""
        scope, _ = self.scope(stall_timeout=5)
        self.assertIsNone(scope.remaining())

    def test_afterwards(self) -> None:
        """Once the scope is cancelled, the deadline stays, and 0 remains when it has passed."""
        scope, _ = self.scope(timeout=5)
        self.clock.advance(7)
        self.assertEqual((scope.deadline, scope.remaining()), (5, 0))

    def test_in_a_thread(self) -> None:
        """`remaining` may be called in any thread."""
        scope, _ = self.scope(timeout=5)
        pool = ThreadPool(1, 1)
        pool.start()
        told: list[object] = []
        pool.callInThreadWithCallback(lambda _, each: told.append(each), scope.remaining)
        pool.stop()
        self.assertEqual(told, [5])
