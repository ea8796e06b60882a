"""The end of a drain: hooks and detached work are waited for; in a dry run nothing is.

What belongs here: drains of requests in memory. What does not: what becomes of the requests
(`test_drain`).
"""

import asyncio
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import formatEvent
from twisted.web.server import Request

from cancelweb import Scope, current_scope, detach

from .._logs import log_events, of_cancelweb
from .._pages import returning, waiting
from .._work import Errand
from ..scopes._tracking import finish
from ._drains import DrainTestCase


class CleanupTests(DrainTestCase):
    """What a drain waits for when the requests have been cancelled."""

    def test_hooks(self) -> None:
        """A drain is over when the cleanup hooks of its cancelled requests have been run."""
        cleaned: Deferred[None] = Deferred()
        connection = self.connection(waiting, on_exit=lambda _: cleaned)
        connection.get()
        done = self.drain()
        self.advance(10, 5)
        self.assertEqual((connection.response.code, done), (503, []))
        cleaned.callback(None)
        self.advance(0)
        self.assertEqual(done, [None])

    def test_hooks_are_not_cut(self) -> None:
        """A drain whose time is over does not cancel what a cleanup hook tracks."""
        step: Deferred[None] = Deferred()

        async def hook(scope: Scope) -> None:
            await scope.track(step)

        connection = self.connection(waiting, on_exit=hook)
        connection.get()
        connection.disconnect()
        done = self.drain(5)
        self.advance(5, 4.5)
        self.assertEqual((step.called, done), (False, []))
        step.callback(None)
        self.advance(0)
        self.assertEqual(done, [None])
        self.assertEqual(self.monitor.totals, {("Disconnected", "stopped"): 1})

    def test_a_hook_that_hangs(self) -> None:
        """A drain waits for a hook that hangs until its ``cleanup_timeout`` is over."""
        self.connection(waiting, on_exit=lambda _: Deferred(), cleanup_timeout=3).get()
        done = self.drain()
        self.advance(10, 2.9)
        self.assertEqual(done, [])
        self.advance(0.2)
        self.assertEqual(done, [None])

    def test_three_hooks_that_hang(self) -> None:
        """Three hooks that hang share 10 s, so that with work that hangs a drain takes 15 s."""
        ran: list[int] = []

        def hook(number: int, scope: Scope) -> Deferred[None]:
            ran.append(number)
            return Deferred()

        hooks = [partial(hook, number) for number in range(3)]
        self.connection(lambda _: Errand(obedient=False), on_exit=hooks).get()
        done = self.drain(0)
        self.advance(0, 5, 9.9)
        self.assertEqual((ran, done), ([2], []))
        self.advance(0.1)
        self.assertEqual((ran, done), ([2, 1, 0], [None]))

    def test_a_survivor(self) -> None:
        """A drain waits for work that does not stop until it is a survivor."""
        self.connection(lambda _: Errand(obedient=False), survivor_after=2).get()
        done = self.drain()
        self.advance(10, 1.9)
        self.assertEqual(done, [])
        self.advance(0.2)
        self.assertEqual((done, len(self.monitor.survivors)), ([None], 1))


class DetachedTests(DrainTestCase):
    """A drain while work of requests is detached."""

    def setUp(self) -> None:
        """Answer a request whose handler has detached work."""
        super().setUp()
        self.errand = Errand(obedient=False)
        self.connection(self.handler).get()

    def handler(self, request: Request) -> bytes:
        """Detach the work, and answer."""
        detach(self.errand)
        return b"page"

    def test_is_waited_for(self) -> None:
        """A drain is over when detached work has ended, which is not cancelled before."""
        done = self.drain(30)
        self.advance(29)
        self.assertEqual((done, self.errand.asked), ([], []))
        self.errand.end()
        self.advance(0)
        self.assertEqual(done, [None])

    def test_has_ten_seconds_more(self) -> None:
        """Detached work is asked to stop ten seconds after the last scope has closed."""
        done = self.drain(5)
        self.advance(5, 9.9)
        self.assertEqual((done, self.errand.asked), ([], []))
        self.advance(0.1)
        self.assertEqual((done, self.errand.asked), ([], [""]))
        self.errand.fail(CancelledError())
        self.advance(0)
        self.assertEqual(done, [None])
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_that_does_not_stop(self) -> None:
        """Detached work that does not stop in five seconds is logged, and the drain is over."""
        done = self.drain(0)
        self.advance(0, 10, 4.9)
        events = log_events(self)
        self.assertEqual(done, [])
        self.advance(0.1)
        self.assertEqual(done, [None])
        (event,) = of_cancelweb(events)
        self.assertEqual(
            formatEvent(event), "tests._work.Errand is detached and still runs after the drain"
        )

    def test_whose_canceller_fails(self) -> None:
        """A canceller of detached work that raises is logged, and the drain ends 5 s later."""
        self.patch(self.errand, "cancel", self.fail_to_cancel)
        done = self.drain(0)
        self.advance(0, 10)
        self.assertEqual(len(self.flushLoggedErrors(asyncio.CancelledError)), 1)
        self.advance(5)
        self.assertEqual(done, [None])

    def test_has_the_clock_of_the_drain(self) -> None:
        """A detached timer that is far off is cancelled by the clock of the drain."""
        self.errand.end()

        def handler(request: Request) -> bytes:
            detach(self.clock.callLater(60, self.fail))
            return b"page"

        self.connection(handler).get()
        done = self.drain(0)
        self.advance(0, 10)
        self.assertEqual((done, self.monitor.detached), ([None], ()))
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def fail_to_cancel(self) -> None:
        """Raise asyncio's CancelledError, as a canceller at fault."""
        raise asyncio.CancelledError  # which is not an Exception


