"""Work that the cancellation of other work has reached: it is not asked as well.

A second cancel would cut short the wait of a `finally`.
"""

from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredLock,
    ensureDeferred,
    inlineCallbacks,
)
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from cancelweb import Draining, Ended, current_scope

from .._visits import Visit
from .._work import Errand


class ReachedTests(SynchronousTestCase):
    """A coroutine that waits for work that is tracked, too."""

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
        """It is not asked when the newer work, which was asked first, has resumed it."""

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
        """One that waited for a lock, which the cancel of other work released, is asked as well."""
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
        """What a handler tracks when it has cancelled its scope is asked with the rest."""

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
        """A coroutine that is tracked on a cancelled scope is asked once, with what it tracks."""
        self.begun.callback(None)
        visit = Visit(lambda _: Errand(obedient=False))
        visit.disconnect()
        visit.scope.track(self.child())
        self.assertEqual(self.steps, [])
        self.cleaned.callback(None)
        self.assertEqual(self.steps, ["cleaned"])
        visit.clock.advance(5)
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)
