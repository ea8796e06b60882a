"""A Redis and a worker of Celery for the whole process, because a worker takes seconds to start.

What belongs here: starting both, and the part of the worker's log that belongs to a test. What does
not: servers that a test stops, which it starts itself.
"""

import atexit
import os
import re
import signal
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from attrs import define

from ..._loopback import hold_port
from ..._programs import find_program
from ..._servers import REPOSITORY
from .._redis import Redis
from ._worker import READY, CeleryTestCase, until, worker_command


@define
class LogFile:
    """What a worker has logged since the start of a test.

    The lines of a task are there before its result is.
    """

    path: Path
    start: int = 0

    def matching(self, pattern: str) -> list[str]:
        """All lines until now that the pattern matches."""
        lines = self.path.read_bytes()[self.start :].decode(errors="replace").splitlines()
        return [line for line in lines if re.search(pattern, line)]

    async def expect(self, pattern: str, within: float = 30) -> None:
        """Wait for a line, written before or still to come."""
        await until(lambda: self.matching(pattern), within)

    def rest(self) -> "LogFile":
        """What will be logged from now on."""
        return LogFile(self.path, self.path.stat().st_size)


@define
class SharedWorker:
    """The worker of this process, as one test sees it."""

    log: LogFile


class SharedTestCase(CeleryTestCase):
    """Tests that leave Redis and the worker as they are, and end their tasks."""

    def make_redis(self) -> Redis:
        """The Redis of this process."""
        return shared_redis()

    async def shared_worker(self) -> SharedWorker:
        """The worker of this process, which takes tasks."""
        log = shared_log()
        await log.expect(READY, within=60)
        return SharedWorker(log.rest())


@cache
def shared_redis() -> Redis:
    """The Redis of this process."""
    holder = hold_port()
    redis = Redis(holder.getsockname()[1])
    redis.start()
    atexit.register(redis.kill)
    atexit.register(holder.close)
    return redis


@cache
def shared_log() -> LogFile:
    """Start the worker of this process; returns its log."""
    descriptor, path = tempfile.mkstemp(prefix="cancelweb-celery-", suffix=".log")
    command, env = worker_command(shared_redis().url)
    # `atexit` calls nothing in a process that is killed.
    guard = [find_program("setpriv", "apt-get install util-linux"), "--pdeathsig", "KILL"]
    worker = subprocess.Popen(
        [*guard, *command],
        env=env,
        cwd=REPOSITORY,
        stdout=descriptor,
        stderr=descriptor,
        start_new_session=True,
    )
    os.close(descriptor)
    atexit.register(_end, worker, Path(path))
    return LogFile(Path(path))


def _end(worker: "subprocess.Popen[Any]", log: Path) -> None:
    # With the processes of its pool.
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    log.unlink()