class AnsweredTests(DrainTestCase):
    """A drain while work that an answered handler has returned still runs."""

    def answered(self, **options: Any) -> tuple[Errand, Errand]:
        """The work that the handler returned, and the work that it tracked, after the answer."""
        returned, tracked = Errand(), Errand()

        def handler(request: Any) -> Errand:
            current_scope().track(tracked)
            self.request = request
            return returned

        self.connection(handler, **options).get()
        finish(self.request)
        self.assertEqual(returned.asked, [])
        return returned, tracked

    def test_is_asked_to_stop(self) -> None:
        """Work that was returned by an answered handler is stopped at the end of the drain."""
        returned, tracked = self.answered()
        self.assertEqual(tracked.asked, [""])
        done = self.drain(10)
        self.advance(9)
        self.assertEqual((returned.asked, done), ([], []))
        self.advance(3)
        self.assertEqual((returned.asked, done), ([""], [None]))
        self.assertEqual(self.monitor.scopes, ())

    def test_while_hooks_run_in_a_dry_run(self) -> None:
        """A request that is in its cleanup when the drain ends is not counted in a dry run."""
        cleaned: Deferred[None] = Deferred()
        self.connection(returning(b"page"), dry_run=True, on_exit=lambda _: cleaned).get()
        self.drain(1)
        self.advance(2)
        cleaned.callback(None)
        self.assertEqual(self.monitor.would_have_cancelled, {})

    def test_in_a_dry_run(self) -> None:
        """Work that was returned by an answered handler is not stopped in a dry run."""
        returned, tracked = self.answered(dry_run=True)
        done = self.drain(10)
        self.advance(12)
        self.assertEqual((returned.asked, tracked.asked, done), ([], [], [None]))
        self.assertEqual(self.monitor.would_have_cancelled, {})
        returned.end()
        self.assertEqual(self.monitor.scopes, ())


class DryRunTests(DrainTestCase):
    """A drain while the entry point is in a dry run."""

    def test_turns_no_request_away(self) -> None:
        """A new request during a drain is handled as usual in a dry run."""
        self.drain()
        connection = self.connection(lambda _: b"page", dry_run=True)
        connection.get()
        self.assertEqual(connection.response.code, 200)

    def test_says_nothing(self) -> None:
        """The answer to a request in flight keeps its connection open in a dry run."""
        answer: Deferred[bytes] = Deferred()
        connection = self.connection(returning(answer), dry_run=True)
        connection.get()
        self.drain()
        answer.callback(b"page")
        self.assertIsNone(connection.response.header(b"connection"))
        self.assertFalse(connection.is_closed)

    def test_cancels_nothing(self) -> None:
        """A drain in a dry run ends on time, and counts and logs what it would have cancelled."""
        events = log_events(self)
        errand = Errand()
        connection = self.connection(lambda _: errand, dry_run=True)
        connection.get()
        done = self.drain()
        self.advance(10)
        self.assertEqual((done, errand.asked, connection.received), ([None], [], b""))
        errand.end(b"page")
        self.assertEqual(connection.response.code, 200)
        self.assertEqual(self.monitor.totals, {("none", "completed"): 1})
        self.assertEqual(self.monitor.would_have_cancelled, {"Draining": 1})
        (event,) = of_cancelweb(events)
        self.assertIn("would have been cancelled: the server is shutting down", formatEvent(event))

    def test_counts_disconnects_and_deadlines(self) -> None:
        """What a dry run spares is counted by what would have cancelled it."""
        for timeout in None, 3:
            errand = Errand()
            connection = self.connection(returning(errand), dry_run=True, timeout=timeout)
            connection.get()
            if timeout:
                self.clock.advance(3)
            else:
                connection.disconnect()
            errand.end(b"page")
        self.assertEqual(self.monitor.would_have_cancelled, {"Disconnected": 1, "TimedOut": 1})
