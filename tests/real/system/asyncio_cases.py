"""Futures and Tasks of asyncio, as `test_asyncio` runs them: under the asyncio reactor.

What belongs here: what can be shown only while asyncio's event loop runs. The name of this
trial does not collect this module by itself, since no other reactor runs that loop.

    python -m twisted.trial --reactor=asyncio tests.real.system.asyncio_cases
"""

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import (
    CancellingResource,
    Ended,
    Outcome,
    ResponseFinished,
    ScopeCancelled,
    cancel_on_disconnect,
    current_scope,
    scope_of,
)
from cancelweb.monitor import Monitor
from cancelweb.testing import Connection

from ..._pages import PAGE, GetPage, Handler
from ..._visits import connect

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


def tell_soon(waiting: Deferred[None]) -> None:
    """Fire a Deferred in the loop's next turn: by then the task that calls this waits."""
    asyncio.get_running_loop().call_soon(waiting.callback, None)


class AsyncioTestCase(TestCase):
    """A test whose handlers use asyncio.

    Attributes:
        steps: What happened in a task.
    """

    timeout = 20

    async def setUp(self) -> None:  # type: ignore[override]
        # Trial begins a test before the reactor runs, and so the loop.
        await deferLater(reactor, 0)
        self.clock = Clock()
        self.closed: Deferred[Outcome] = Deferred()
        self.steps: list[object] = []
        self.begun: Deferred[None] = Deferred()

    def visit(self, handler: Handler, **options: Any) -> Connection:
        """The connection of a client that has asked a page with this handler."""
        decorate: Any = cancel_on_disconnect(observers=self.closed.callback, **options)
        connection = connect(GetPage(decorate(handler)), self.clock)
        connection.get()
        return connection

    def visit_task(
        self, work: Callable[[], Coroutine[Any, Any, object]], **options: Any
    ) -> Connection:
        """The connection of a client that has asked a page that is the result of a task."""

        def handler(_: Request) -> object:
            self.task = asyncio.ensure_future(work())
            return self.task

        return self.visit(handler, **options)

    async def wait(self) -> None:
        """Begin, and wait without end."""
        self.begun.callback(None)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.steps.append("stopped")
            raise

    async def ended(self) -> Ended:
        """How the request ended."""
        return (await self.closed).ended


class FutureTests(AsyncioTestCase):
    """Futures that handlers return."""

    async def test_completes(self) -> None:
        """The result of a Future that a handler returns is the page."""
        future: asyncio.Future[bytes] = asyncio.get_event_loop().create_future()
        connection = self.visit(lambda _: future)
        future.set_result(PAGE)
        self.assertEqual(await self.ended(), Ended.COMPLETED)
        self.assertEqual(connection.response.body, PAGE)

    async def test_fails(self) -> None:
        """The exception of a Future that a handler returns is a 500, and is logged once."""
        future: asyncio.Future[bytes] = asyncio.get_event_loop().create_future()
        connection = self.visit(lambda _: future)
        future.set_exception(KeyError())
        self.assertEqual(await self.ended(), Ended.FAILED)
        self.assertEqual(connection.response.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    async def test_stops(self) -> None:
        """A Future is cancelled in the turn in which its client leaves."""
        future: asyncio.Future[bytes] = asyncio.get_event_loop().create_future()
        self.visit(lambda _: future).disconnect()
        self.assertTrue(future.cancelled())
        self.assertEqual(await self.ended(), Ended.STOPPED)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_cancelled_by_other_code(self) -> None:
        """A Future that other code cancels is a 500, and is logged."""
        future: asyncio.Future[bytes] = asyncio.get_event_loop().create_future()
        connection = self.visit(lambda _: future)
        # Told after cancelweb, which has asked to be told before.
        told: Deferred[object] = Deferred()
        future.add_done_callback(told.callback)
        future.cancel()
        await told
        self.clock.advance(0)
        self.assertEqual(await self.ended(), Ended.FAILED)
        self.assertEqual(connection.response.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(asyncio.CancelledError)), 1)

    async def test_through_a_deferred(self) -> None:
        """A Future behind a Deferred is cancelled when its client leaves, and nothing is logged."""
        future: asyncio.Future[bytes] = asyncio.get_event_loop().create_future()
        self.visit(lambda _: Deferred.fromFuture(future)).disconnect()
        self.assertEqual(await self.ended(), Ended.STOPPED)
        self.assertTrue(future.cancelled())
        self.assertEqual(self.flushLoggedErrors(), [])


