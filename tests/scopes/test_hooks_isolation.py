"""Cleanup hooks that fail, hang, or need work of their own: none stops another.

When hooks run is for `test_hooks`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent

from cancelweb import Draining, Ended, Scope, current_scope

from .._logs import log_events, of_cancelweb
from .._pages import waiting
from .._visits import Visit
from .._work import Errand
from ._hooks import HookTestCase


class IsolationTests(HookTestCase):
    """No hook stops another."""

    def test_one_that_raises(self) -> None:
        """A hook that raises is logged by its name, and the rest is run."""

        def broken(scope: Scope) -> None:
            raise ValueError("broken hook")

        events = log_events(self)
        visit = Visit(waiting, on_cancel=[self.hook("next"), broken])
        visit.disconnect()
        self.assertEqual(self.ran, ["next"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        [event, *_] = of_cancelweb(events)
        self.assertRegex(formatEvent(event), r"^cleanup hook .*\.broken failed$")
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_one_that_raises_what_is_no_exception(self) -> None:
        """A hook that raises asyncio's CancelledError is logged, and the rest is run."""

        def asking(scope: Scope) -> None:
            raise asyncio.CancelledError

        visit = Visit(waiting, on_cancel=[self.hook("next"), asking])
        visit.disconnect()
        self.assertEqual(self.ran, ["next"])
        self.assertEqual(len(self.flushLoggedErrors(asyncio.CancelledError)), 1)
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_how_they_are_logged(self) -> None:
        """The log names the hook that failed later, and the one that used up the time."""

        async def broken(scope: Scope) -> None:
            await wait
            raise ValueError

        def endless(scope: Scope) -> Deferred[None]:
            return Deferred()

        events, wait = log_events(self), Deferred[None]()
        visit = Visit(waiting, on_cancel=[endless, broken], cleanup_timeout=3)
        visit.disconnect()
        wait.callback(None)
        visit.clock.advance(3)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        lines = [formatEvent(each).partition(".<locals>.")[2] for each in of_cancelweb(events)]
        late = "still runs, and the cleanup_timeout of 3 s is used up: going on without it"
        self.assertEqual(lines[:2], ["broken failed", f"endless {late}"])

    def test_one_that_is_a_generator(self) -> None:
        """The log names `@inlineCallbacks` for a hook that lacks it, and the rest is run."""

        def forgetful(scope: Scope) -> Iterator[Deferred[None]]:
            yield Deferred()

        async def streaming(scope: Scope) -> AsyncIterator[bytes]:
            yield b""

        def handler(request: object) -> Deferred[bytes]:
            for hook in (forgetful, streaming):
                current_scope().on_exit(hook)
            return Deferred()

        visit = Visit(handler, on_cancel=self.hook("next"))
        visit.disconnect()
        self.assertEqual(self.ran, ["next"])
        errors = [each.getErrorMessage() for each in self.flushLoggedErrors(TypeError)]
        self.assertEqual(len(errors), 2)
        for error in errors:
            self.assertIn("@inlineCallbacks", error)

    def test_one_that_fails_later(self) -> None:
        """A hook whose coroutine raises after it was suspended is logged, and the rest is run."""
        go = Deferred[None]()

        async def broken(scope: Scope) -> None:
            await go
            raise ValueError

        visit = Visit(waiting, on_cancel=[self.hook("next"), broken])
        visit.disconnect()
        self.assertEqual(self.ran, [])
        go.callback(None)
        self.assertEqual(self.ran, ["next"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_one_that_hangs(self) -> None:
        """A hook that hangs is logged after `cleanup_timeout`, not cancelled; the rest is run."""
        cancelled: list[object] = []
        hanging = Deferred[None](cancelled.append)
        events = log_events(self)
        visit = Visit(
            waiting, cleanup_timeout=3, on_cancel=[self.hook("next"), self.hook("slow", hanging)]
        )
        visit.disconnect()
        visit.clock.advance(2.9)
        self.assertEqual(self.ran, ["slow"])
        visit.clock.advance(0.2)
        self.assertEqual(self.ran, ["slow", "next"])
        self.assertEqual(cancelled, [])
        self.assertEqual([event["log_level"].name for event in of_cancelweb(events)], ["error"])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_ten_seconds_unless_given(self) -> None:
        """All hooks together have ten seconds if the entry point was given no other limit."""
        slow = [Deferred[None](), Deferred[None]()]
        visit = Visit(waiting, on_exit=[self.hook("2", slow[1]), self.hook("1", slow[0])])
        visit.disconnect()
        visit.clock.advance(6)
        slow[0].callback(None)
        visit.clock.advance(3.9)
        self.assertEqual(visit.outcomes, [])
        visit.clock.advance(0.2)
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_one_that_fails_after_it_was_given_up(self) -> None:
        """A hook that fails after it was given up is logged, and no hook is run twice."""
        hanging = Deferred[None]()
        visit = Visit(waiting, on_cancel=[self.hook("next"), self.hook("slow", hanging)])
        visit.disconnect()
        visit.clock.advance(11)
        hanging.errback(ValueError())
        self.assertEqual(self.ran, ["slow", "next"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_one_that_ends_in_time_leaves_no_timer(self) -> None:
        """A hook that ends in time leaves no timer."""
        done = Deferred[None]()
        visit = Visit(waiting, observers=(), on_cancel=self.hook("slow", done))
        visit.disconnect()
        done.callback(None)
        self.assertEqual(visit.clock.getDelayedCalls(), [])

    def test_any_kind_of_work_is_waited_for(self) -> None:
        """Work with a canceller that a hook returns is waited for, and not asked to stop."""
        work = Errand()
        visit = Visit(waiting, on_cancel=[self.hook("next"), self.hook("work", work)])
        visit.disconnect()
        self.assertEqual(self.ran, ["work"])
        work.end()
        self.assertEqual((self.ran, work.asked), (["work", "next"], []))

    def test_a_timer_is_waited_for(self) -> None:
        """A delayed call that a hook returns is waited for."""
        visit = Visit(waiting, on_cancel=self.hook("last"))
        visit.scope.on_cancel(lambda _: visit.clock.callLater(2, self.ran.append, "timer"))
        visit.disconnect()
        self.assertEqual(self.ran, [])
        visit.clock.advance(2)
        self.assertEqual(self.ran, ["timer", "last"])

    def test_one_whose_work_cannot_tell_when_it_ends(self) -> None:
        """A hook that returns faulty work is logged, and the rest is run."""

        class Faulty(Errand):
            def when_settled(self) -> Deferred[None]:
                raise ValueError

        visit = Visit(waiting, on_cancel=[self.hook("next"), self.hook("faulty", Faulty())])
        visit.disconnect()
        self.assertEqual(self.ran, ["faulty", "next"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)
        self.assertEqual(visit.clock.getDelayedCalls(), [])

    def test_what_it_returns_otherwise_is_of_no_account(self) -> None:
        """A hook may return what is not work."""
        visit = Visit(waiting, on_cancel=self.hook("hook", 5))
        visit.disconnect()
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)


class ShieldTests(HookTestCase):
    """The scope cancels no hook, nor what a hook needs."""

    def test_work_that_a_hook_tracks(self) -> None:
        """Work that a hook tracks is asked to stop only when the hooks are through."""
        work, done = Errand(), Deferred[None]()

        def hook(scope: Scope) -> Deferred[None]:
            scope.track(work)
            return done

        visit = Visit(waiting, on_cancel=hook)
        visit.disconnect()
        self.assertEqual(work.asked, [])
        done.callback(None)
        self.assertEqual(work.asked, [""])

    def test_a_cancel_by_a_hook_comes_too_late(self) -> None:
        """`cancel` returns False in a hook, and the cause stays what it was."""
        answers: list[bool] = []
        visit = Visit(lambda _: b"page", on_exit=lambda s: answers.append(s.cancel(Draining())))
        self.assertEqual(answers, [False])
        self.assertIsNone(visit.outcome.cause)

    def test_a_hook_may_await_what_it_starts(self) -> None:
        """A hook that awaits something runs to its end after the disconnect."""
        done = Deferred[None]()

        async def hook(scope: Scope) -> None:
            await done
            self.ran.append("through")

        visit = Visit(waiting, on_cancel=hook)
        visit.disconnect()
        done.callback(None)
        self.assertEqual(self.ran, ["through"])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)
