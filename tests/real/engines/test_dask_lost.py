"""A Dask cluster that loses machines: its worker, its scheduler, or both for good.

What belongs here: clusters that belong to one test, which kills a part. What does not: clusters
that stay whole.
"""

import os
import signal
from typing import Any

from distributed import Client
from twisted.internet.task import deferLater

from cancelweb import Unavailable
from cancelweb.dask import result

from ..._loopback import reserve_port
from ..._servers import LOOPBACK
from ._dask import DaskCluster, DaskTestCase, own_cluster, reactor
from ._dask_tasks import ROUND, double, kills_its_first_worker, looks, never_looks

AT_ONCE = 5
"""Seconds: far less than the 30 for which Dask tries to connect again."""


class LostTests(DaskTestCase):
    """A cluster that breaks."""

    def start_cluster(self) -> DaskCluster:
        """A cluster for this test alone."""
        return own_cluster(self)

    async def test_worker(self) -> None:
        """The call of a killed worker runs on another one, except if it was given up."""
        first, second = self.marks("first"), self.marks("second")
        self.cluster.start_worker()
        self.assertEqual(await self.calls.run(kills_its_first_worker, first), "done")
        self.assertEqual(len(set(first.pids("begun"))), 2)
        call = self.calls.run(never_looks, second)
        await second.until("begun")
        call.cancel()
        await deferLater(reactor, 20 * ROUND)
        self.assertNoResult(call)
        os.kill(second.pids("begun")[0], signal.SIGKILL)
        await self.assert_cancelled(call)
        self.assertEqual(await self.calls.run(double, 1), 2)
        self.assertEqual(len(second.pids("begun")), 1)

    async def test_scheduler(self) -> None:
        """When the scheduler is killed, calls fail soon, new ones at once, until it is back."""
        marks = self.marks(), self.marks("other")
        calls = [self.calls.run(never_looks, each) for each in marks]
        for each in marks:
            await each.until("begun")
        calls[0].cancel()
        future: Any = self.client.submit(double, 3)
        await result(future)
        self.cluster.scheduler.kill()
        for call in calls:
            with self.assertRaisesRegex(Unavailable, "the Dask scheduler cannot be reached"):
                await call.addTimeout(AT_ONCE, reactor)
        with self.assertRaisesRegex(Unavailable, "tries to connect"):
            await self.calls.run(double, 1).addTimeout(AT_ONCE, reactor)
        # What it had computed is lost.
        with self.assertRaises(Unavailable):
            await result(future).addTimeout(AT_ONCE, reactor)
        self.cluster.start_scheduler()
        self.cluster.start_worker()
        while self.client.status != "running":
            await deferLater(reactor, ROUND)
        self.assertEqual(await self.calls.run(double, 1), 2)


class SilentTests(DaskTestCase):
    """Parts of a cluster that do not answer."""

    async def test_worker(self) -> None:
        """A worker that does not answer delays the end of its own cancelled calls alone."""
        marks = self.marks("silent")
        silent = self.calls.run(looks, marks)
        await marks.until("begun")
        [pid] = marks.pids("begun")
        pids = self.client.run(os.getpid)
        others = [address for address in pids if pids[address] != pid]
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        silent.cancel()
        for n in range(2):
            other = self.calls.run(looks, self.marks(f"other-{n}"), workers=others)
            await self.marks(f"other-{n}").until("begun")
            other.cancel()
            await self.assert_cancelled(other)
        self.assertNoResult(silent)
        os.kill(pid, signal.SIGCONT)
        await self.assert_cancelled(silent)
        self.assertTrue(marks.has("ended"))

    async def test_scheduler_that_was_never_there(self) -> None:
        """A synchronous client whose scheduler is not there cannot be made, and Dask says why."""
        address = f"tcp://{LOOPBACK}:{reserve_port(self)}"
        with self.assertRaisesRegex(OSError, f"Timed out trying to connect to {address}"):
            Client(address, timeout=0.5, set_as_default=False)
