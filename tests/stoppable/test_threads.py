"""Functions in threads: begun or not, told about the cancel, and waited for.

What belongs here: `cancelweb.threads`, with real threads. What does not: handlers, which have
`test_threads_scope`, and the pool of database connections.
"""

import gc
import threading
from contextvars import ContextVar
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.task import Clock, deferLater
from twisted.python.threadpool import ThreadPool

from cancelweb import ScopeCancelled, Shared
from cancelweb._stoppable.thread_calls import ThreadCall
from cancelweb.database import ConnectionPool
from cancelweb.threads import check, defer_to_thread, defer_to_thread_pool

from ._workers import ThreadTestCase, Worker, failing

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class CallTests(ThreadTestCase):
    """Calls without a scope."""

    async def test_result(self) -> None:
        """A call fires in the reactor's thread with what the function makes of its arguments."""
        self.assertEqual(await self.defer(divmod, 7, 2), (3, 1))
        self.assertEqual(await self.defer(int, "11", base=2), 3)
        self.assertIs(threading.current_thread(), threading.main_thread())

    async def test_failure(self) -> None:
        """A call fails with what its function raises."""
        with self.assertRaisesRegex(KeyError, "oh"):
            await self.defer(failing(KeyError("oh")))

    async def test_own_pool_is_not_needed(self) -> None:
        """Without a pool and a scope, a call runs in the reactor's thread pool."""
        name = await defer_to_thread(lambda: threading.current_thread().name)
        self.assertIn(name, [each.name for each in reactor.getThreadPool().threads])

    async def test_context(self) -> None:
        """The function sees the caller's context variables, and changes none of them."""
        variable = ContextVar("variable", default="unset")
        variable.set("the caller's")

        def function() -> str:
            seen = variable.get()
            variable.set("the thread's")
            return seen

        self.assertEqual(await self.defer(function), "the caller's")
        self.assertEqual(variable.get(), "the caller's")

    async def test_cancelled_before_it_began(self) -> None:
        """A call that is cancelled before it begins fails at once, and never begins."""
        busy = self.worker()
        first = self.defer(busy)
        await busy.begun
        called: list[int] = []
        second = self.defer(called.append, 2)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        third = self.defer(called.append, 3)
        busy.go_on.set()
        await first
        await third
        self.assertEqual(called, [3])

    async def test_not_begun_is_forgotten(self) -> None:
        """A call that is cancelled before it begins keeps no reference to its arguments."""
        busy = self.worker()
        first = self.defer(busy)
        await busy.begun
        gone = Deferred[None]()

        class Argument:
            def __del__(self) -> None:
                gone.callback(None)

        second = self.defer(repr, Argument())
        self.assertNoResult(gone)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.successResultOf(gone)
        busy.go_on.set()
        await first

    async def test_cancelled_while_it_runs(self) -> None:
        """A running call is waited for, and fails with CancelledError whatever it returns."""
        worker = self.worker()
        call = self.defer(worker)
        await worker.begun
        call.cancel()
        self.assertNoResult(call)
        worker.go_on.set()
        with self.assertRaises(CancelledError):
            await call
        self.assertTrue(worker.has_ended)

    async def test_cancelled_twice(self) -> None:
        """A call that is cancelled several times is still waited for."""
        worker = self.worker()
        call = self.defer(worker)
        await worker.begun
        for _ in range(3):
            call.cancel()
            self.assertNoResult(call)
        worker.go_on.set()
        with self.assertRaises(CancelledError):
            await call

    async def test_fails_after_the_cancel(self) -> None:
        """A cancelled call whose function raises another error fails with that error."""
        worker = self.worker(failing(KeyError("oh")))
        call = self.defer(worker)
        await worker.begun
        call.cancel()
        worker.go_on.set()
        with self.assertRaisesRegex(KeyError, "oh"):
            await call

    async def test_cancelled_when_it_is_over(self) -> None:
        """A call can be cancelled after its end, which does nothing."""
        call = self.defer(int)
        self.assertEqual(await call, 0)
        call.cancel()

    async def test_timeout(self) -> None:
        """A call with `addTimeout` fails when its thread is free, not when the time is up."""
        clock = Clock()
        worker = self.worker()
        call = self.defer(worker).addTimeout(1, clock)
        await worker.begun
        clock.advance(1)
        self.assertNoResult(call)
        worker.go_on.set()
        with self.assertRaises(TimeoutError):
            await call


class CheckTests(ThreadTestCase):
    """Functions that check whether their call was cancelled."""

    async def assert_told(self, deferred: Deferred[Any], worker: Worker) -> None:
        """A cancelled call waits for its function, and fails with a plain CancelledError."""
        await worker.begun
        deferred.cancel()
        self.assertNoResult(deferred)
        worker.go_on.set()
        with self.assertRaises(CancelledError) as raised:
            await deferred
        self.assertNotIsInstance(raised.exception, ScopeCancelled)

    async def test_without_a_scope(self) -> None:
        """`check` raises in a call that was cancelled without a scope."""
        worker = self.worker(told)
        await self.assert_told(self.defer(worker), worker)
        self.assertEqual(worker.result, "told")

    async def test_shared(self) -> None:
        """`check` raises in a shared run whose last caller has left."""
        worker = self.worker(told)
        await self.assert_told(Shared(self.defer)(worker), worker)
        self.assertEqual(worker.result, "told")

    async def test_in_an_interaction(self) -> None:
        """`check` raises in an interaction with the database that was cancelled."""
        pool = ConnectionPool("sqlite3", ":memory:", cp_reactor=reactor, check_same_thread=False)
        pool.start()
        self.addCleanup(pool.close)
        worker = self.worker(told)
        await self.assert_told(pool.runInteraction(lambda _: worker()), worker)
        self.assertEqual(worker.result, "told")

    async def test_not_cancelled(self) -> None:
        """`check` does not raise in a call that was not cancelled, or outside of calls."""
        check()
        await self.defer(check)


def told() -> str:
    """Call `check`, and say whether it has raised."""
    try:
        check()
    except CancelledError:
        return "told"
    return "not told"


class LeftoverTests(ThreadTestCase):
    """What calls leave behind."""

    async def test_no_cycles(self) -> None:
        """Completed, cancelled and never begun calls leave no cycle to the collector."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        own = ThreadPool(1, 1)
        own.start()
        worker = self.worker(failing(CancelledError()))
        first = defer_to_thread_pool(reactor, own, worker)
        await worker.begun
        second = defer_to_thread_pool(reactor, own, int)
        third = defer_to_thread_pool(reactor, own, int)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        first.cancel()
        worker.go_on.set()
        with self.assertRaises(CancelledError):
            await first
        await third
        del first, second, third
        # The turn of the reactor in which a thread's result arrives, and the thread, hold it.
        await deferLater(reactor, 0)
        await deferLater(reactor, 0)
        own.stop()
        self.assertEqual([each for each in gc.get_objects() if isinstance(each, ThreadCall)], [])
