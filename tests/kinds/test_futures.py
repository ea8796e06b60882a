"""Futures of threads: `concurrent.futures`, with real threads.

What belongs here: Futures that handlers return or track. What does not: those of asyncio, which
need its reactor.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.server import Request

from cancelweb import Ended, Outcome, cancel_on_disconnect, scope_of
from cancelweb.testing import Connection

from .._pages import PAGE, GetPage
from .._visits import connect

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class FutureTests(TestCase):
    """A Future of one thread, which can be kept busy."""

    timeout = 20

    def setUp(self) -> None:
        self.clock = Clock()
        self.closed: Deferred[Outcome] = Deferred()
        self.executor = ThreadPoolExecutor(1)
        self.addCleanup(self.executor.shutdown)
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)

    def visit(self, function: Callable[[], object]) -> Connection:
        """Visit a page that returns the Future of the function's call."""

        def handler(_: Request) -> object:
            self.future: Future[object] = self.executor.submit(function)
            return self.future

        decorate: Any = cancel_on_disconnect(observers=self.closed.callback)
        connection = connect(GetPage(decorate(handler)), self.clock)
        connection.get()
        return connection

    def keep_busy(self) -> Deferred[None]:
        """Occupy the thread until `go_on` is set; fires when the thread is occupied."""
        begun: Deferred[None] = Deferred()

        def wait() -> None:
            reactor.callFromThread(begun.callback, None)
            self.go_on.wait()

        self.executor.submit(wait)
        return begun

    async def test_completes(self) -> None:
        """The result of a call in a thread is the page."""
        connection = self.visit(lambda: PAGE)
        self.assertEqual((await self.closed).ended, Ended.COMPLETED)
        self.assertEqual(connection.response.body, PAGE)

    async def test_fails(self) -> None:
        """A call in a thread that raises is answered 500, and its error is logged once."""

        def raising() -> None:
            raise KeyError

        connection = self.visit(raising)
        self.assertEqual((await self.closed).ended, Ended.FAILED)
        self.assertEqual(connection.response.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    async def test_not_begun(self) -> None:
        """A call that still waits for its thread when the client leaves never begins."""
        await self.keep_busy()
        self.visit(self.fail).disconnect()
        self.assertTrue(self.future.cancelled())
        self.assertEqual((await self.closed).ended, Ended.STOPPED)

    async def test_running(self) -> None:
        """A call that still runs 5 s after the client has left is a survivor."""
        begun: Deferred[None] = Deferred()

        def work() -> None:
            reactor.callFromThread(begun.callback, None)
            self.go_on.wait()

        connection = self.visit(work)
        await begun
        connection.disconnect()
        self.clock.advance(4.9)
        self.assertFalse(self.closed.called)
        self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(self.closed).ended, Ended.SURVIVED)

    async def test_running_ends(self) -> None:
        """A call that ends after the client has left has completed, and nothing is sent."""
        begun: Deferred[None] = Deferred()

        def work() -> bytes:
            reactor.callFromThread(begun.callback, None)
            self.go_on.wait()
            return PAGE

        connection = self.visit(work)
        await begun
        connection.disconnect()
        self.go_on.set()
        self.assertEqual((await self.closed).ended, Ended.COMPLETED)
        self.assertEqual(connection.received, b"")

    async def test_tracked(self) -> None:
        """A tracked call that raises is logged once, and the outcome is FAILED."""

        def raising() -> None:
            raise KeyError

        def handler(request: Request) -> object:
            scope_of(request).track(self.executor.submit(raising))
            return answer

        answer: Deferred[bytes] = Deferred()
        decorate: Any = cancel_on_disconnect(observers=self.closed.callback)
        connect(GetPage(decorate(handler)), self.clock).get()
        await self.keep_busy()
        answer.callback(PAGE)
        self.assertEqual((await self.closed).ended, Ended.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
