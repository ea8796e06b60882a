"""A cleanup hook that waits for work which its scope has stopped: no error for the log.

What belongs here: what a hook ends with. What does not: when it is run (`scopes.test_hooks`), and
hooks that fail for reasons of their own (`scopes.test_hooks_isolation`).
"""

from collections.abc import Callable, Generator
from typing import Any

from twisted.internet.defer import CancelledError, inlineCallbacks
from twisted.logger import formatEvent
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Ended, Scope, current_scope

from .._logs import log_events, of_cancelweb
from ._own_cancels import OwnCancelTestCase, Wait, wait

Hook = Callable[[Scope], object]


class OwnCancelInAHookIsNoErrorTests(OwnCancelTestCase):
    """A hook that waits for tracked work is told about its cancel, and may end with it."""

    def setUp(self) -> None:
        super().setUp()
        self.work = wait()

    def handler(self, _: Request) -> int:
        """Track the work, and other work that takes a second to stop."""
        scope = current_scope()
        scope.track(self.work)
        scope.track(self.slowly())
        self.scope = scope
        return NOT_DONE_YET

    def hooks(self) -> list[Hook]:
        """Hooks that wait for the work: a coroutine, a generator, and one that returns it."""

        async def awaiting(_: Scope) -> None:
            await self.work

        @inlineCallbacks
        def yielding(_: Scope) -> Generator[Wait, Any, None]:
            yield self.work

        return [awaiting, yielding, lambda _: self.work]

    def test_added_after_the_cancel(self) -> None:
        """A hook that is added after the cancel and waits for the work logs no error."""
        for hook in self.hooks():
            self.outcomes.clear()
            self.work = wait()
            connection = self.visit(self.handler)
            connection.disconnect()
            self.scope.on_cancel(hook)
            self.clock.advance(1)
            self.assertEqual(self.outcome.ended, Ended.STOPPED)
            self.assertEqual(self.flushLoggedErrors(), [])

    def test_added_before(self) -> None:
        """A hook that ends with the stopped work is logged with that fact, and not as an error."""
        events = log_events(self)
        for hook in self.hooks():
            self.outcomes.clear()
            self.work = wait()
            self.visit(self.handler, on_exit=hook).disconnect()
            self.clock.advance(1)
            self.assertEqual(self.outcome.ended, Ended.STOPPED)
        self.assertEqual(self.flushLoggedErrors(), [])
        lines = [formatEvent(event) for event in of_cancelweb(events)]
        self.assertRegex(
            lines[0],
            "^cleanup hook .*awaiting ended, because the work that it waited for was stopped$",
        )

    def test_leftover_work(self) -> None:
        """A hook that waits for leftover work, stopped with the response, logs no error."""

        def handler(_: Request) -> bytes:
            current_scope().track(self.work)
            return b"page"

        for hook in self.hooks():
            self.outcomes.clear()
            self.work = wait()
            self.visit(handler, on_exit=hook)
            self.assertEqual(self.outcome.ended, Ended.COMPLETED)
            self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_real_error(self) -> None:
        """A hook that turns the cancellation of its work into another error is logged."""

        async def hook(_: Scope) -> None:
            try:
                await self.work
            finally:
                raise KeyError

        self.visit(self.handler, on_cancel=hook).disconnect()
        self.clock.advance(1)
        self.logged_error(KeyError)

    def test_a_cancellation_that_is_not_ours(self) -> None:
        """A hook that raises a CancelledError in a scope that was not cancelled is logged."""

        async def hook(_: Scope) -> None:
            raise CancelledError

        self.visit(lambda _: b"page", on_exit=hook)
        self.logged_error(CancelledError)
