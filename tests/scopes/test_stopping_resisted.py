"""Work that stops late, or not at all, when it is asked to.

What belongs here: Deferreds and coroutines that clean up, or swallow their cancellation. What does
not: bad cancellers.
"""

import contextlib
from collections.abc import Generator
from functools import partial

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    inlineCallbacks,
)
from twisted.logger import LogLevel
from twisted.web.server import Request

from cancelweb import Disconnected, Ended, current_scope

from .._logs import log_events, of_cancelweb
from .._pages import PAGE, Handler
from .._visits import VisitTestCase


class ResistanceTests(VisitTestCase):
    """Work that does not stop when it is asked to."""

    def test_cleanup_is_not_cut(self) -> None:
        """A `finally` that waits is not cut, though the work that its code awaited was tracked."""
        steps: list[str] = []
        cleaned: Deferred[None] = Deferred(lambda _: steps.append("cut"))

        async def handler(_: Request) -> None:
            try:
                await current_scope().track(Deferred(lambda _: steps.append("stopped")))
            finally:
                await cleaned
                steps.append("cleaned")

        self.visit(handler).disconnect()
        self.assertEqual(steps, ["stopped"])
        self.assertEqual(self.outcomes, [])
        cleaned.callback(None)
        self.assertEqual(steps, ["stopped", "cleaned"])
        self.assertEqual(self.outcome.ended, Ended.STOPPED)

    def test_tracked_generator_is_not_cut(self) -> None:
        """A tracked `inlineCallbacks` generator that waits in its `finally` is not cut."""
        steps: list[str] = []
        cleaned: Deferred[None] = Deferred(lambda _: steps.append("cut"))

        @inlineCallbacks
        def inner() -> Generator[Deferred[None], None, None]:
            try:
                yield Deferred[None](lambda _: steps.append("stopped"))
            finally:
                yield cleaned

        async def handler(_: Request) -> None:
            await current_scope().track(inner())

        self.visit(handler).disconnect()
        self.assertEqual(steps, ["stopped"])
        cleaned.callback(None)
        self.assertEqual(self.outcome.ended, Ended.STOPPED)

    def test_swallowed(self) -> None:
        """A handler that swallows its cancellation and goes on is a survivor, and is logged."""
        events = log_events(self)
        rest: Deferred[bytes] = Deferred()

        async def handler(_: Request) -> bytes:
            with contextlib.suppress(Exception):
                await Deferred[None]()
            return await rest

        self.visit(handler).disconnect()
        self.clock.advance(4.9)
        self.assertEqual(self.outcomes, [])
        self.clock.advance(0.1)
        self.assertEqual(self.outcome.ended, Ended.SURVIVED)
        self.assertEqual(len(of_cancelweb(events, LogLevel.warn)), 1)
        self.assertFalse(rest.called)
        rest.callback(PAGE)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_survivor_fails(self) -> None:
        """The late failure of a survivor is logged, but not its late cancellation."""
        for error, logged in [(KeyError(), 1), (CancelledError(), 0)]:
            rest: Deferred[bytes] = Deferred()
            work = Deferred[bytes]().addErrback(lambda _, rest: rest, rest)
            handler: Handler = partial(lambda work, _: work, work)
            self.visit(handler, survivor_after=1).disconnect()
            self.clock.advance(1)
            rest.errback(error)
            self.assertEqual(len(self.flushLoggedErrors()), logged)

    def test_turned_into_a_page(self) -> None:
        """A handler that swallows its cancellation and returns has completed; nothing is sent."""

        async def handler(_: Request) -> bytes:
            with contextlib.suppress(CancelledError):
                await Deferred[None]()
            return PAGE

        connection = self.visit(handler)
        connection.disconnect()
        self.assertEqual(connection.received, b"")
        self.assertIsInstance(self.outcome.cause, Disconnected)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)

    def test_real_failure(self) -> None:
        """A failure in a handler's cleanup is logged; the outcome has it without its variables."""

        async def handler(_: Request) -> None:
            try:
                await Deferred[None]()
            finally:
                raise KeyError("by design")

        self.visit(handler).disconnect()
        self.assertEqual(self.outcome.ended, Ended.FAILED)
        self.logged_error(KeyError)
        failure = self.outcome.failure
        assert failure is not None
        self.assertIs(failure.type, KeyError)
        self.assertEqual([frame[3:] for frame in failure.frames if frame[3]], [])
