"""Storms: many clients that connect, ask, and leave; and of whom nothing may be left.

What belongs here: the storms, of any size. What does not: how large they are. The small ones are
in `test_storms`, the full ones in `hammer`.
"""

import gc
import tracemalloc
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.web.server import Request

from cancelweb import Scope

from ._leavers import LeaverTestCase, Multiplexer
from ._pages import PAGE

TOGETHER = 200
"""How many clients are connected at a time."""

STOPPED = ("STOPPED", "Disconnected")


class StormTestCase(LeaverTestCase):
    """A server that waits for ever, and clients that do not."""

    def serve_waiting(self) -> None:
        """Serve a page that is never done."""
        self.serve(lambda _: Deferred())

    async def storm(self, size: int) -> None:
        """So many clients come and go; nothing of them is left."""
        self.counts.clear()
        for start in range(0, size, TOGETHER):
            numbers = range(start, min(start + TOGETHER, size))
            await gatherResults([Deferred.fromCoroutine(self.visit(each)) for each in numbers])
        await self.until(lambda: self.counts.total() == size)
        self.assertEqual(dict(self.counts), {STOPPED: size})
        self.ended.pending.clear()
        gc.collect()
        self.assertEqual(list(self.alive), [])
        self.assertEqual(self.alarms, [])

    async def visit(self, number: int) -> None:
        """One of them."""
        client = await self.connect()
        client.ask("/")
        await self.started.get()
        ways = self.client_class.WAYS
        client.leave(ways[number % len(ways)])
        if not client.is_leaving:
            # What it has closed by half, or reset, is still connected.
            await self.ended.get()
        await self.close(client)

    async def three_storms(self, size: int) -> list[int]:
        """One storm, and two more that must not use any memory; returns by how much they grew."""
        self.serve_waiting()
        await self.storm(size)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        # The first one that is traced fills what is only filled once, such as free lists.
        traced = []
        for _ in range(3):
            await self.storm(size)
            gc.collect()
            traced.append(tracemalloc.get_traced_memory()[0])
        return [after - before for before, after in pairwise(traced)]


class FloodTestCase(LeaverTestCase):
    """A client that opens and resets streams as fast as it can, and another that waits."""

    is_secure = True
    client_class = Multiplexer

    def setUp(self) -> None:
        super().setUp()
        self.cleanups: list[Deferred[None]] = []

    async def flood(self, streams: int) -> int:
        """Reset so many streams; returns how many clean-ups were under way, and ends these."""
        flooding = await self.connect()
        for number in range(streams):
            flooding.reset(flooding.get("/slow"))
            if number % 10 == 0:
                await flooding.ping()
        under_way = len(self.cleanups)
        other = await self.connect()
        other.ask("/page")
        await other.heard(PAGE)
        await self.close(other)
        await self.close(flooding)
        while self.cleanups:
            self.cleanups.pop().callback(None)
        gc.collect()
        await self.until(lambda: not self.alive)
        self.ended.pending.clear()
        self.started.pending.clear()
        self.assertEqual(self.alarms, [])
        return under_way

    def serve_slow_cleanup(self, **options: Any) -> None:
        """Serve a page, and one whose clean-up takes until the test ends it."""

        def handler(request: Request) -> object:
            return PAGE if request.path == b"/page" else Deferred()

        def clean_up(scope: Scope) -> Deferred[None] | None:
            if scope.cause is None:
                return None
            self.cleanups.append(Deferred())
            return self.cleanups[-1]

        self.serve(handler, on_exit=clean_up, cleanup_timeout=100, **options)
