"""Celery tasks that are given up while their worker lives: never run, told, or sent a signal.

What belongs here: what "stopped" means. What does not: servers that are lost, which
`test_celery_lost` has.
"""

from functools import partial

from celery.contrib.abortable import ABORTED
from redis import Redis
from twisted.internet.defer import CancelledError, gatherResults

from cancelweb import Ended
from cancelweb.celery import Calls

from ..._servers import reactor
from ._shared import SharedTestCase
from ._worker import SOON, CeleryTestCase, call_id, place_of, until, visited


class QueuedTests(SharedTestCase):
    """Tasks that no process has begun."""

    async def test_never_run(self) -> None:
        """Tasks never run that wait in Redis, or that the worker has taken already."""
        worker = await self.shared_worker()
        busy = self.run_task("look", "busy")
        await worker.log.expect("busy begins")
        queued = [self.run_task("sleep", f"queued {n}", 0) for n in range(12)]
        await until(lambda: all(place_of(each).endswith("sent") for each in queued))
        # The worker takes four at a time for each process.
        await until(lambda: len(worker.log.matching("Task sleep.* received")) >= 4)
        for each in queued:
            each.cancel()
            each.addErrback(lambda failure: failure.type)
        self.assertEqual(set(await gatherResults(queued)), {CancelledError})
        self.assertEqual(worker.log.matching("busy ends"), [])
        busy.cancel()
        await self.assertFailure(busy, CancelledError)
        self.assertEqual(await self.run_task("add", 1, 2), 3)
        self.assertEqual(worker.log.matching("queued .* begins"), [])

    async def test_are_no_survivors(self) -> None:
        """The outcome of a request whose client left is that its work was stopped."""
        worker = await self.shared_worker()
        busy = self.run_task("look", "busy")
        await worker.log.expect("busy begins")
        visit, call = visited(lambda: self.run_task("sleep", "queued", 0))
        await until(lambda: place_of(call).endswith("sent"))
        visit.disconnect()
        await until(lambda: visit.outcomes)
        self.assertIs(visit.outcome.ended, Ended.STOPPED)
        busy.cancel()
        await self.assertFailure(busy, CancelledError)

    async def test_not_sent(self) -> None:
        """A task that is given up in the turn in which it was called is not even sent."""
        call = self.run_task("add", 1, 2)
        call.cancel()
        await self.assertFailure(call, CancelledError)
        self.assertEqual(self.calls._messages._backend, None)

    async def test_being_sent(self) -> None:
        """A task that is given up before its sending is reported is revoked after that."""
        await self.shared_worker()
        call = self.calls.run(self.app.tasks["add"].s(1, 2).set(queue="unread"))
        # Blocks the reactor's thread, which therefore is not told yet that the task is sent.
        self.assertTrue(Redis.from_url(self.redis.url).blmove("unread", "kept", SOON))
        call.cancel()
        await self.assertFailure(call, CancelledError)

    async def test_scheduled(self) -> None:
        """A task that the worker keeps for later never runs."""
        worker = await self.shared_worker()
        call = self.calls.run(self.app.tasks["add"].s(1, 2).set(countdown=2))
        await worker.log.expect("Task add.* received")
        call.cancel()
        await self.assertFailure(call, CancelledError)


class ToldTests(SharedTestCase):
    """Tasks that run, and look at their abort flag."""

    async def test_stop(self) -> None:
        """A task stops at its next look, and the Deferred fires when the task has ended."""
        worker = await self.shared_worker()
        call = self.run_task("look", "a")
        await worker.log.expect("a begins")
        await self.give_up(call)
        self.assertEqual(len(worker.log.matching("a ends")), 1)

    async def test_flag_outlives_start(self) -> None:
        """A task that starts at that moment is told, although Celery overwrites its flag."""
        worker = await self.shared_worker()
        call = self.run_task("look_tracked", "a")
        await worker.log.expect("Task look.* received")
        await self.give_up(call)

    async def test_overwritten_flag(self) -> None:
        """A flag that the start of the task has overwritten is set again."""
        worker = await self.shared_worker()
        call = self.run_task("look_tracked", "a")
        await worker.log.expect("a begins")
        backend = self.app.backend
        store = backend.store_result
        call.cancel()
        await until(lambda: backend.get_state(call_id(call)) == ABORTED or call.called)
        store(call_id(call), {}, "STARTED")
        await self.assertFailure(call, CancelledError)
        self.assertEqual(len(worker.log.matching("a ends")), 1)

    async def test_progress(self) -> None:
        """A task that tells its progress, which overwrites the flag too, is told in the end."""
        worker = await self.shared_worker()
        call = self.run_task("report", "a")
        await worker.log.expect("a begins")
        call.cancel()
        await self.assertFailure(call, CancelledError)
        self.assertEqual(len(worker.log.matching("a ends")), 1)


class WorkersTests(CeleryTestCase):
    """Several workers."""

    async def test_two_workers(self) -> None:
        """The word of a worker that does not run the task is not taken for its end."""
        workers = [await self.start_worker(name) for name in ("one", "two")]
        call = self.run_task("sleep", "a", 2)
        await until(lambda: any(each.log.matching("a begins") for each in workers))
        call.cancel()
        await self.assertFailure(call, CancelledError)
        self.assertTrue(any(each.log.matching("a ends") for each in workers))


class DeafTests(SharedTestCase):
    """Tasks that run and never look."""

    async def test_survive(self) -> None:
        """The request has a survivor, and the report says which process runs the task."""
        worker = await self.shared_worker()
        start = partial(self.run_task, "sleep", "a", 4)
        visit, call = visited(start, clock=reactor, survivor_after=2)
        await worker.log.expect("a begins")
        visit.disconnect()
        await until(lambda: visit.outcomes)
        self.assertIs(visit.outcome.ended, Ended.SURVIVED)
        self.assertRegex(place_of(call), r"running in one@tests, process \d+$")
        self.assertEqual(worker.log.matching("a ends"), [])
        await worker.log.expect("a ends")
        await until(self.is_all_over)

    async def test_soft(self) -> None:
        """With SIGUSR1 they stop with SoftTimeLimitExceeded."""
        calls = Calls(self.app, terminate="SIGUSR1")
        worker = await self.shared_worker()
        call = self.run_task("sleep", "a", 30, calls=calls)
        await worker.log.expect("a begins")
        await self.give_up(call)
        self.assertEqual(worker.log.matching("a ends"), [])

    async def test_soft_and_slow(self) -> None:
        """A task that goes on after the signal is waited for, although its worker forgets it."""
        calls = Calls(self.app, terminate="SIGUSR1")
        worker = await self.shared_worker()
        call = self.run_task("endure", "a", 2, calls=calls)
        await worker.log.expect("a begins")
        call.cancel()
        await worker.log.expect("a goes on")
        await self.assertFailure(call, CancelledError)
        self.assertEqual(len(worker.log.matching("a ends")), 1)

    async def test_hard(self) -> None:
        """With SIGTERM their process ends, and the worker starts another one."""
        calls = Calls(self.app, terminate="SIGTERM")
        worker = await self.shared_worker()
        call = self.run_task("sleep", "a", 30, calls=calls)
        await worker.log.expect("a begins")
        await self.give_up(call)
        self.assertEqual(await self.run_task("add", 1, 2), 3)
        self.assertEqual(worker.log.matching("a ends"), [])
