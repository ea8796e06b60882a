"""What takes too long for every day: `nox -s hammer`. Prints the figures that the docs have.

What belongs here: the sizes. What is done stands in `_orders` and `_storms`.
"""

import sys

from twisted.trial.unittest import SynchronousTestCase

from ._leavers import Multiplexer
from ._orders import Orders, run_histories
from ._storms import FloodTestCase, StormTestCase

STEPS = 200_000
STREAMS = 10_000


def say(figure: str) -> None:
    """Print a figure, though trial owns the line."""
    sys.__stdout__.write(f"\n      {figure}\n")  # type: ignore[union-attr]


class OrdersTests(SynchronousTestCase):
    """Random histories, for long."""

    def test_keep_the_promises(self) -> None:
        """Whatever befalls a request, in whatever order, the promises are kept."""

        class Watched(Orders):
            flush = self.flushLoggedErrors

        histories = 0
        while Watched.steps < STEPS:
            histories += 500
            run_histories(Watched, 500, 40)
        say(f"{Watched.steps} steps in {histories} histories")


class FullStormTestCase(StormTestCase):
    """Four storms each, of which the last two may not use any memory."""

    timeout = 3600

    connections = 1_000
    """Of one storm; a hand-shake costs more than all the rest."""

    async def assert_flat(self, what: str) -> None:
        """The traced memory does not grow by as much as a byte a connection."""
        grown = await self.three_storms(self.connections)
        say(f"{what}: 4 storms of {self.connections} connections; memory grew by {grown} bytes")
        self.assertLess(max(grown), self.connections)


class TCPTests(FullStormTestCase):
    """HTTP/1.1 in the clear."""

    connections = 10_000

    async def test_flat(self) -> None:
        """Every request is stopped, nothing is alive afterwards, and no memory is lost."""
        await self.assert_flat("HTTP/1.1")


class TLSTests(FullStormTestCase):
    """HTTP/1.1 over TLS."""

    is_secure = True

    async def test_flat(self) -> None:
        """Every request is stopped, nothing is alive afterwards, and no memory is lost."""
        await self.assert_flat("HTTP/1.1 over TLS")


class HTTP2Tests(FullStormTestCase):
    """HTTP/2."""

    is_secure = True
    client_class = Multiplexer

    async def test_flat(self) -> None:
        """Every request is stopped, nothing is alive afterwards, and no memory is lost."""
        await self.assert_flat("HTTP/2")


class FloodTests(FloodTestCase):
    """A client that opens and resets streams as fast as it can (CVE-2023-44487)."""

    timeout = 3600

    async def test_bounded(self) -> None:
        """Over many connections, each of which Twisted closes in the end."""
        self.serve_slow_cleanup()
        most = 0
        for _ in range(STREAMS // 500):
            most = max(most, await self.flood(500))
        say(f"{STREAMS} streams reset; at most {most} clean-ups under way on a connection")
        self.assertLessEqual(most, 200)
