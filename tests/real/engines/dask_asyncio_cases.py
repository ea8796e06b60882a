"""Futures of an asynchronous Dask client, as `test_dask_asyncio` runs them: on asyncio's reactor.

What belongs here: what needs such a client. What does not: what holds for each client, which
`test_dask` shows. The name of this module keeps trial from collecting it by itself.

    python -m twisted.trial --reactor=asyncio tests.real.engines.dask_asyncio_cases
"""

import asyncio
from typing import Any

from distributed import Client
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cancelweb import Unavailable
from cancelweb.dask import Calls, result

from ._dask import LONGEST_START, Files, dask_cluster, reactor
from ._dask_tasks import ROUND, double, fail, looks, never_looks


class AsynchronousTests(TestCase):
    """Calls and futures of an asynchronous client."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        # Trial begins a test before the reactor runs, and so the loop.
        await deferLater(reactor, 0)
        cluster = dask_cluster()
        self.files = Files(self, cluster)
        made = Client(
            cluster.address, asynchronous=True, timeout=LONGEST_START, set_as_default=False
        )
        self.client: Any = await Deferred.fromFuture(asyncio.ensure_future(made))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.close()))
        self.calls = Calls(self.client)

    async def close(self) -> None:
        """Close the client."""
        await Deferred.fromFuture(asyncio.ensure_future(self.client.close()))

    async def test_result(self) -> None:
        """A call fires with its result, or fails with its error."""
        self.assertEqual(await self.calls.run(double, 7), 14)
        self.assertEqual(await result(self.client.submit(double, 8)), 16)
        with self.assertRaisesRegex(KeyError, "oh"):
            await self.calls.run(fail, "oh")

    async def test_stopped(self) -> None:
        """A cancelled call fires when its function has ended, whether it looks or not."""
        looking, other = self.files.marks("looking"), self.files.marks("other")
        calls = self.calls.run(looks, looking), self.calls.run(never_looks, other)
        for marks in looking, other:
            await marks.until("begun")
        for call in calls:
            call.cancel()
        with self.assertRaises(CancelledError):
            await calls[0]
        self.assertTrue(looking.has("ended"))
        self.assertNoResult(calls[1])
        other.note("go")
        with self.assertRaises(CancelledError):
            await calls[1]
        self.assertTrue(other.has("ended"))

    async def test_closed(self) -> None:
        """Closing the client ends all waits with Unavailable, those of given-up calls too."""
        marks = self.files.marks("one"), self.files.marks("other")
        calls = [self.calls.run(never_looks, each) for each in marks]
        for each in marks:
            await each.until("begun")
        calls[0].cancel()
        await deferLater(reactor, 10 * ROUND)
        await self.close()
        for call in calls:
            with self.assertRaisesRegex(Unavailable, "the client"):
                await call
