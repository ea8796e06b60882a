"""How long cleanup may begin more work: a handler's cleanup, and that of hooks.

What belongs here: the end of what `test_refusal` shows to be allowed. What does not: other facts
about hooks.
"""

import contextlib

from twisted.internet.defer import CancelledError, Deferred

from cancelweb import Scope, StartRefused, cleaning, current_scope, shield

from ._cleanups import wait
from ._refusals import Base


class CleanupEndsTests(Base):
    """A handler's own cleanup has ``cleanup_timeout`` seconds after the cancel."""

    async def two(self, _: object) -> None:
        """A handler whose cleanup takes as long as the test likes."""
        try:
            await wait()
        finally:
            await self.update()
            self.go_on = Deferred[None]()
            await self.go_on
            try:
                await self.update()
            except StartRefused as error:
                self.told.append(str(error))

    def test_in_time(self) -> None:
        """Cleanup may begin more work until `cleanup_timeout` seconds after the cancel."""
        self.leave(self.visit(self.two, cleanup_timeout=3, survivor_after=9), 2.9)
        self.go_on.callback(None)
        self.pass_time()
        self.assertEqual((len(self.begun), self.told), (2, []))

    def test_too_late(self) -> None:
        """Cleanup is refused after `cleanup_timeout` seconds, and told to use shield() instead."""
        self.leave(self.visit(self.two, cleanup_timeout=3, survivor_after=9), 3.1)
        self.go_on.callback(None)
        self.pass_time()
        [text] = self.told
        self.assertEqual(len(self.begun), 1)
        assert isinstance(text, str)
        self.assertTrue(
            text.endswith("; cleanup_timeout (3 s) has passed: put longer cleanup into `shield()`")
        )

    def test_of_a_survivor(self) -> None:
        """By default a survivor's cleanup may still begin work 9.5 s after the cancel."""
        visit = self.visit(self.two)
        self.leave(visit, 9.5)
        self.assertEqual(visit.outcome.ended.name, "SURVIVED")
        self.go_on.callback(None)
        self.pass_time()
        self.assertEqual(len(self.begun), 2)

    def test_inside_cleaning(self) -> None:
        """Code inside `cleaning` is refused after `cleanup_timeout` seconds."""

        async def handler(_: object) -> None:
            with contextlib.suppress(CancelledError):
                await wait()
            with cleaning():
                while True:
                    await self.update()

        visit = self.visit(handler, cleanup_timeout=1)
        self.leave(visit, 5)
        self.assertEqual(visit.outcome.ended.name, "STOPPED")
        self.assertLess(self.begun[-1], 1.01)

    def test_behind_cleaning(self) -> None:
        """Code behind a block of `cleaning` is refused."""

        async def handler(_: object) -> None:
            with contextlib.suppress(CancelledError):
                await wait()
            with cleaning(), cleaning():
                await self.update()
            await self.update()

        self.leave(self.visit(handler))
        self.assertEqual(len(self.begun), 1)

    def test_shielded(self) -> None:
        """Shielded work may begin after `cleanup_timeout` seconds."""

        async def handler(_: object) -> None:
            with contextlib.suppress(CancelledError):
                await wait()
            await self.pause()
            await shield(self.update)

        self.leave(self.visit(handler, cleanup_timeout=0.001))
        self.assertEqual(len(self.begun), 1)

    def test_tries_inside_the_block(self) -> None:
        """Code that tries again in its `except` is stopped after `cleanup_timeout` seconds."""

        async def again() -> None:
            try:
                await self.update()
                raise ValueError
            except Exception:
                await again()

        visit = self.visit(lambda _: again(), cleanup_timeout=1, survivor_after=9)
        self.leave(visit, 5)
        self.assertEqual(visit.outcome.ended.name, "STOPPED")
        self.assertLess(self.begun[-1], 1.01)


class HooksTests(Base):
    """Hooks begin what they need for as long as they may run."""

    async def hook(self, scope: Scope) -> None:
        """A hook that updates again and again."""
        while True:
            await self.update()

    def test_until_the_scope_is_closed(self) -> None:
        """A hook that outlasts `cleanup_timeout` is refused, and the refusal is logged."""
        visit = self.visit(lambda _: wait(), on_cancel=self.hook, cleanup_timeout=1)
        self.leave(visit, 3)
        self.assertTrue(visit.outcomes)
        self.assertLess(self.begun[-1], 1.01)
        self.assertEqual(len(self.flushLoggedErrors(StartRefused)), 1)

    def test_longer_than_the_handler(self) -> None:
        """The `cleanup_timeout` of hooks counts from when they begin, not from the cancel."""

        async def hook(scope: Scope) -> None:
            await self.update()

        async def handler(_: object) -> None:
            current_scope().on_exit(hook)
            try:
                await wait()
            finally:
                await self.pause()

        self.leave(self.visit(handler, cleanup_timeout=0.005))
        self.assertEqual(len(self.begun), 1)

    def test_on_a_closed_scope(self) -> None:
        """A hook that is registered on a closed scope may wait, and then begin work."""

        async def hook(scope: Scope) -> None:
            await self.pause()
            await self.update()

        visit = self.visit(lambda _: wait())
        self.leave(visit)
        visit.scope.on_cancel(hook)
        self.pass_time()
        self.assertEqual(len(self.begun), 1)
