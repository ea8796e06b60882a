"""Which failure is a cancellation, whose it is, and what it leaves behind.

What belongs here: Deferreds and coroutines that are cancelled, in every disguise. What does
not: work that resists, and how each kind is asked to stop.
"""

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    FailureGroup,
    fail,
    gatherResults,
    race,
)
from twisted.internet.error import ConnectingCancelledError
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed, ResponseFailed, ResponseNeverReceived
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.template import Element, TagLoader, renderer, tags

from cancelweb import Disconnected, Ended, scope_of

from .._cycles import no_cycles
from .._logs import log_events, of_cancelweb
from .._pages import PAGE
from .._visits import VisitTestCase, connect


def failing_with(error: Exception) -> Deferred[Any]:
    """Work that fails with this error when it is cancelled."""
    return Deferred(lambda deferred: deferred.errback(error))


class DisguiseTests(VisitTestCase):
    """A cancellation by the scope is not logged, whatever failure it comes back in."""

    def assert_stopped(self, begin: Callable[[], object]) -> None:
        """The returned work is stopped when its client leaves, and nothing is logged."""
        events = log_events(self)
        self.visit(lambda _: begin()).disconnect()
        gc.collect()
        self.assertEqual(self.outcome.ended, Ended.STOPPED)
        self.assertIs(self.outcome.failure, None)
        self.assertEqual(of_cancelweb(events), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_gather_results(self) -> None:
        """A cancellation inside the FirstError of `gatherResults` counts as stopped."""
        self.assert_stopped(
            lambda: gatherResults([Deferred[None](), Deferred()], consumeErrors=True)
        )

    def test_deferred_list(self) -> None:
        """A cancellation inside the FirstError of nested DeferredLists counts as stopped."""
        both: Any = partial(DeferredList, fireOnOneErrback=True, consumeErrors=True)
        self.assert_stopped(lambda: both([both([Deferred()])]))

    def test_race(self) -> None:
        """The FailureGroup of a `race` whose members were all cancelled counts as stopped."""
        self.assert_stopped(lambda: race([Deferred[None](), Deferred()]))

    def test_lost_race(self) -> None:
        """A cancelled `race` counts as failed if a member has failed with a real error."""
        self.visit(lambda _: race([fail(KeyError()), Deferred[None]()])).disconnect()
        self.assertEqual(self.outcome.ended, Ended.FAILED)
        self.logged_error(FailureGroup)

    def test_connecting(self) -> None:
        """The ConnectingCancelledError of an endpoint counts as stopped."""
        here = IPv4Address("TCP", "127.0.0.1", 80)
        self.assert_stopped(lambda: failing_with(ConnectingCancelledError(here)))

    def test_agent(self) -> None:
        """A cancellation inside each of the three errors of Twisted's `Agent` counts as stopped."""
        for error in [RequestGenerationFailed, ResponseFailed, ResponseNeverReceived]:
            self.outcomes.clear()
            self.assert_stopped(partial(failing_with, error([Failure(CancelledError())])))

    def test_template(self) -> None:
        """A cancellation inside the FlattenerError of a template is stopped, and not logged."""

        # Twisted also keeps the failure in the Deferred that the renderer returned, where no code
        # can handle it (``twisted.web._flatten._fork``); no error may be logged for that either.
        class Report(Element):
            loader = TagLoader(tags.p(render="row"))

            @renderer
            def row(self, request: object, tag: object) -> Deferred[str]:
                return Deferred()

        self.visit(lambda _: Report()).disconnect()
        gc.collect()
        self.assertEqual(self.outcome.ended, Ended.STOPPED)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_exception_group(self) -> None:
        """An exception group that holds only cancellations counts as stopped."""

        async def work() -> None:
            try:
                await Deferred[None]()
            except CancelledError as error:
                raise ExceptionGroup("both", [error, CancelledError()]) from None

        self.assert_stopped(work)

    def test_mixed_exception_group(self) -> None:
        """A group with both a cancellation and a real error counts as failed, and is logged."""

        async def work(_: Request) -> None:
            try:
                await Deferred[None]()
            except CancelledError as error:
                raise ExceptionGroup("both", [error, KeyError()]) from None

        self.visit(work).disconnect()
        self.assertEqual(self.outcome.ended, Ended.FAILED)
        self.logged_error(ExceptionGroup)


class ForeignCancellationTests(VisitTestCase):
    """A cancellation that the scope has not ordered is an error like any other."""

    def test_is_answered(self) -> None:
        """Work that its owner cancels is answered 500 and logged in the next turn."""
        work: Deferred[bytes] = Deferred()
        connection = self.visit(lambda _: work)
        work.cancel()
        self.assertEqual(connection.received, b"")
        self.clock.advance(0)
        self.assert_failed(connection, CancelledError)
        self.assertEqual(self.outcome.ended, Ended.FAILED)

    def test_answered_in_the_same_turn(self) -> None:
        """Work that its owner cancels is not an error if the response finishes in the same turn."""
        requests: list[Any] = []
        work: Deferred[bytes] = Deferred()

        def handler(request: Any) -> object:
            requests.append(request)
            return work

        connection = self.visit(handler)
        work.cancel()
        requests[0].write(PAGE)
        requests[0].finish()
        self.clock.advance(0)
        self.assertEqual(connection.response.body, PAGE)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)

    def test_client_leaves_in_the_same_turn(self) -> None:
        """Work that its owner cancels is not an error if the client leaves in the same turn."""
        work: Deferred[bytes] = Deferred()
        connection = self.visit(lambda _: work)
        work.cancel()
        connection.disconnect()
        self.clock.advance(0)
        self.assertIsInstance(self.outcome.cause, Disconnected)
        self.assertEqual(connection.received, b"")

    def test_before_the_handler_returned(self) -> None:
        """A handler that returns a Deferred which was cancelled already is answered 500 at once."""
        work: Deferred[bytes] = Deferred()
        work.cancel()
        self.assert_failed(self.visit(lambda _: work), CancelledError)


class LeftoverTests(VisitTestCase):
    """Abandoned work leaves nothing to the cycle collector."""

    def test_deep_coroutine(self) -> None:
        """An abandoned coroutine that was cancelled through many frames leaves no cycle."""

        async def inner(depth: int) -> None:
            if depth:
                await inner(depth - 1)
            else:
                await Deferred[None]()

        async def handler(_: Request) -> None:
            await inner(10)

        gc.disable()
        self.addCleanup(gc.enable)
        first = self.visit(handler)
        second = connect(first.client.site, self.clock)
        first.disconnect()
        gc.collect()
        second.get()
        second.disconnect()
        self.assertEqual(gc.collect(), 0)

    def test_answer_later(self) -> None:
        """An abandoned request with NOT_DONE_YET and tracked work leaves no cycle."""
        stopped: list[object] = []

        def handler(request: Request) -> int:
            scope_of(request).track(Deferred[None](lambda _: stopped.append(1)))
            return NOT_DONE_YET

        with no_cycles(self):
            self.visit(handler).disconnect()
        self.assertEqual(stopped, [1])

    def test_owner_sees_the_cancellation(self) -> None:
        """An errback that is added to tracked work after its cancel gets the CancelledError."""
        work: Deferred[None] = Deferred()

        def handler(request: Request) -> int:
            scope_of(request).track(work)
            return NOT_DONE_YET

        seen: list[Failure] = []
        connection = self.visit(handler, on_cancel=lambda _: work.addErrback(seen.append))
        connection.disconnect()
        self.assertIsInstance(seen[0].value, CancelledError)
