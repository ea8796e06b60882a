"""Dask's tasks that several requests want: they go on until the last of these has left.

What belongs here: the same future, the same key, another client, and `Shared`. What does not: one
request alone.
"""

from typing import Any

from dask.delayed import delayed
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from cancelweb import Shared
from cancelweb._kinds.where import lines_of
from cancelweb.dask import Calls, result

from ._dask import DaskTestCase, reactor
from ._dask_tasks import ROUND, Marks, double, looks, never_looks


class SharedTests(DaskTestCase):
    """Two Deferreds that stand for two requests."""

    def setUp(self) -> None:
        super().setUp()
        self.workers = sorted(self.client.scheduler_info()["workers"])

    async def assert_shared(
        self, first: Deferred[Any], second: Deferred[Any], marks: Marks
    ) -> None:
        """The first of two that want the same task leaves at once; the second stops it."""
        await marks.until("begun")
        first.cancel()
        await self.assert_cancelled(first)
        await deferLater(reactor, 10 * ROUND)
        self.assertFalse(marks.has("ended"))
        self.assertNoResult(second)
        second.cancel()
        await self.assert_cancelled(second)
        self.assertEqual(marks.pids("begun"), marks.pids("ended"))

    async def test_same_future(self) -> None:
        """A future that two requests wait for is stopped with the second."""
        marks = self.marks()
        future = self.client.submit(looks, marks)
        await self.assert_shared(result(future), result(future), marks)

    async def test_same_key(self) -> None:
        """Two calls with the same function and arguments are one task, stopped with the second."""
        marks = self.marks()
        first, second = (self.calls.run(looks, marks) for _ in range(2))
        await self.assert_shared(first, second, marks)

    async def test_same_turn(self) -> None:
        """Two requests that want the same task and leave in the same turn stop it."""
        marks = self.marks()
        calls = [self.calls.run(looks, marks) for _ in range(2)]
        await marks.until("begun")
        for call in calls:
            call.cancel()
        for call in calls:
            await self.assert_cancelled(call)
        self.assertTrue(marks.has("ended"))

    async def test_other_client(self) -> None:
        """A task that another client wants, such as another server process's, goes on."""
        marks = self.marks()
        other = Calls(self.cluster.connect(self))
        first, second = self.calls.run(looks, marks), other.run(looks, marks)
        await self.assert_shared(first, second, marks)

    async def test_dependent(self) -> None:
        """A task on which another future depends goes on."""
        marks = self.marks()
        below = self.client.submit(looks, marks, 7)
        above = self.calls.run(double, below)
        waiting = result(below)
        await self.assert_shared(waiting, above, marks)

    async def test_one_gets_the_result(self) -> None:
        """The request that stays gets the result, after the other has left."""
        marks = self.marks()
        first, second = (self.calls.run(looks, marks) for _ in range(2))
        await marks.until("begun")
        first.cancel()
        await self.assert_cancelled(first)
        marks.note("go")
        self.assertEqual(await second, "done")

    async def given_up(self, marks: Marks, worker: str) -> Deferred[Any]:
        """A call that was given up and still runs on a worker."""
        call = self.calls.run(never_looks, marks, workers=[worker])
        await marks.until("begun")
        call.cancel()
        while not "".join(lines_of(call)).endswith(worker):
            await deferLater(reactor, ROUND)
        return call

    async def test_wanted_again(self) -> None:
        """If its worker runs a given-up task for a new request, the first wait ends."""
        # Dask drops the result of the run that was given up, and runs the task again.
        marks, worker = self.marks(), self.workers[0]
        first = await self.given_up(marks, worker)
        second = self.calls.run(never_looks, marks, workers=[worker])
        await self.assert_cancelled(first)
        self.assertNoResult(second)
        marks.note("go")
        self.assertEqual(await second, "done")

    async def test_wanted_again_elsewhere(self) -> None:
        """If another worker runs the task for a new request, the first wait lasts on."""
        marks, (worker, other) = self.marks(), self.workers
        first = await self.given_up(marks, worker)
        second = self.calls.run(never_looks, marks, workers=[other])
        while len(marks.pids("begun")) < 2:
            await deferLater(reactor, ROUND)
        self.assertNoResult(first)
        marks.note("go")
        self.assertEqual(await second, "done")
        await self.assert_cancelled(first)
        self.assertEqual(len(marks.pids("ended")), 2)

    async def test_wanted_again_while_it_stops(self) -> None:
        """A new request never gets the exception of `check`: Dask runs the task again."""
        for n in range(20):
            marks, worker = self.marks(str(n)), self.workers[:1]
            first = self.calls.run(looks, marks, workers=worker)
            await marks.until("begun")
            first.cancel()
            await deferLater(reactor, n / 1000)
            second = self.calls.run(looks, marks, workers=worker)
            await self.assert_cancelled(first)
            marks.note("go")
            self.assertEqual(await second, "done")

    async def test_shared_function(self) -> None:
        """A run of `Shared` is one task, stopped when the last of its requests has left."""
        marks = self.marks()
        shared = Shared(lambda name: self.calls.run(looks, marks, name, pure=False))
        first, second = shared("report"), shared("report")
        await self.assert_shared(first, second, marks)

    async def test_intermediate(self) -> None:
        """A given-up future does not wait for tasks that it needs and that go on for others."""
        marks = self.marks()
        below = delayed(looks, pure=True)(marks, 7)
        kept = self.client.compute(below)
        waiting = result(self.client.compute(delayed(double)(below)))
        await marks.until("begun")
        waiting.cancel()
        await self.assert_cancelled(waiting)
        self.assertFalse(marks.has("ended"))
        marks.note("go")
        self.assertEqual(await result(kept), 7)
