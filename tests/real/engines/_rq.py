"""A Redis and real workers of RQ for the length of a test.

What belongs here: starting both, and what RQ says about its jobs. What does not: what they prove.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis as Client
from rq import Queue
from rq.job import Job
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.task import deferLater
from twisted.python.components import registerAdapter
from twisted.trial.unittest import TestCase

from cancelweb import ICancellable

from ..._loopback import reserve_port
from ..._servers import REPOSITORY, LoggedProcess, reactor
from .._redis import Redis

sys.path.append(str(REPOSITORY / "examples"))

from rq_canceller import JobCanceller

registerAdapter(JobCanceller, Job, ICancellable)


class RQTestCase(TestCase):
    """Tests with a Redis and a queue.

    Attributes:
        redis: the server.
        queue: the queue of the workers.
    """

    timeout = 90

    def setUp(self) -> None:
        """Start Redis; it ends with the test."""
        self.redis = Redis(reserve_port(self))
        self.redis.start()
        self.addCleanup(self.redis.kill)
        client = Client.from_url(self.redis.url)
        self.addCleanup(client.close)
        self.queue = Queue("reports", connection=client)

    async def start_worker(self) -> LoggedProcess:
        """Start a worker that ends with the test, and wait until it takes jobs."""
        worker = LoggedProcess()
        command = [sys.executable, "-m", "rq.cli", "worker", "--url", self.redis.url, "reports"]
        reactor.spawnProcess(worker, sys.executable, command, env={**os.environ})
        self.addCleanup(kill, worker)
        await worker.log.expect(r"\*\*\* Listening on", within=60)
        return worker

    def make(self, function: str, *args: object) -> Job:
        """Make a job that is not in the queue yet."""
        return self.queue.create_job(function, args, result_ttl=60, failure_ttl=60)

    def run_program(self, *command: str) -> Job:
        """Make a job that runs a program."""
        return self.make("subprocess.check_output", command)

    def start(self, job: Job) -> tuple[JobCanceller, Deferred[Any]]:
        """Have a job queued by its canceller."""
        canceller = JobCanceller(job)
        return canceller, canceller.when_settled()

    def finished(self) -> list[str]:
        """The jobs that have run to their ends without an error."""
        return list(self.queue.finished_job_registry.get_job_ids())


def is_running(job: Job) -> bool:
    """Whether a worker runs a job that may not even be queued yet."""
    return Job.exists(job.id, job.connection) and bool(job.is_started)


def horses(worker: LoggedProcess) -> list[int]:
    """The processes in which a worker runs its jobs."""
    process: Any = worker.transport
    with suppress(FileNotFoundError):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]
    return []


async def kill(worker: LoggedProcess) -> None:
    """End a worker at once, and the jobs that it runs with it: alone, they would run on."""
    running = horses(worker) if worker.reason is None else []
    with suppress(ProcessExitedAlready):
        worker.signal("KILL")
    for pid in running:
        # A process that has just begun does not lead its group yet.
        for kill_it in os.kill, os.killpg:
            with suppress(ProcessLookupError):
                kill_it(pid, signal.SIGKILL)
    await worker.end()


async def until(condition: Callable[[], object], within: float = 30) -> None:
    """Wait until a condition holds that no event tells."""
    latest = time.monotonic() + within
    while not condition():
        assert time.monotonic() < latest, f"not within {within} s"
        await deferLater(reactor, 0.02)
