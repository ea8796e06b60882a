"""Work that the cancellation of other work has reached is not asked to stop again.

A second cancel would cut short the wait of a `finally`.
"""

from collections.abc import Generator
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredLock,
    ensureDeferred,
    gatherResults,
    inlineCallbacks,
)
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from cancelweb import Draining, Ended, current_scope

from .._visits import Visit
from .._work import Errand


class ReachedTests(SynchronousTestCase):
    """A tracked coroutine waits for other tracked work."""

    def setUp(self) -> None:
        self.steps: list[str] = []
        self.begun: Deferred[None] = Deferred()
        self.cleaned: Deferred[None] = Deferred()

    async def child(self) -> None:
        """Wait for work that was tracked later, and clean up with a wait."""
        await self.begun
        try:
            await current_scope().track(Deferred[None](lambda _: None))
        finally:
            try:
                await self.cleaned
                self.steps.append("cleaned")
            except BaseException:
                self.steps.append("cut")
                raise

    def test_by_what_it_waits_for(self) -> None:
        """A coroutine is not asked if newer work, which was asked before, has resumed it."""

        async def handler(request: object) -> None:
            current_scope().track(self.child())
            await Deferred[None]()

        visit = Visit(handler)
        self.begun.callback(None)
        visit.disconnect()
        self.assertEqual(self.steps, [])
        self.cleaned.callback(None)
        self.assertEqual(self.steps, ["cleaned"])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_what_has_gone_on(self) -> None:
        """A coroutine that gets a lock because its holder was cancelled is asked to stop, too."""
        lock, told = DeferredLock(), list[str]()

        async def coroutine(name: str) -> None:
            await lock.acquire()
            try:
                await Deferred[None]()
            except CancelledError:
                told.append(name)
                raise
            finally:
                lock.release()

        generator = inlineCallbacks(lambda name: (yield ensureDeferred(coroutine(name))))
        kinds: list[Any] = [generator, lambda name: ensureDeferred(coroutine(name))]
        for kind in kinds:

            def handler(request: object, kind: Any = kind) -> int:
                holder, waiter = kind("holder"), kind("waiter")
                # The newest is asked first.
                current_scope().track(waiter)
                current_scope().track(holder)
                return NOT_DONE_YET

            visit = Visit(handler)
            visit.disconnect()
            self.assertEqual(told, ["holder", "waiter"])
            self.assertEqual(visit.outcome.ended, Ended.STOPPED)
            told.clear()

    def test_by_what_it_tracks_after_the_cancel(self) -> None:
        """A handler that cancels its scope and then tracks and awaits work is not cut."""

        async def handler(request: object) -> None:
            self.begun.callback(None)
            current_scope().cancel(Draining())
            await self.child()

        visit = Visit(handler)
        visit.clock.advance(0)
        self.assertEqual(self.steps, [])
        self.cleaned.callback(None)
        self.assertEqual(self.steps, ["cleaned"])

    def test_by_what_it_tracks_itself_when_it_comes_too_late(self) -> None:
        """A coroutine tracked on a cancelled scope is asked once, with the work that it tracks."""
        self.begun.callback(None)
        visit = Visit(lambda _: Errand(obedient=False))
        visit.disconnect()
        visit.scope.track(self.child())
        self.assertEqual(self.steps, [])
        self.cleaned.callback(None)
        self.assertEqual(self.steps, ["cleaned"])
        visit.clock.advance(5)
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)


class ReachedByReturnedWorkTests(SynchronousTestCase):
    """The work that a handler has returned waits for tracked work."""

    def setUp(self) -> None:
        """Prepare work with a `finally` that waits."""
        self.cleaned: Deferred[None] = Deferred()
        self.steps: list[str] = []

    @inlineCallbacks
    def query(self) -> Generator[Deferred[None], None, None]:
        """Run until cancelled, and clean up for a while."""
        try:
            yield Deferred(lambda _: None)
        finally:
            self.steps.append("cleaning")
            yield self.cleaned
            self.steps.append("cleaned")

    def assert_not_cut(self, visit: Visit) -> None:
        """Leave, and insist that the cleanup is waited for and comes to its end."""
        visit.disconnect()
        self.assertEqual(self.steps, ["cleaning"])
        self.assertEqual(visit.outcomes, [])
        self.cleaned.callback(None)
        self.assertEqual(self.steps, ["cleaning", "cleaned"])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_a_generator_awaited_by_the_returned_coroutine(self) -> None:
        """A tracked generator that the returned coroutine awaits is not cut in its `finally`."""

        async def handler(request: object) -> None:
            await current_scope().track(self.query())

        self.assert_not_cut(Visit(handler))

    def test_a_coroutine_awaited_by_the_returned_coroutine(self) -> None:
        """A tracked coroutine that the returned coroutine awaits is not cut in its `finally`."""

        async def query() -> None:
            await self.query()

        async def handler(request: object) -> None:
            tracked: Any = current_scope().track(query())
            await tracked

        self.assert_not_cut(Visit(handler))

    def test_work_that_is_gathered(self) -> None:
        """Tracked work that is gathered with other work is not cut in its `finally`."""

        def handler(request: object) -> Deferred[list[None]]:
            tracked = current_scope().track(self.query())
            return gatherResults([tracked, Deferred(lambda _: None)], consumeErrors=True)

        self.assert_not_cut(Visit(handler))

    def test_work_deep_in_a_chain(self) -> None:
        """Tracked work on which the returned Deferred is chained is not cut in its `finally`."""

        def handler(request: object) -> Deferred[None]:
            inner = current_scope().track(self.query())
            outer: Deferred[None] = Deferred()
            outer.callback(None)
            outer.addCallback(lambda _: inner)
            return outer

        self.assert_not_cut(Visit(handler))
