"""How requests end whose client has left, and that were not cancelled.

What a disconnect may cancel is for `test_wrapper_policy`.
"""

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, LoopingCall
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import (
    CancellingResource,
    Disconnected,
    Ended,
    Outcome,
    access_log_499,
    current_scope,
)
from cancelweb.testing import Connection

from .._pages import Handler, Page
from .._visits import connect
from .._work import Errand


class UncancelledTestCase(SynchronousTestCase):
    """A single request to a wrapped handler."""

    def setUp(self) -> None:
        self.outcomes: list[Outcome] = []
        self.requests: list[Request] = []
        self.clock = Clock()

    def visit(self, handler: Handler, method: bytes = b"POST", **options: Any) -> Connection:
        """Send the request."""

        def render(request: Request) -> object:
            self.requests.append(request)
            return handler(request)

        options.setdefault("observers", self.outcomes.append)
        connection = connect(CancellingResource(Page(render), **options), self.clock)
        connection.request(method)
        return connection


class TrackedWorkTests(UncancelledTestCase):
    """When tracked work ends in a request that is not cancelled."""

    def ticking(self, request: Request) -> LoopingCall:
        """Something that goes on until it is stopped."""
        loop = LoopingCall(lambda: None)
        loop.clock = self.clock
        loop.start(1)
        self.loop = current_scope().track(loop)
        return loop

    def test_in_a_dry_run(self) -> None:
        """Tracked work in a dry run goes on after the response, and the scope does not wait."""
        ran: list[object] = []

        def handler(request: Request) -> int:
            self.ticking(request)
            self.clock.callLater(3, request.finish)
            return NOT_DONE_YET

        self.visit(handler, b"GET", dry_run=True, on_exit=ran.append, on_cancel=self.fail)
        self.clock.advance(3)
        self.assertTrue(self.loop.running)
        self.assertEqual(len(ran), 1)
        self.assertEqual((self.outcomes[0].cause, self.outcomes[0].leftovers), (None, 0))

    def test_when_the_returned_work_ends(self) -> None:
        """Tracked work of a spared request is stopped when the returned work has ended."""
        returned, tracked = Errand(), Errand()

        def handler(request: Request) -> Errand:
            current_scope().track(tracked)
            return returned

        self.visit(handler).disconnect()
        self.assertEqual(tracked.asked, [])
        returned.end(b"page")
        self.assertEqual((returned.asked, tracked.asked), ([], [""]))
        self.assertEqual(len(self.outcomes), 1)

    def test_tracked_work_behind_not_done_yet(self) -> None:
        """Tracked work of a spared request that returned NOT_DONE_YET runs to its end."""
        tracked = Errand()

        def handler(request: Request) -> int:
            current_scope().track(tracked)
            return NOT_DONE_YET

        self.visit(handler).disconnect()
        self.assertEqual((tracked.asked, len(self.outcomes)), ([], 0))
        tracked.end()
        self.assertEqual((tracked.asked, len(self.outcomes)), ([], 1))


class DeadStreamTests(UncancelledTestCase):
    """A stream that begins after its client has left."""

    def test_is_closed(self) -> None:
        """A stream that begins after its client has left is closed, and so is its scope."""
        closed: list[object] = []
        result: Deferred[Iterator[bytes]] = Deferred()

        class Chunks(Iterator[bytes]):
            def __next__(self) -> bytes:
                raise AssertionError("this is not read")

            def close(self) -> None:
                closed.append(self)

        self.visit(lambda _: result).disconnect()
        result.callback(Chunks())
        self.assertEqual((len(closed), len(self.outcomes)), (1, 1))


class TraceTests(UncancelledTestCase):
    """What reports a disconnect that did not cancel its request."""

    def test_outcome(self) -> None:
        """The outcome of a spared request names the disconnect."""
        self.visit(lambda _: NOT_DONE_YET).disconnect()
        outcome = self.outcomes[0]
        self.assertEqual((outcome.cause, outcome.ended), (None, Ended.LET_GO))
        self.assertIsInstance(outcome.would_have_cancelled, Disconnected)

    def test_access_log(self) -> None:
        """The hook `access_log_499` writes a line for a spared request, as an `on_exit` hook."""
        logged: list[int] = []
        connection = self.visit(lambda _: NOT_DONE_YET, on_exit=access_log_499)
        site: Any = connection.client.site
        site.log = lambda request: logged.append(request.code)
        connection.disconnect()
        self.assertEqual(logged, [499])
