"""Storms: many clients that connect, ask and leave, and must leave nothing behind.

What belongs here: the storms, of any size. What does not: how large they are. The small ones are
in `test_storms`, the full ones in `hammer`.
"""

import gc
import resource
import tracemalloc
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.tcp import Server as Connection
from twisted.web.server import Request

from cancelweb import Outcome, Scope

from ..._pages import PAGE
from ..._servers import reactor
from .._leavers import LeaverTestCase, Multiplexer
from ._crowd import Crowd, allow_many_files

STOPPED = ("STOPPED", "Disconnected")
SPARE = 100
"""How many files the process may have open besides."""


async def traced_memory() -> int:
    """How much traced memory is in use."""
    await tidied()
    return tracemalloc.get_traced_memory()[0]


async def traced_snapshot() -> tracemalloc.Snapshot:
    """A snapshot of the traced memory, by line."""
    await tidied()
    return tracemalloc.take_snapshot()


async def tidied() -> None:
    """Collect all garbage, after the turn in which the reactor holds a list of events."""
    await deferLater(reactor, 0)
    gc.collect()


class StormTestCase(LeaverTestCase):
    """A server that never answers, and clients that leave."""

    def setUp(self) -> None:
        super().setUp()
        before = allow_many_files()
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)

    def serve_waiting(self) -> None:
        """Serve a page that is never done, and start a crowd for it."""
        self.serve(lambda _: Deferred())
        self.crowd = Crowd.call(self, self.server, self.client_class)

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return sum(isinstance(each, Connection) for each in reactor.getReaders())

    async def storm(self, size: int) -> None:
        """Have this number of clients connect and leave together; nothing of them is left."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        is_enough = limit == resource.RLIM_INFINITY or limit > size + SPARE
        self.assertTrue(
            is_enough, f"{limit} open files (ulimit -Hn) are too few for {size} clients"
        )
        self.counts.clear()
        await self.crowd.do("ask", size)
        for _ in range(size):
            await self.started.get()
        self.assertEqual((self.connections, self.counts.total()), (size, 0))
        await self.crowd.do("leave")
        for _ in range(size):
            await self.ended.get()
        self.assertEqual(dict(self.counts), {STOPPED: size})
        # What was closed by half, or whose stream was reset, is still connected.
        await self.crowd.do("close")
        await self.until(lambda: not self.connections)
        gc.collect()
        self.assertEqual(list(self.alive), [])
        # A table that has held many is large, and shrinks when it likes.
        self.alive.clear()
        self.assertEqual(self.alarms, [])

    async def three_storms(self, size: int) -> list[int]:
        """Storm once, and then three times with traced memory; returns how much it grew."""
        self.serve_waiting()
        await self.storm(size)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        # The first one that is traced fills what is only filled once, such as free lists.
        traced = []
        for _ in range(3):
            await self.storm(size)
            traced.append(await traced_memory())
        return [after - before for before, after in pairwise(traced)]


class FloodTestCase(LeaverTestCase):
    """A client that opens and resets streams as fast as it can, and another that waits."""

    is_secure = True
    client_class = Multiplexer

    def setUp(self) -> None:
        super().setUp()
        self.cleanups: list[Deferred[None]] = []

    def note(self, outcome: Outcome) -> None:
        """Count the outcome, and do not keep it, as memory is measured."""
        self.counts[outcome.ended.name, type(outcome.cause).__name__] += 1

    async def flood(self, streams: int) -> int:
        """Reset this number of streams; returns how many cleanups were under way, and ends them."""
        await self.crowd.do("reset", streams)
        under_way = len(self.cleanups)
        other = await self.connect()
        other.ask("/page")
        await other.until(PAGE)
        await self.close(other)
        await self.subside()
        return under_way

    async def subside(self) -> None:
        """Close the flooding client, end the cleanups, and check that nothing is left."""
        await self.crowd.do("close")
        while self.cleanups:
            self.cleanups.pop().callback(None)
        await self.until(lambda: not self.alive)
        self.alive.clear()
        self.started.pending.clear()
        self.assertEqual(self.alarms, [])

    def serve_slow_cleanup(self, **options: Any) -> None:
        """Serve a page, and another whose cleanup takes until the test ends it."""

        def handler(request: Request) -> object:
            return PAGE if request.path == b"/page" else Deferred()

        def clean_up(scope: Scope) -> Deferred[None] | None:
            if scope.cause is None:
                return None
            self.cleanups.append(Deferred())
            return self.cleanups[-1]

        self.serve(handler, on_exit=clean_up, cleanup_timeout=100, **options)
        self.crowd = Crowd.call(self, self.server, self.client_class)
