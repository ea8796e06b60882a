"""A Redis and real prefork workers of Celery for the length of a test.

What belongs here: starting both, and waiting for what the workers log. What does not: tasks.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import Request

from cancelweb._kinds.where import lines_of
from cancelweb.celery import Calls

from ..._loopback import reserve_port
from ..._servers import REPOSITORY, LoggedProcess, reactor
from ..._visits import Visit
from .._redis import Redis
from ._tasks import make_app

READY = r"tests ready\."
"""What a worker logs when it takes tasks."""
FAST = ("--without-mingle", "--without-gossip")
"""Workers that need not know each other start a second earlier."""
SOON = 15
"""Seconds: far less than the tasks take that are not stopped, even on a busy machine."""


class CeleryTestCase(TestCase):
    """Tests with a Redis, and calls of the tasks in `_tasks`.

    Attributes:
        redis: the broker and result backend.
        app: the app.
        calls: calls of its tasks.
    """

    timeout = 90

    def setUp(self) -> None:
        """Make an app, and calls."""
        self.redis = self.make_redis()
        self.app: Any = make_app(self.redis.url)
        self.calls = Calls(self.app)

    def make_redis(self) -> Redis:
        """Start Redis; it ends with the test."""
        redis = Redis(reserve_port(self))
        redis.start()
        self.addCleanup(redis.kill)
        return redis

    def is_all_over(self) -> bool:
        """Whether no task is asked about any more."""
        under_way = self.calls._under_way
        assert under_way is not None
        leaving = under_way.leaving
        return not (leaving._left or leaving._to_leave or leaving._is_leaving)

    def run_task(self, name: str, *args: object, calls: Calls | None = None) -> Deferred[Any]:
        """Call a task."""
        return (calls or self.calls).run(self.app.tasks[name].s(*args))

    async def give_up(self, call: Deferred[Any]) -> None:
        """Cancel a call, and wait for its end, which must come soon."""
        call.cancel()
        took, error = await seconds_until(call)
        self.assertIsInstance(error, CancelledError)
        self.assertLess(took, SOON)

    async def start_worker(self, name: str = "one", processes: int = 1) -> LoggedProcess:
        """Start a worker that ends with the test, and wait until it takes tasks.

        Args:
            name: its name.
            processes: how many it has.
        """
        worker = LoggedProcess()
        command, env = worker_command(self.redis.url, name, processes)
        reactor.spawnProcess(worker, sys.executable, command, env=env, path=str(REPOSITORY))
        self.addCleanup(worker.kill)
        await worker.log.expect(READY, within=60)
        return worker


def worker_command(
    url: str, name: str = "one", processes: int = 1
) -> tuple[list[str], dict[str, str]]:
    """The command that starts a worker for the Redis at a URL, and its environment."""
    module = "tests.real.engines._tasks"
    command = ["-m", "celery", "-A", module, "worker", "-l", "INFO", "-c", f"{processes}"]
    arguments = [sys.executable, *command, "-n", f"{name}@tests", *FAST]
    return arguments, {**os.environ, "TESTS_CELERY_URL": url}


def visited(start: Callable[[], Deferred[Any]], **options: Any) -> tuple[Visit, Deferred[Any]]:
    """Call a task in the handler of a request.

    Returns:
        The visit, and the Deferred that the handler has returned.
    """
    calls = []

    def handler(request: Request) -> Deferred[Any]:
        calls.append(start())
        return calls[0]

    return Visit(handler, **options), calls[0]


async def seconds_until(waiting: Deferred[Any]) -> tuple[float, Any]:
    """Wait for a result or failure; returns how long that took, and the result or the exception."""
    since = time.monotonic()
    try:
        result = await waiting
    except Exception as error:
        result = error
    return time.monotonic() - since, result


async def until(condition: Any, within: float = 30) -> None:
    """Wait until a condition holds that no event tells."""
    latest = time.monotonic() + within
    while not condition():
        assert time.monotonic() < latest, f"not within {within} s"
        await deferLater(reactor, 0.02)


def place_of(waiting: Deferred[Any]) -> str:
    """Where a call waits, in the words of reports."""
    return "\n".join(lines_of(waiting))


def call_id(call: Deferred[Any]) -> str:
    """The id of the task that a call waits for."""
    return place_of(call).partition("[")[2].partition("]")[0]
