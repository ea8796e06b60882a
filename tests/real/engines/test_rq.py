"""The canceller of the examples stops jobs of RQ, with real workers.

What belongs here: how jobs end that a canceller looks after. What does not: the site around it,
which `test_examples_rq` runs.
"""

import json
import random
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from rq.job import Job, JobStatus
from twisted.internet.defer import CancelledError, DeferredList
from twisted.internet.task import deferLater
from twisted.logger import LogEvent
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import ICancellable, cancel_on_disconnect

from ..._logs import log_events, of_cancelweb
from ..._loopback import connect, request, serve
from ..._servers import reactor
from ._rq import RQTestCase, horses, is_running, kill, until

LONG = ("sleep", "30")
"""A program that no test waits for."""

MOMENTS = 60


class EndingTests(RQTestCase):
    """Jobs that end by themselves."""

    async def test_result(self) -> None:
        """The result of a job is what its function has returned."""
        await self.start_worker()
        _, ended = self.start(self.run_program("echo", "42"))
        self.assertEqual(await ended, b"42\n")

    async def test_error(self) -> None:
        """The error of a job has the traceback of the worker."""
        await self.start_worker()
        _, ended = self.start(self.make("operator.truediv", 1, 0))
        error = await self.assertFailure(ended, RuntimeError)
        self.assertIn("Traceback (most recent call last):", str(error))
        self.assertIn("ZeroDivisionError: division by zero", str(error))

    async def test_stopped_by_others(self) -> None:
        """A job that an operator has cancelled in its queue is an error, not a stop of ours."""
        job = self.run_program(*LONG)
        _, ended = self.start(job)
        await until(lambda: self.queue.count)
        job.cancel()
        await self.assertFailure(ended, RuntimeError)


class StoppedTests(RQTestCase):
    """Jobs that are not wanted any more."""

    async def test_queued(self) -> None:
        """A job that waits for a worker leaves the queue at once, and never runs."""
        canceller, ended = self.start(self.run_program(*LONG))
        await until(lambda: self.queue.count)
        canceller.cancel()
        await self.assertFailure(ended, CancelledError)
        self.assertEqual(self.queue.count, 0)
        worker = await self.start_worker()
        _, last = self.start(self.run_program("echo", "42"))
        await last
        self.assertEqual(len(worker.log.matching("check_output")), 2, worker.log.lines)
        self.assertEqual(len(self.finished()), 1)

    async def test_not_yet_queued(self) -> None:
        """A job that is cancelled before it was queued never gets there."""
        pool = reactor.getThreadPool()
        former = pool.max
        pool.adjustPoolsize(0, 0)
        self.addCleanup(pool.adjustPoolsize, 0, former)
        canceller, ended = self.start(self.run_program(*LONG))
        canceller.cancel()
        pool.adjustPoolsize(0, former)
        await self.assertFailure(ended, CancelledError)
        self.assertEqual(self.queue.count, 0)

    async def test_id(self) -> None:
        """A job is queued under the id that it has from the beginning, whatever reads that."""
        for _ in range(30):
            job = self.run_program(*LONG)
            canceller, ended = self.start(job)
            known = job.id
            await until(lambda: self.queue.count)
            self.assertEqual(self.queue.job_ids, [known])
            canceller.cancel()
            await self.assertFailure(ended, CancelledError)

    async def test_running(self) -> None:
        """The process of a running job is gone when its canceller says that it has stopped."""
        worker = await self.start_worker()
        job = self.run_program(*LONG)
        canceller, ended = self.start(job)
        await until(lambda: is_running(job))
        canceller.cancel()
        await self.assertFailure(ended, CancelledError)
        self.assertEqual(horses(worker), [])
        self.assertEqual(len(worker.log.matching("[Kk]illed horse")), 1)

    async def test_random_moments(self) -> None:
        """At whatever moment a job is cancelled, it does not run on, and one command is sent."""
        worker = await self.start_worker()
        commands = self.queue.connection.pubsub()
        commands.psubscribe("rq:pubsub:*")
        self.addCleanup(commands.close)
        for _ in range(MOMENTS):
            canceller, ended = self.start(self.run_program("sleep", "2"))
            reactor.callLater(random.uniform(0, 0.06), canceller.cancel)
            await self.assertFailure(ended, CancelledError)
            self.assertEqual(self.queue.count, 0)
        _, last = self.start(self.run_program("echo", "42"))
        self.assertEqual(await last, b"42\n")
        self.assertEqual(len(self.finished()), 1)
        stopped = [json.loads(told["data"])["job_id"] for told in messages(commands)]
        self.assertEqual(len(stopped), len(set(stopped)))
        self.assertEqual(len(worker.log.matching("[Kk]illed horse")), len(stopped))

    async def test_fifty_at_once(self) -> None:
        """Of fifty jobs that are cancelled together, those that were queued never run."""
        worker = await self.start_worker()
        started = [self.start(self.run_program(*LONG)) for _ in range(50)]
        await until(lambda: self.queue.count == 49 and horses(worker))
        for canceller, _ in started:
            canceller.cancel()
        results = await DeferredList([ended for _, ended in started], consumeErrors=True)
        for _, failure in results:
            failure.trap(CancelledError)
        self.assertEqual(len(worker.log.matching("check_output")), 1, worker.log.lines)


