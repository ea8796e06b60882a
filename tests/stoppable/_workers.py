"""Functions that run in threads until a test tells them to go on.

What belongs here: what tests of more than one module need. What does not: tests.
"""

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase

from cancelweb.threads import defer_to_thread_pool

from .._pages import PAGE

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class Worker:
    """A function that runs in a thread until it is told to go on.

    Args:
        end: What it does at its end; its result is the function's.
    """

    def __init__(self, end: Callable[[], object] = lambda: PAGE) -> None:
        self.begun: Deferred[None] = Deferred()
        self.go_on = threading.Event()
        self.has_ended = False
        self.result: object = None
        self._end = end

    def __call__(self) -> object:
        """Begin, wait until the test says so, and end."""
        reactor.callFromThread(self.begun.callback, None)
        self.go_on.wait()
        self.has_ended = True
        self.result = self._end()
        return self.result


class ThreadTestCase(TestCase):
    """A test with a pool of one thread, which can be kept busy."""

    timeout = 20

    def setUp(self) -> None:
        self.pool = ThreadPool(1, 1)
        self.pool.start()
        self.addCleanup(self.pool.stop)

    def worker(self, end: Callable[[], object] = lambda: PAGE) -> Worker:
        """A worker that does not wait beyond the end of the test."""
        worker = Worker(end)
        # Before the pool is stopped.
        self.addCleanup(worker.go_on.set)
        return worker

    def defer(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Call a function in the pool's thread."""
        return defer_to_thread_pool(reactor, self.pool, function, *args, **kwargs)


def failing(error: Exception) -> Callable[[], object]:
    """A function that raises."""

    def fail() -> object:
        raise error

    return fail
