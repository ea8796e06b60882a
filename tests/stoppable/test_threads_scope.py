"""Functions in threads that work for a request.

What belongs here: `cancelweb.threads` in handlers. What does not: what needs no scope.
"""

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorThreads, IReactorTime
from twisted.internet.task import Clock
from twisted.python.threadpool import ThreadPool
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import alsoProvides

from cancelweb import (
    Disconnected,
    Ended,
    Outcome,
    ScopeCancelled,
    cancel_on_disconnect,
    current_scope,
    scope_of,
    shield,
)
from cancelweb.testing import Connection
from cancelweb.threads import check, defer_to_thread

from .._pages import PAGE, GetPage
from .._visits import connect
from ._workers import ThreadTestCase, Worker, failing
from .test_threads import told

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class ScopeTests(ThreadTestCase):
    """Calls that handlers make."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.closed: Deferred[Outcome] = Deferred()

    def visit(self, handler: Callable[[Request], object], **options: Any) -> Connection:
        """The connection of a client that has asked a page with this handler."""
        decorate: Any = cancel_on_disconnect(observers=self.closed.callback, **options)
        connection = connect(GetPage(decorate(handler)), self.clock)
        connection.get()
        return connection

    async def ended(self) -> Ended:
        """How the request ended."""
        return (await self.closed).ended

    async def test_returned(self) -> None:
        """The result of a call that a handler returns is the page."""
        connection = self.visit(lambda _: defer_to_thread(lambda: PAGE))
        self.assertEqual(await self.ended(), Ended.COMPLETED)
        self.assertEqual(connection.response.body, PAGE)

    async def leave(self, handler: Callable[[Worker], Callable[[Request], object]]) -> Worker:
        """Leave while a call that checks its scope runs, and expect its end before the scope's."""
        worker = self.worker(lambda: current_scope().check())
        connection = self.visit(handler(worker))
        await worker.begun
        connection.disconnect()
        self.assertNoResult(self.closed)
        worker.go_on.set()
        self.assertEqual(await self.ended(), Ended.STOPPED)
        self.assertTrue(worker.has_ended)
        return worker

    async def test_returned_and_left(self) -> None:
        """A scope whose client leaves waits for the call that the handler returned."""
        await self.leave(lambda worker: lambda _: self.defer(worker))

    async def test_awaited_and_left(self) -> None:
        """A coroutine whose client leaves is resumed when the thread that it awaits is free."""
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
        """An `inlineCallbacks` handler whose client leaves is resumed when the thread is free."""
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
        """A scope whose client leaves waits for a call that is only tracked."""

        def handler(worker: Worker) -> Callable[[Request], object]:
            def render(request: Request) -> object:
                scope_of(request).track(self.defer(worker))
                return NOT_DONE_YET

            return render

        await self.leave(handler)

    async def test_checks(self) -> None:
        """`check` raises ScopeCancelled in the thread, with the cause of the scope's cancel."""
        causes: list[object] = []

        def ask() -> None:
            try:
                check()
            except ScopeCancelled as error:
                causes.append(type(error.cause))
                raise

        worker = self.worker(ask)
        connection = self.visit(lambda _: self.defer(worker))
        await worker.begun
        connection.disconnect()
        worker.go_on.set()
        self.assertEqual(await self.ended(), Ended.STOPPED)
        self.assertEqual(causes, [Disconnected])

    async def test_checks_what_is_shielded(self) -> None:
        """`check` does not raise in a call that is shielded from the scope's cancel."""
        worker = self.worker(told)

        async def work() -> None:
            await self.defer(worker)

        connection = self.visit(lambda _: shield(work()))
        await worker.begun
        connection.disconnect()
        worker.go_on.set()
        self.assertEqual(await self.ended(), Ended.STOPPED)
        self.assertEqual(worker.result, "not told")

    async def test_tracked_and_finished(self) -> None:
        """A tracked call that has not begun when the response is finished never begins."""
        busy = self.worker()
        first = self.defer(busy)
        await busy.begun

        def handler(request: Request) -> bytes:
            scope_of(request).track(self.defer(self.fail))
            return PAGE

        self.visit(handler)
        outcome = self.successResultOf(self.closed)
        self.assertEqual((outcome.ended, outcome.leftovers), (Ended.COMPLETED, 1))
        busy.go_on.set()
        await first

    async def test_real_failure(self) -> None:
        """An error that the function raises after its client left is logged, and a failure."""
        worker = self.worker(failing(KeyError("oh")))
        connection = self.visit(lambda _: self.defer(worker))
        await worker.begun
        connection.disconnect()
        worker.go_on.set()
        self.assertEqual(await self.ended(), Ended.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    async def test_survivor(self) -> None:
        """A call that does not end after its client left is a survivor."""
        worker = self.worker()
        connection = self.visit(lambda _: self.defer(worker))
        await worker.begun
        connection.disconnect()
        self.clock.advance(5)
        self.assertEqual(await self.ended(), Ended.SURVIVED)
        self.assertFalse(worker.has_ended)

    async def test_reactor_of_the_site(self) -> None:
        """A call runs in the thread pool of the Site's own reactor, if it has one."""
        pool = self.pool

        class Threaded:
            """The reactor, with another thread pool."""

            def __getattr__(self, name: str) -> Any:
                return getattr(reactor, name)

            def getThreadPool(self) -> ThreadPool:
                return pool

        threaded = Threaded()
        alsoProvides(threaded, IReactorThreads, IReactorTime)

        def handler(_: Request) -> object:
            return defer_to_thread(lambda: threading.current_thread().name.encode())

        connection = self.visit(handler, clock=threaded)
        self.assertEqual(await self.ended(), Ended.COMPLETED)
        self.assertIn(connection.response.body.decode(), [each.name for each in pool.threads])