class TaskTests(AsyncioTestCase):
    """Tasks that handlers return."""

    async def test_completes(self) -> None:
        """The result of a task that a handler returns is the page."""

        async def work() -> bytes:
            await asyncio.sleep(0)
            return PAGE

        connection = self.visit_task(work)
        self.assertEqual(await self.ended(), Ended.COMPLETED)
        self.assertEqual(connection.response.body, PAGE)

    async def test_stops(self) -> None:
        """A task is cancelled once when its client leaves, and has ended when the scope closes."""
        connection = self.visit_task(self.wait)
        await self.begun
        connection.disconnect()
        self.assertEqual(self.task.cancelling(), 1)
        self.assertEqual(await self.ended(), Ended.STOPPED)
        self.assertEqual(self.steps, ["stopped"])
        self.assertTrue(self.task.cancelled())

    async def test_not_begun(self) -> None:
        """A task that has not begun when its client leaves never begins."""
        self.visit_task(self.wait).disconnect()
        self.assertEqual(await self.ended(), Ended.STOPPED)
        self.assertFalse(self.begun.called)

    async def test_cleanup_is_not_cut(self) -> None:
        """A task's `finally` is waited for, even if other code had cancelled the task before."""

        cleaning: Deferred[None] = Deferred()
        go_on = asyncio.Event()

        async def work() -> None:
            try:
                await self.wait()
            finally:
                tell_soon(cleaning)
                await go_on.wait()
                self.steps.append("cleaned")

        connection = self.visit_task(work)
        await self.begun
        self.task.cancel()
        await cleaning
        connection.disconnect()
        go_on.set()
        await self.closed
        self.assertEqual(self.steps, ["stopped", "cleaned"])

    async def test_swallowed(self) -> None:
        """A task that swallows its cancellation and goes on is a survivor."""
        swallowed: Deferred[None] = Deferred()
        go_on = asyncio.Event()

        async def work() -> None:
            try:
                await self.wait()
            except asyncio.CancelledError:
                tell_soon(swallowed)
                await go_on.wait()

        connection = self.visit_task(work)
        await self.begun
        connection.disconnect()
        await swallowed
        self.clock.advance(5)
        self.assertEqual(await self.ended(), Ended.SURVIVED)
        go_on.set()
        await Deferred.fromFuture(self.task)

    async def test_timeout(self) -> None:
        """A task can use `asyncio.timeout`."""

        async def work() -> bytes:
            try:
                async with asyncio.timeout(0.01):
                    await self.wait()
            except TimeoutError:
                return PAGE
            return b"in time"

        connection = self.visit_task(work)
        self.assertEqual(await self.ended(), Ended.COMPLETED)
        self.assertEqual(connection.response.body, PAGE)

    async def test_timeout_and_disconnect(self) -> None:
        """A client that leaves inside an `asyncio.timeout` cancels the task, without a timeout."""

        async def work() -> None:
            async with asyncio.timeout(10):
                await self.wait()

        connection = self.visit_task(work)
        await self.begun
        connection.disconnect()
        self.assertEqual(await self.ended(), Ended.STOPPED)
        self.assertTrue(self.task.cancelled())

    async def test_task_group(self) -> None:
        """A task can use a TaskGroup."""

        async def part() -> bytes:
            await asyncio.sleep(0)
            return PAGE

        async def work() -> bytes:
            async with asyncio.TaskGroup() as group:
                parts = [group.create_task(part()) for _ in range(2)]
            return b"".join(each.result() for each in parts)

        connection = self.visit_task(work)
        self.assertEqual(await self.ended(), Ended.COMPLETED)
        self.assertEqual(connection.response.body, PAGE * 2)

    async def test_task_group_and_disconnect(self) -> None:
        """When the client leaves, a task and all tasks of its group are stopped."""
        parts: list[Deferred[None]] = [Deferred(), Deferred()]

        async def part(begun: Deferred[None]) -> None:
            tell_soon(begun)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.steps.append("part")

        async def work() -> None:
            async with asyncio.TaskGroup() as group:
                for each in parts:
                    group.create_task(part(each))
                await self.wait()

        connection = self.visit_task(work)
        for each in (self.begun, *parts):
            await each
        connection.disconnect()
        self.assertEqual(await self.ended(), Ended.STOPPED)
        self.assertEqual(sorted(map(str, self.steps)), ["part", "part", "stopped"])

    async def test_deadline(self) -> None:
        """A deadline stops the task, and the client gets a 503."""
        connection = self.visit_task(self.wait, timeout=3)
        await self.begun
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 503)
        self.assertEqual(await self.ended(), Ended.STOPPED)

    async def test_scope(self) -> None:
        """In a task, the current scope is that of its request."""

        async def work() -> bytes:
            await asyncio.sleep(0)
            self.steps.append(current_scope().request)
            return PAGE

        def handler(request: Request) -> object:
            self.steps.append(request)
            return asyncio.ensure_future(work())

        self.visit(handler)
        await self.closed
        self.assertEqual(len(self.steps), 2)
        self.assertIs(self.steps[0], self.steps[1])

    async def test_tracked(self) -> None:
        """A tracked task is stopped when the response is finished."""

        def handler(request: Any) -> int:
            self.request = request
            self.task = scope_of(request).track(asyncio.ensure_future(self.wait()))
            return NOT_DONE_YET

        self.visit(handler)
        await self.begun
        self.request.finish()
        self.assertEqual(await self.ended(), Ended.COMPLETED)
        self.assertTrue(self.task.cancelled())

    async def test_check(self) -> None:
        """In a tracked task that is stopped after the response, `check` raises."""
        await self.assert_check_raises(lambda task: task)

    async def test_check_behind_a_deferred(self) -> None:
        """In a task behind a tracked Deferred or coroutine that is stopped, `check` raises."""

        async def awaiting(task: asyncio.Task[None]) -> None:
            await Deferred.fromFuture(task)

        await self.assert_check_raises(Deferred.fromFuture)
        await self.assert_check_raises(awaiting)

    async def assert_check_raises(self, made_of: Callable[[asyncio.Task[None]], object]) -> None:
        """`check` raises in a task that is stopped by way of what is made of it and tracked."""
        causes: list[object] = []
        self.begun, self.closed = Deferred(), Deferred()

        async def work() -> None:
            self.begun.callback(None)
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                try:
                    current_scope().check()
                except ScopeCancelled as error:
                    causes.append(error.cause)

        def handler(request: Any) -> int:
            self.request = request
            scope_of(request).track(made_of(asyncio.ensure_future(work())))
            return NOT_DONE_YET

        self.visit(handler)
        await self.begun
        await deferLater(reactor, 0)  # Until then its own step is on the stack.
        self.request.finish()
        self.assertEqual(await self.ended(), Ended.COMPLETED)
        # Before 3.12 a task does not tell its context.
        self.assertEqual(causes, [ResponseFinished()] * (sys.version_info >= (3, 12)))