def messages(subscribed: Any) -> list[Any]:
    """What a subscription to channels of Redis has got."""
    found = iter(subscribed.get_message, None)
    return [each for each in found if each["type"] == "pmessage"]


class TrapTests(RQTestCase):
    """What RQ does that its users do not expect."""

    async def test_cancel_is_overwritten(self) -> None:
        """RQ's own `cancel` says that a job is cancelled which a worker has just taken and runs."""
        await self.start_worker()
        for _ in range(100):
            job = self.queue.enqueue_job(self.run_program("echo", "42"))
            job.cancel()
            self.assertTrue(job.is_canceled or job.is_started or job.is_finished)
            await deferLater(reactor, 0.05)
            if job.id in self.finished():
                return
        self.fail("no cancelled job has run")


class LostTests(RQTestCase):
    """A Redis or a worker that is lost."""

    async def test_redis(self) -> None:
        """Without Redis a job fails, whether it runs or is queued now; later jobs run again."""
        worker = await self.start_worker()
        job = self.run_program(*LONG)
        _, running = self.start(job)
        await until(lambda: is_running(job))
        self.redis.kill()
        await self.assertFailure(running, RedisConnectionError)
        _, queued = self.start(self.run_program(*LONG))
        await self.assertFailure(queued, RedisConnectionError)
        await kill(worker)
        self.redis.start()
        await self.start_worker()
        _, later = self.start(self.run_program("echo", "42"))
        self.assertEqual(await later, b"42\n")

    async def test_worker(self) -> None:
        """A job whose worker was killed is a survivor after the deadline, until RQ gives it up."""
        events = log_events(self)
        worker = await self.start_worker()
        page = Page(self.run_program(*LONG))
        client = await connect(self, serve(self, page))
        client.send(request())
        await until(lambda: is_running(page.job))
        await kill(worker)
        self.assertIn(b"HTTP/1.1 503 ", await client.closed)
        await until(lambda: told_of_survivors(events) == 1)
        # What the maintenance of another worker would do, minutes later.
        page.job.set_status(JobStatus.STOPPED)
        await until(lambda: told_of_survivors(events) == 2)


def told_of_survivors(events: list[LogEvent]) -> int:
    """How many of the events report a survivor, or its end."""
    return sum("survivor" in event for event in of_cancelweb(events))


class Page(Resource):
    """Answers with the result of a job."""

    isLeaf = True

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job

    @cancel_on_disconnect(timeout=1, survivor_after=0.1)
    def render_GET(self, request: IRequest) -> ICancellable:
        """Queue the job."""
        return ICancellable(self.job)
