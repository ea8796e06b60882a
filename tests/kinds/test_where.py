"""Where work waits, as reports of survivors tell it.

What belongs here: the lines that are told. What does not: when they are
(`scopes.test_survivors_told`).
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import formatEvent
from twisted.trial.unittest import TestCase
from twisted.web.server import Request

from cancelweb import CancellingResource
from cancelweb._kinds.registry import canceller_for
from cancelweb.monitor import Monitor, Survivor, where_it_waits
from cancelweb.processes import run, stream
from cancelweb.testing import Connection
from cancelweb.threads import defer_to_thread

from .._pages import Handler, Page
from .._visits import connect
from ..scopes._survivors import ReportTestCase, line_of, outer, reactor, stubborn


class WhereTests(ReportTestCase):
    """The lines that tell where work waits."""

    def where(self) -> list[str]:
        """Where the only survivor waits, line by line."""
        (survivor,) = self.monitor.survivors
        return survivor.where.splitlines()

    def test_of_a_coroutine(self) -> None:
        """A surviving coroutine tells its chain of awaits by file and line, the innermost last."""
        wait: Deferred[None] = Deferred()
        (event,) = self.leave(lambda _: outer(wait))
        self.assertEqual(self.where(), [line_of(outer, 2), line_of(stubborn, 5)])
        self.assertIn(line_of(stubborn, 5), formatEvent(event))
        wait.callback(None)
        self.assertEqual(self.monitor.survivors, ())

    def test_of_a_tracked_coroutine(self) -> None:
        """A tracked coroutine that survives tells its chain of awaits."""
        wait: Deferred[None] = Deferred()

        def handler(request: Request) -> Deferred[bytes]:
            self.monitor.scopes[0].track(outer(wait))
            return Deferred()

        self.leave(handler)
        self.assertEqual(self.where(), [line_of(outer, 2), line_of(stubborn, 5)])
        wait.callback(None)

    def test_of_a_stream(self) -> None:
        """A surviving async generator tells its own line first, and the innermost await last."""
        wait: Deferred[None] = Deferred()

        async def chunks(request: Request) -> AsyncIterator[bytes]:
            await stubborn(wait)
            yield b""

        self.leave(chunks)
        self.assertEqual(self.where()[0], line_of(chunks, 1))
        self.assertEqual(self.where()[-1], line_of(stubborn, 5))
        wait.callback(None)

    def test_of_one_that_iterates(self) -> None:
        """A surviving coroutine tells the frames behind its ``async for``."""
        wait: Deferred[None] = Deferred()

        async def chunks() -> AsyncIterator[bytes]:
            await stubborn(wait)
            yield b""

        async def handler(request: Request) -> bytes:
            return b"".join([chunk async for chunk in chunks()])

        self.leave(handler)
        self.assertEqual(self.where()[-2:], [line_of(chunks, 1), line_of(stubborn, 5)])
        wait.callback(None)

    def test_of_other_work(self) -> None:
        """A surviving Deferred that is paused tells no more than that."""
        wait: Deferred[bytes] = Deferred(lambda deferred: deferred.pause())
        self.leave(lambda _: wait)
        self.assertEqual(self.where(), ["Deferred that is paused"])
        wait.unpause()

    def test_of_a_generator(self) -> None:
        """A streamed iterator tells the line at which it will go on."""

        def chunks(request: Request) -> Iterator[bytes]:
            while True:
                yield b"chunk"

        connection = connect(CancellingResource(Page(chunks), monitor=self.monitor))
        connection.get()
        self.assertEqual(where_it_waits(self.monitor.scopes[0]), line_of(chunks, 2))
        connection.disconnect()

    def test_of_a_coroutine_that_has_ended(self) -> None:
        """A coroutine that has ended waits nowhere, and tells only its name."""

        async def done() -> None:
            pass

        canceller = canceller_for(done())
        self.assertEqual(canceller.where(), f"coroutine {done.__qualname__}")
        self.assertEqual(canceller.describe(), f"coroutine {done.__qualname__}")

    def test_of_asyncio_tasks(self) -> None:
        """An asyncio task tells its line, and that of the task that it awaits."""

        async def inner(future: asyncio.Future[None]) -> None:
            await future

        async def waits_for(task: asyncio.Task[None]) -> None:
            await task

        async def main() -> None:
            future = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(inner(future))
            waiter = asyncio.create_task(waits_for(task))
            await asyncio.sleep(0)
            expected = [line_of(waits_for, 1), line_of(inner, 1)]
            self.assertEqual(canceller_for(waiter).where().splitlines(), expected)
            future.set_result(None)
            await waiter

        asyncio.run(main())

    def test_of_a_scope(self) -> None:
        """`where_it_waits` tells the innermost line of work, and nothing once it has ended."""
        wait: Deferred[None] = Deferred()
        connection = connect(CancellingResource(Page(lambda _: outer(wait)), monitor=self.monitor))
        connection.get()
        (scope,) = self.monitor.scopes
        self.assertEqual(where_it_waits(scope), line_of(stubborn, 3))
        connection.disconnect()
        self.assertEqual(where_it_waits(scope), line_of(stubborn, 5))
        wait.callback(None)
        self.assertEqual(where_it_waits(scope), "")


class ThreadsAndProcessesTests(TestCase):
    """Work outside the process's main thread."""

    timeout = 20

    def setUp(self) -> None:
        """A monitor, and a clock that the test moves."""
        self.monitor = Monitor()
        self.clock = Clock()

    def leave(self, connection: Connection) -> Survivor:
        """Disconnect, wait 5 s, and return the only survivor."""
        connection.disconnect()
        connection.client.clock.advance(5)
        (survivor,) = self.monitor.survivors
        return survivor

    def ask(self, handler: Handler) -> Connection:
        """Send a request to a monitored page."""
        root = CancellingResource(Page(handler), monitor=self.monitor, observers=())
        connection = connect(root)
        connection.get()
        return connection

    async def until_no_survivor(self) -> None:
        """Wait until the last survivor has ended."""
        while self.monitor.survivors:
            await deferLater(reactor, 0.01)

    async def test_a_thread(self) -> None:
        """A survivor that waits for a thread tells the thread's id and name."""
        begun: Deferred[threading.Thread] = Deferred()
        go_on = threading.Event()
        self.addCleanup(go_on.set)

        def work() -> None:
            reactor.callFromThread(begun.callback, threading.current_thread())
            go_on.wait()

        async def handler(request: Request) -> bytes:
            await defer_to_thread(work)
            return b""

        connection = self.ask(handler)
        thread = await begun
        last = self.leave(connection).where.splitlines()[-1]
        self.assertEqual(last, f"thread {thread.native_id} ({thread.name})")
        go_on.set()
        await self.until_no_survivor()

    async def test_a_child_process(self) -> None:
        """A survivor that waits for a child process tells the id of its process group."""
        connection = self.ask(lambda _: run(["sleep", "60"], grace=0, reactor=reactor))
        self.assertRegex(self.leave(connection).where, r"^process \d+ and its group$")
        await self.until_no_survivor()

    async def test_a_child_that_is_streamed(self) -> None:
        """A streamed child process tells the id of its group, before it is left and after."""
        connection = self.ask(
            lambda _: stream(["sh", "-c", "echo begun; sleep 60"], grace=0, reactor=reactor)
        )
        [scope] = self.monitor.scopes
        while b"begun" not in connection.received or not where_it_waits(scope).startswith(
            "process"
        ):
            await deferLater(reactor, 0.01)
            connection.client.clock.advance(0)
        self.assertRegex(where_it_waits(scope), r"^process \d+ and its group$")
        where = self.leave(connection).where
        self.assertRegex(where.splitlines()[-1], r"^process \d+ and its group$")
        await self.until_no_survivor()