class CoroutineTests(AsyncioTestCase):
    """What works in an `async def` handler, which is Twisted's and not asyncio's."""

    async def test_timeout(self) -> None:
        """`asyncio.timeout` in an `async def` handler is a 500: it needs a task."""

        async def handler(_: Request) -> bytes:
            async with asyncio.timeout(10):
                return PAGE

        connection = self.visit(handler)
        self.assertEqual(await self.ended(), Ended.FAILED)
        self.assertEqual(connection.response.code, 500)
        (failure,) = self.flushLoggedErrors(RuntimeError)
        self.assertRegex(
            str(failure.value),
            r"^Timeout should be used inside a task: .*:\d+ in .*handler uses asyncio outside a "
            r"task, .* `await Deferred\.fromFuture\(asyncio\.ensure_future\(part\(\)\)\)`\.$",
        )

    async def test_a_part_in_a_task(self) -> None:
        """A part of an `async def` handler that runs as a task may use `asyncio.timeout`."""

        async def part() -> bytes:
            async with asyncio.timeout(10):
                await asyncio.sleep(0)
                return PAGE

        async def handler(_: Request) -> bytes:
            return await Deferred.fromFuture(asyncio.ensure_future(part()))

        connection = self.visit(handler)
        self.assertEqual(await self.ended(), Ended.COMPLETED)
        self.assertEqual(connection.response.body, PAGE)

    async def test_task_group(self) -> None:
        """A TaskGroup in an `async def` handler is a 500: it needs a task."""

        async def handler(_: Request) -> bytes:
            async with asyncio.TaskGroup():
                return PAGE

        connection = self.visit(handler)
        self.assertEqual(await self.ended(), Ended.FAILED)
        self.assertEqual(connection.response.code, 500)
        (failure,) = self.flushLoggedErrors(RuntimeError)
        self.assertIn("cannot determine the parent task", str(failure.value))

    async def test_future(self) -> None:
        """An `async def` handler that awaits a Future is a 500."""

        async def handler(_: Request) -> bytes:
            future: asyncio.Future[bytes] = asyncio.get_event_loop().create_future()
            return await future

        connection = self.visit(handler)
        self.assertEqual(await self.ended(), Ended.FAILED)
        self.assertEqual(connection.response.code, 500)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    async def test_through_a_deferred(self) -> None:
        """The Deferred of a task can be awaited, and is stopped when the client leaves."""

        async def handler(_: Request) -> object:
            self.task = asyncio.ensure_future(self.wait())
            return await Deferred.fromFuture(self.task)

        connection = self.visit(handler)
        await self.begun
        connection.disconnect()
        self.assertEqual(await self.ended(), Ended.STOPPED)
        with self.assertRaises(asyncio.CancelledError):
            await Deferred.fromFuture(self.task)
        self.assertEqual(self.steps, ["stopped"])

    async def test_returned_by_a_coroutine(self) -> None:
        """A coroutine can return a task, which is stopped when the client leaves."""

        async def handler(_: Request) -> object:
            return asyncio.ensure_future(self.wait())

        connection = self.visit(handler)
        await self.begun
        connection.disconnect()
        self.assertEqual(await self.ended(), Ended.STOPPED)
        self.assertEqual(self.steps, ["stopped"])


