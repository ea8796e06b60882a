"""Handlers that return no work, and only listen to `notifyFinish`.

Work that is returned or tracked is for the modules of each kind.
"""

import gc
from typing import Any

from klein import Klein
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource, ScopeCancelled, TimedOut

from .._pages import Page
from .._visits import Visit, connect


class DeadlineTests(SynchronousTestCase):
    """A deadline stops what a disconnect would have stopped."""

    def setUp(self) -> None:
        self.clock: Any = Clock()

    def test_the_tutorials_recipe(self) -> None:
        """A deadline fails a handler's `notifyFinish`, whose errback cancels the handler's call."""
        calls: list[Any] = []
        told: list[Any] = []

        def failed(error: Any, call: Any) -> None:
            told.append(error)
            call.cancel()

        def handler(request: Request) -> int:
            calls.append(self.clock.callLater(10, request.finish))
            request.notifyFinish().addErrback(failed, calls[0])
            return NOT_DONE_YET

        connection = connect(CancellingResource(Page(handler), timeout=3), self.clock)
        connection.get()
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 503)
        self.assertFalse(calls[0].active())
        self.assertIsInstance(told[0].value, ScopeCancelled)
        self.assertEqual(told[0].value.cause, TimedOut(3))

    def test_a_klein_view(self) -> None:
        """A deadline cancels a Klein view at its `await`."""
        app, steps = Klein(), list[str]()

        @app.route("/")
        async def view(request: Request) -> bytes:
            try:
                await deferLater(self.clock, 10)
                steps.append("done")
            finally:
                steps.append("over")
            return b"page"

        connection = connect(CancellingResource(app.resource(), timeout=3), self.clock)
        connection.get()
        self.clock.advance(3)
        self.assertEqual((connection.response.code, steps), (503, ["over"]))

    def test_a_handler_without_an_errback(self) -> None:
        """A deadline causes no unhandled error in a `notifyFinish` without an errback."""

        def handler(request: Request) -> int:
            request.notifyFinish().addCallback(self.fail)
            return NOT_DONE_YET

        Visit(handler, timeout=3).clock.advance(3)
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_handler_that_answers(self) -> None:
        """An errback of `notifyFinish` that finishes the request at a deadline has answered it."""

        def handler(request: Request) -> int:
            request.notifyFinish().addErrback(lambda _: request.finish())
            return NOT_DONE_YET

        visit = Visit(handler, timeout=3)
        visit.clock.advance(3)
        self.assertEqual(visit.response.code, 200)
