"""Work that ends through the cancel of other work: what else it had waited for is stopped, too.

What belongs here: pieces of one scope that share what they wait for. What does not: in which order
they are asked (`test_tracking`).
"""

from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.task import deferLater
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Ended, current_scope, detach

from .._work import Errand
from ._let_go import LetGoTestCase


class WhatItWaitedForIsStoppedTests(LetGoTestCase):
    """Promise 1: the cancel reaches all that the work of a scope waits for."""

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[str] = []

    def work(self, name: str) -> Deferred[Any]:
        """Work that can be stopped, and notes that it was."""
        return Deferred(lambda _: self.asked.append(name))

    @staticmethod
    async def wait_for(work: Deferred[Any]) -> None:
        """A coroutine that waits for the work."""
        await work

    def test_deferred_tracked_twice(self) -> None:
        """The members of a tracked list are stopped if one of them is also tracked by itself."""

        def handler(_: Request) -> int:
            first, second = self.work("first"), self.work("second")
            current_scope().track(gatherResults([first, second], consumeErrors=True))
            current_scope().track(first)
            return NOT_DONE_YET

        self.assertIs(self.leave(handler), Ended.STOPPED)
        self.assertEqual(self.asked, ["first", "second"])

    def test_coroutines(self) -> None:
        """The members of an awaited list are stopped if returned work awaits one of them."""

        def handler(_: Request) -> object:
            first, second = self.work("first"), self.work("second")
            both = gatherResults([first, second], consumeErrors=True)
            current_scope().track(self.wait_for(both))
            return self.wait_for(first)

        self.assertIs(self.leave(handler), Ended.STOPPED)
        self.assertEqual(self.asked, ["first", "second"])

    def test_what_goes_on_with_a_result(self) -> None:
        """What a callback waits for is not cut if the cancel of other work has led to it."""
        seen: list[str] = []

        def handler(_: Request) -> int:
            fired: Deferred[None] = Deferred()

            async def firing() -> None:
                try:
                    await self.work("firing")
                finally:
                    fired.callback(None)

            def close(_: object) -> Deferred[None]:
                closing = deferLater(self.clock, 1, seen.append, "closed")
                return closing.addErrback(lambda _: seen.append("cut"))

            waiting = Deferred.fromCoroutine(self.wait_for(fired))
            current_scope().track(waiting).addBoth(close)
            current_scope().track(firing())
            return NOT_DONE_YET

        self.visit(handler).disconnect()
        self.clock.advance(1)
        self.assertEqual((self.asked, seen), (["firing"], ["closed"]))

    def test_let_go(self) -> None:
        """A member of a list that nothing can stop is let go when the other member is stopped."""

        def handler(_: Request) -> object:
            first = self.work("first")
            current_scope().track(gatherResults([first, self.wait()], consumeErrors=True))
            return self.wait_for(first)

        self.assertIs(self.leave(handler), Ended.LET_GO)
        self.assertEqual(len(self.monitor.let_go), 1)

    def test_beside_a_finished_response(self) -> None:
        """The members of a leftover list are stopped if one of them is also tracked by itself."""

        def handler(_: Request) -> bytes:
            first, second = self.work("first"), self.work("second")
            current_scope().track(gatherResults([first, second], consumeErrors=True))
            current_scope().track(first)
            return b"page"

        self.visit(handler)
        self.assertEqual(self.asked, ["first", "second"])
        self.assertEqual([each.leftovers for each in self.outcomes], [2])

    def test_detached_meanwhile(self) -> None:
        """Work that the canceller of other work detaches is not asked, whether it ends or not."""
        first, second = self.work("first"), self.work("second")
        both = gatherResults([first, second], consumeErrors=True)
        errand = Errand(self.asked, "errand")

        class Detaching(Errand):
            def cancel(self) -> None:
                detach(both)
                detach(errand)
                super().cancel()

        def handler(_: Request) -> int:
            for each in (both, errand, first, Detaching()):
                current_scope().track(each)
            return NOT_DONE_YET

        self.visit(handler).disconnect()
        self.assertEqual(self.asked, ["first"])
        self.assertTrue(both.called)
        self.assertEqual(len(self.flushLoggedErrors(FirstError)), 1)