class ThreadTests(AsyncioTestCase):
    """Threads that asyncio calls, which run on and are let go, never "stopped"."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)

    def compute(self) -> None:
        """Tell that the thread has begun, and compute until the test says so."""
        reactor.callFromThread(self.begun.callback, None)
        self.go_on.wait()

    async def leave_thread(self, handler: Handler) -> Ended:
        """Ask for a page, leave while its thread computes, and wait until the thread has ended."""
        monitor = Monitor(reactor)
        observers = [self.closed.callback]
        root = CancellingResource(GetPage(handler), monitor=monitor, observers=observers)
        connection = connect(root, self.clock)
        connection.get()
        await self.begun
        connection.disconnect()
        ended = await self.ended()
        self.assertEqual(len(monitor.let_go), 1)
        self.go_on.set()
        while monitor.let_go:
            await deferLater(reactor, 0.001)
        return ended

    def in_executor(self) -> asyncio.Future[None]:
        """A call in the executor of the loop."""
        return asyncio.get_running_loop().run_in_executor(None, self.compute)

    async def test_returned(self) -> None:
        """A thread whose future a handler returns is let go."""
        self.assertEqual(await self.leave_thread(lambda _: self.in_executor()), Ended.LET_GO)

    async def test_tracked(self) -> None:
        """A thread whose future a handler tracks is let go."""

        def handler(_: Request) -> int:
            current_scope().track(self.in_executor())
            return NOT_DONE_YET

        self.assertEqual(await self.leave_thread(handler), Ended.LET_GO)

    async def test_awaited(self) -> None:
        """A thread whose Deferred a coroutine awaits is let go."""

        async def handler(_: Request) -> None:
            await Deferred.fromFuture(self.in_executor())

        self.assertEqual(await self.leave_thread(handler), Ended.LET_GO)

    async def test_task(self) -> None:
        """A thread that a task awaits is let go."""

        def handler(_: Request) -> object:
            return asyncio.ensure_future(asyncio.to_thread(self.compute))

        self.assertEqual(await self.leave_thread(handler), Ended.LET_GO)


class ContextTests(AsyncioTestCase):
    """Contexts, which leak under this reactor, and scopes, which do not."""

    async def test_timer_in_an_old_context(self) -> None:
        """A request that is served in the context of an ended one has a scope of its own."""
        contexts: list[contextvars.Context] = []

        def handler(request: Request) -> bytes:
            contexts.append(contextvars.copy_context())
            self.steps.append(current_scope().request is request)
            return PAGE

        decorate: Any = cancel_on_disconnect(observers=())
        page = GetPage(decorate(handler))
        connect(page, self.clock).get()
        contexts[0].run(connect(page, self.clock).get)
        self.assertEqual(self.steps, [True, True])

    async def test_old_scope_holds_no_request(self) -> None:
        """A timer that was set in a handler keeps its scope, but not its request."""

        def handler(_: Request) -> bytes:
            # Of the loop, which keeps the context; the reactor does so only now and then.
            asyncio.get_running_loop().call_soon(self.look)
            return PAGE

        self.looked: Deferred[object] = Deferred()
        self.visit(handler)
        self.assertIs(await self.looked, None)

    def look(self) -> None:
        """Tell the request of the scope in which this is called."""
        self.looked.callback(current_scope().request)
