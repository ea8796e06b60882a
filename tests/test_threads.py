"""Functions in threads: begun or not, told of the cancel, and waited for.

What belongs here: `cancelweb.threads`, with real threads. What does not: the pool of database
connections, which waits in the same way and does more.
"""

import gc
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, inlineCallbacks
from twisted.internet.interfaces import IReactorThreads, IReactorTime
from twisted.internet.task import Clock, deferLater
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import alsoProvides

from cancelweb import (
    Disconnected,
    Ended,
    Outcome,
    ScopeCancelled,
    Shared,
    cancel_on_disconnect,
    current_scope,
    scope_of,
    shield,
)
from cancelweb._threadcall import ThreadCall
from cancelweb.database import ConnectionPool
from cancelweb.threads import check, defer_to_thread, defer_to_thread_pool

from ._inmemory import Client
from ._pages import PAGE, Page

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
        """Begin, wait, end."""
        reactor.callFromThread(self.begun.callback, None)
        self.go_on.wait()
        self.has_ended = True
        self.result = self._end()
        return self.result


class ThreadTestCase(TestCase):
    """A pool of one thread, which can be kept busy."""

    timeout = 20

    def setUp(self) -> None:
        self.pool = ThreadPool(1, 1)
        self.pool.start()
        self.addCleanup(self.pool.stop)

    def worker(self, end: Callable[[], object] = lambda: PAGE) -> Worker:
        """A worker that the test's end does not leave waiting."""
        worker = Worker(end)
        # Before the pool is stopped.
        self.addCleanup(worker.go_on.set)
        return worker

    def defer(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Call in the pool's thread."""
        return defer_to_thread_pool(reactor, self.pool, function, *args, **kwargs)


def failing(error: Exception) -> Callable[[], object]:
    """A function that raises."""

    def fail() -> object:
        raise error

    return fail


class CallTests(ThreadTestCase):
    """A call without a scope."""

    async def test_result(self) -> None:
        """The Deferred fires with what the function makes of its arguments, in the reactor."""
        self.assertEqual(await self.defer(divmod, 7, 2), (3, 1))
        self.assertEqual(await self.defer(int, "11", base=2), 3)
        self.assertIs(threading.current_thread(), threading.main_thread())

    async def test_failure(self) -> None:
        """It fails with what the function raises."""
        with self.assertRaisesRegex(KeyError, "oh"):
            await self.defer(failing(KeyError("oh")))

    async def test_own_pool_is_not_needed(self) -> None:
        """Without a pool it is the reactor's, and so it is without a scope."""
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
        """A call that has not begun fails at once, and never begins."""
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
        """Nothing keeps the arguments of a call that never begins."""
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
        """A call that runs is waited for, and fails with CancelledError whatever it returns."""
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
        """To cancel it again changes nothing: the thread is still waited for."""
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
        """A real failure after the cancel is told."""
        worker = self.worker(failing(KeyError("oh")))
        call = self.defer(worker)
        await worker.begun
        call.cancel()
        worker.go_on.set()
        with self.assertRaisesRegex(KeyError, "oh"):
            await call

    async def test_cancelled_when_it_is_over(self) -> None:
        """To cancel it after its end does nothing."""
        call = self.defer(int)
        self.assertEqual(await call, 0)
        call.cancel()

    async def test_timeout(self) -> None:
        """`addTimeout` tells when the thread is free, not when the time is up."""
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
    """A function that asks whether its call was cancelled."""

    async def assert_told(self, deferred: Deferred[Any], worker: Worker) -> None:
        """It is told, and the Deferred fails with that when the function has come to its end."""
        await worker.begun
        deferred.cancel()
        self.assertNoResult(deferred)
        worker.go_on.set()
        with self.assertRaises(CancelledError) as raised:
            await deferred
        self.assertNotIsInstance(raised.exception, ScopeCancelled)

    async def test_without_a_scope(self) -> None:
        """It is told where there is no scope."""
        worker = self.worker(told)
        await self.assert_told(self.defer(worker), worker)
        self.assertEqual(worker.result, "told")

    async def test_shared(self) -> None:
        """It is told in a shared run that the last has left."""
        worker = self.worker(told)
        await self.assert_told(Shared(self.defer)(worker), worker)
        self.assertEqual(worker.result, "told")

    async def test_in_an_interaction(self) -> None:
        """It is told in a transaction of the database."""
        pool = ConnectionPool("sqlite3", ":memory:", cp_reactor=reactor, check_same_thread=False)
        pool.start()
        self.addCleanup(pool.close)
        worker = self.worker(told)
        await self.assert_told(pool.runInteraction(lambda _: worker()), worker)
        self.assertEqual(worker.result, "told")

    async def test_not_cancelled(self) -> None:
        """It goes on where its call was not cancelled, and where there is none."""
        check()
        await self.defer(check)


def told() -> str:
    """Ask, and be told."""
    try:
        check()
    except CancelledError:
        return "told"
    return "not told"


class ScopeTests(ThreadTestCase):
    """Calls of handlers."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.closed: Deferred[Outcome] = Deferred()

    def visit(self, handler: Callable[[Request], object], **options: Any) -> Client:
        """Visit the page that this handler makes."""
        decorate: Any = cancel_on_disconnect(observers=self.closed.callback, **options)
        client = Client(Page(decorate(handler)), self.clock)
        client.request()
        return client

    async def ended(self) -> Ended:
        """How the request ended."""
        return (await self.closed).ended

    async def test_returned(self) -> None:
        """The result of a call that a handler returns is the page."""
        client = self.visit(lambda _: defer_to_thread(lambda: PAGE))
        self.assertEqual(await self.ended(), Ended.COMPLETED)
        self.assertEqual(client.response.body, PAGE)

    async def leave(self, handler: Callable[[Worker], Callable[[Request], object]]) -> Worker:
        """Leave while a loop that checks its scope runs; it has ended when the scope closes."""
        worker = self.worker(lambda: current_scope().check())
        client = self.visit(handler(worker))
        await worker.begun
        client.disconnect()
        self.assertNoResult(self.closed)
        worker.go_on.set()
        self.assertEqual(await self.ended(), Ended.STOPPED)
        self.assertTrue(worker.has_ended)
        return worker

    async def test_returned_and_left(self) -> None:
        """When the client leaves, `check` raises in the thread, whose end the scope waits for."""
        await self.leave(lambda worker: lambda _: self.defer(worker))

    async def test_awaited_and_left(self) -> None:
        """So it is in a coroutine, which is resumed when the thread is free."""
        resumed: list[object] = []

        def handler(worker: Worker) -> Callable[[Request], object]:
            async def render(_: Request) -> object:
                try:
                    return await self.defer(worker)
                except CancelledError as error:
                    resumed.append((worker.has_ended, type(error)))
                    raise

            return render

        await self.leave(handler)
        self.assertEqual(resumed, [(True, ScopeCancelled)])

    async def test_inline_callbacks(self) -> None:
        """And under `inlineCallbacks`."""
        resumed: list[object] = []

        def handler(worker: Worker) -> Callable[[Request], object]:
            @inlineCallbacks
            def render(_: Request) -> Any:
                try:
                    yield self.defer(worker)
                finally:
                    resumed.append(worker.has_ended)

            return render

        await self.leave(handler)
        self.assertEqual(resumed, [True])

    async def test_tracked_and_left(self) -> None:
        """And where it is tracked only."""

        def handler(worker: Worker) -> Callable[[Request], object]:
            def render(request: Request) -> object:
                scope_of(request).track(self.defer(worker))
                return NOT_DONE_YET

            return render

        await self.leave(handler)

    async def test_checks(self) -> None:
        """`check` tells that the scope was cancelled, and why."""
        causes: list[object] = []

        def ask() -> None:
            try:
                check()
            except ScopeCancelled as error:
                causes.append(type(error.cause))
                raise

        worker = self.worker(ask)
        client = self.visit(lambda _: self.defer(worker))
        await worker.begun
        client.disconnect()
        worker.go_on.set()
        self.assertEqual(await self.ended(), Ended.STOPPED)
        self.assertEqual(causes, [Disconnected])

    async def test_checks_what_is_shielded(self) -> None:
        """`check` does not stop what is shielded from the scope's cancel."""
        worker = self.worker(told)

        async def work() -> None:
            await self.defer(worker)

        client = self.visit(lambda _: shield(work()))
        await worker.begun
        client.disconnect()
        worker.go_on.set()
        self.assertEqual(await self.ended(), Ended.STOPPED)
        self.assertEqual(worker.result, "not told")

    async def test_tracked_and_finished(self) -> None:
        """A tracked call that has not begun when the response is finished never does."""
        busy = self.worker()
        first = self.defer(busy)
        await busy.begun

        def handler(request: Request) -> bytes:
            scope_of(request).track(self.defer(self.fail))
            return PAGE

        self.visit(handler)
        self.assertEqual(self.successResultOf(self.closed).ended, Ended.STOPPED)
        busy.go_on.set()
        await first

    async def test_real_failure(self) -> None:
        """What the function raises after the client has left, and is no cancel, is logged."""
        worker = self.worker(failing(KeyError("oh")))
        client = self.visit(lambda _: self.defer(worker))
        await worker.begun
        client.disconnect()
        worker.go_on.set()
        self.assertEqual(await self.ended(), Ended.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    async def test_survivor(self) -> None:
        """A function that does not end is a survivor."""
        worker = self.worker()
        client = self.visit(lambda _: self.defer(worker))
        await worker.begun
        client.disconnect()
        self.clock.advance(5)
        self.assertEqual(await self.ended(), Ended.SURVIVED)
        self.assertFalse(worker.has_ended)

    async def test_reactor_of_the_site(self) -> None:
        """The threads are those of the Site's own reactor, where that has threads."""
        pool = self.pool

        class Threaded:
            """The reactor, with another pool."""

            def __getattr__(self, name: str) -> Any:
                return getattr(reactor, name)

            def getThreadPool(self) -> ThreadPool:
                return pool

        threaded = Threaded()
        alsoProvides(threaded, IReactorThreads, IReactorTime)

        def handler(_: Request) -> object:
            return defer_to_thread(lambda: threading.current_thread().name.encode())

        client = self.visit(handler, clock=threaded)
        self.assertEqual(await self.ended(), Ended.COMPLETED)
        self.assertIn(client.response.body.decode(), [each.name for each in pool.threads])


class LeftoverTests(ThreadTestCase):
    """What is left of calls."""

    async def test_no_cycles(self) -> None:
        """No call is left to the cycle collector: completed, never begun, or cancelled."""
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
