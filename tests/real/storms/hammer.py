"""The tests that take too long for every day: `nox -s hammer`, which prints the docs' figures.

What belongs here: the sizes. What is done is in `_orders` and `_storms`.
"""

import sys
import tracemalloc
from pathlib import Path
from struct import calcsize

from twisted.trial.unittest import SynchronousTestCase

from ...http._twins import REASONS, run_twins
from ...scopes._orders import Orders, run_histories
from .._leavers import Multiplexer
from ._storms import FloodTestCase, StormTestCase, traced_memory, traced_snapshot

STEPS = 200_000
TWINS = 5_000
CONNECTIONS = 10_000
STREAMS = 10_000
STREAMS_EACH = 500
STREAMS_MORE = 400

NOT_OF_TRACING = tracemalloc.Filter(False, tracemalloc.__file__)


def say(figure: str) -> None:
    """Print a figure, although trial is writing on the line."""
    sys.__stdout__.write(f"\n      {figure}\n")  # type: ignore[union-attr]


class OrdersTests(SynchronousTestCase):
    """Random histories, for a long time."""

    def test_keep_the_promises(self) -> None:
        """In random histories of a request, in any order, the promises are kept."""

        class Watched(Orders):
            flush = self.flushLoggedErrors

        histories = 0
        while Watched.steps < STEPS:
            histories += 500
            run_histories(Watched, 500, 40)
        say(f"{Watched.steps} steps in {histories} histories")


class TwinsTests(SynchronousTestCase):
    """Random histories with the fast path and without it, for a long time."""

    def test_cannot_be_told_apart(self) -> None:
        """A scope on the fast path behaves as another does, whatever makes it leave the path."""
        counted = run_twins(self, TWINS, 40)
        self.assertGreater(counted["fast"], 0.15 * counted["histories"])
        self.assertEqual([each for each in REASONS if not counted[each]], [])
        say(f"{counted['fast']} of {counted['histories']} histories began on the fast path")


class FullStormTestCase(StormTestCase):
    """Four storms of clients. The last two must not use any memory."""

    timeout = 3600

    async def assert_flat(self, what: str) -> None:
        """The traced memory grows by less than a byte for each connection."""
        grown = await self.three_storms(CONNECTIONS)
        say(f"{what}: 4 storms of {CONNECTIONS} connections; memory grew by {grown} bytes")
        self.assertLess(max(grown), CONNECTIONS)


class TCPTests(FullStormTestCase):
    """Full storms of HTTP/1.1 in the clear."""

    async def test_flat(self) -> None:
        """A full storm over TCP is stopped, nothing of it is alive, and no memory is lost."""
        await self.assert_flat("HTTP/1.1")


class TLSTests(FullStormTestCase):
    """Full storms of HTTP/1.1 over TLS."""

    is_secure = True

    async def test_flat(self) -> None:
        """A full storm over TLS is stopped, nothing of it is alive, and no memory is lost."""
        await self.assert_flat("HTTP/1.1 over TLS")


class HTTP2Tests(FullStormTestCase):
    """Full storms of HTTP/2."""

    is_secure = True
    client_class = Multiplexer

    async def test_flat(self) -> None:
        """A full storm over HTTP/2 is stopped, nothing of it is alive, and no memory is lost."""
        await self.assert_flat("HTTP/2")


class FloodTests(FloodTestCase):
    """A client that opens and resets streams as fast as it can (CVE-2023-44487)."""

    timeout = 3600

    async def test_bounded(self) -> None:
        """Resets on many connections have bounded cleanup and flat memory; others are answered."""
        self.serve_slow_cleanup(max_abandoned=100)
        await self.flood(STREAMS_EACH)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        most, traced = 0, []
        for _ in range(STREAMS // STREAMS_EACH):
            most = max(most, await self.flood(STREAMS_EACH))
            traced.append(await traced_memory())
        grown = traced[-1] - traced[len(traced) // 2]
        say(
            f"{STREAMS} streams reset, {STREAMS_EACH} a connection: at most {most} clean-ups under "
            f"way; over the second half memory grew by {grown} bytes"
        )
        self.assertLessEqual(most, 200)
        self.assertLess(grown, STREAMS // 2)

    async def test_flat_while_it_lasts(self) -> None:
        """More resets on one connection use no memory, except what h2 remembers of each stream."""
        self.serve_slow_cleanup(max_abandoned=100)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        traced = []
        # The first time fills what is only filled once, in looking, too.
        for streams in (200, 200, STREAMS_MORE):
            await self.crowd.do("reset", streams)
            traced.append(sizes(await traced_snapshot()))
        ours, of_h2 = (after - before for before, after in zip(*traced[1:], strict=True))
        say(
            f"{STREAMS_MORE} streams more on one connection: memory grew by {ours} bytes, and by "
            f"{of_h2} of h2, which remembers streams"
        )
        await self.subside()
        # Whatever was kept of each stream would take a reference at least.
        self.assertLess(ours, STREAMS_MORE * calcsize("P"))


def sizes(snapshot: tracemalloc.Snapshot) -> tuple[int, int]:
    """The traced memory without that of the protocol's libraries, and that of these libraries."""
    protocol = {"h2", "hpack", "hyperframe"}
    others = of_protocol = 0
    for each in snapshot.filter_traces([NOT_OF_TRACING]).statistics("filename"):
        if protocol & set(Path(each.traceback[0].filename).parts):
            of_protocol += each.size
        else:
            others += each.size
    return others, of_protocol
