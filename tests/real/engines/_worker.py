"""A Redis and real prefork workers of Celery for the length of a test.

What belongs here: starting both, and waiting for what the workers log. What does not: tasks.
"""

import os
import sys
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.trial.unittest import TestCase

from ..._servers import REPOSITORY, LoggedProcess
from ..._loopback import reserve_port
from .._redis import Redis

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


def start_redis(test: TestCase) -> Redis:
    """Start a Redis that ends with the test."""
    redis = Redis(reserve_port(test))
    redis.start()
    test.addCleanup(redis.kill)
    return redis


async def start_worker(
    test: TestCase, redis: Redis, name: str = "one", processes: int = 2, tracks: bool = False
) -> LoggedProcess:
    """Start a worker that ends with the test, and wait until it takes tasks.

    Args:
        test: the test.
        redis: its broker and result backend.
        name: its name.
        processes: how many it has.
        tracks: whether it stores that a task has begun.
    """
    env = {**os.environ, "TESTS_CELERY_URL": redis.url}
    if tracks:
        env["TESTS_CELERY_TRACKS"] = "1"
    module = "tests.real.engines._tasks"
    command = ["-m", "celery", "-A", module, "worker", "-l", "INFO", "-c", f"{processes}"]
    worker = LoggedProcess()
    reactor.spawnProcess(
        worker,
        sys.executable,
        [sys.executable, *command, "-n", f"{name}@tests"],
        env=env,
        path=str(REPOSITORY),
    )
    test.addCleanup(worker.kill)
    await worker.log.expect(r"tests ready\.", within=60)
    return worker
