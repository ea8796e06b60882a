"""What is let go behind the futures of asyncio: calls in executors, and Deferreds.

What belongs here: Deferreds of futures, on an event loop that the tests drive. What does not: what
only the asyncio reactor can run, see `asyncio_cases`.
"""

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from functools import partial
from os.path import dirname
from typing import Any

from twisted.internet.defer import Deferred

import cancelweb
from cancelweb import Ended
from cancelweb._kinds.let_go import position_in
from cancelweb._kinds.where import lines_of

from ._let_go import LetGoTestCase

Way = Callable[[asyncio.Future[Any]], Coroutine[Any, Any, Any]]


async def awaited(future: asyncio.Future[Any]) -> Any:
    """A coroutine that awaits the future."""
    return await future


async def deeply_awaited(future: asyncio.Future[Any]) -> Any:
    """A coroutine that awaits a task, which awaits the future."""
    return await asyncio.ensure_future(awaited(future))


async def gathered(future: asyncio.Future[Any]) -> Any:
    """A coroutine that awaits the future among others."""
    over, endless = (asyncio.get_running_loop().create_future() for _ in range(2))
    over.set_result(None)
    return await asyncio.gather(awaited(future), over, endless)


async def grouped(future: asyncio.Future[Any]) -> None:
    """A coroutine that waits for a group of tasks, one of which awaits the future."""
    async with asyncio.TaskGroup() as group:
        group.create_task(awaited(future))
        group.create_task(awaited(asyncio.get_running_loop().create_future()))


async def in_time(future: asyncio.Future[Any]) -> Any:
    """A coroutine that awaits the future for a limited time."""
    return await asyncio.wait_for(future, 100)


WAYS: list[Way] = [awaited, deeply_awaited, gathered, grouped, in_time]


class FutureTestCase(LetGoTestCase):
    """Visits of pages that wait for futures.

    Attributes:
        loop: runs only in `turn`.
        call: the last call in an executor.
    """

    def setUp(self) -> None:
        super().setUp()
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)

    def turn(self) -> None:
        """Let all tasks go on that can."""
        for _ in range(9):
            self.loop.run_until_complete(asyncio.sleep(0))

    def begin(self, is_running: bool = True) -> asyncio.Future[Any]:
        """The future of a new call in an executor, as ``run_in_executor`` makes it."""
        self.call: concurrent.futures.Future[None] = concurrent.futures.Future()
        if is_running:
            self.call.set_running_or_notify_cancel()
        return asyncio.wrap_future(self.call, loop=self.loop)

    def leave_future(self, future: asyncio.Future[Any]) -> Ended:
        """Ask for a page that waits for this future, and leave; returns how its work has ended."""

        async def handler(_: object) -> Any:
            return await Deferred.fromFuture(future)

        connection = self.visit(handler)
        self.turn()
        connection.disconnect()
        self.turn()
        return self.ended()

    def task(self, way: Way, future: asyncio.Future[Any]) -> asyncio.Future[Any]:
        """A task that waits for the future in one of these ways."""
        return self.loop.create_task(way(future))

    def ways(self) -> list[Callable[[asyncio.Future[Any]], asyncio.Future[Any]]]:
        """All ways to wait for a future, and the future itself."""
        return [lambda future: future, *(partial(self.task, way) for way in WAYS)]


class AThreadRunsOnTests(FutureTestCase):
    """Promise 9: a call in an executor that has begun is let go, however code waits for it."""

    def test_let_go(self) -> None:
        """A call that has begun is let go, and counts as running until it has ended."""
        for wait in self.ways():
            self.assertIs(self.leave_future(wait(self.begin())), Ended.LET_GO)
            self.assertEqual(len(self.monitor.let_go), 1)
            # Code that keeps the future itself makes no difference.
            self.call.set_result(None)
            self.assertEqual(self.monitor.let_go, ())

    def test_it_is_told_where(self) -> None:
        """The log names the line of the handler that waits for the call."""
        self.leave_future(self.begin())
        [line] = map(str, self.lines())
        self.assertIn("in FutureTestCase.leave_future.<locals>.handler", line)

    def test_a_package_beside_ours(self) -> None:
        """A package whose name begins with that of cancelweb is taken for a user's code."""
        package = dirname(cancelweb.__file__)
        line = f"{package}_plugin/queries.py:9 in query"
        self.assertEqual(position_in(f"/app/views.py:3 in handler\n{line}"), line)

    def test_it_is_told_where_it_is_used(self) -> None:
        """The place that is named is a line of the user's code, and not one of asyncio's."""
        task = self.task(in_time, self.begin())
        self.turn()
        lines = list(lines_of(task))
        self.assertIn("asyncio", lines[-1])
        self.assertRegex(position_in("\n".join(lines)), " in in_time$")
        self.assertEqual(position_in(lines[-1]), lines[-1])
        task.cancel()
        self.turn()

    def test_not_begun(self) -> None:
        """A call that has not begun is cancelled, and counts as stopped."""
        for wait in self.ways():
            self.assertIs(self.leave_future(wait(self.begin(False))), Ended.STOPPED)
            self.assertTrue(self.call.cancelled())

    def test_just_ended(self) -> None:
        """A call that has ended counts as stopped, though asyncio does not know about its end."""
        future = self.begin()
        connection = self.visit(lambda _: Deferred.fromFuture(future))
        self.call.set_exception(ValueError())
        connection.disconnect()
        self.turn()
        self.assertIs(self.ended(), Ended.STOPPED)

    def test_no_thread(self) -> None:
        """Futures and tasks behind which there is no call are stopped."""
        for way in WAYS:
            self.assertIs(
                self.leave_future(self.task(way, self.loop.create_future())), Ended.STOPPED
            )
        self.assertEqual(self.monitor.let_go, ())

    def test_task_that_has_not_begun(self) -> None:
        """A task that has not begun, and waits for nothing yet, counts as stopped."""
        task = self.task(awaited, self.begin())
        self.visit(lambda _: Deferred.fromFuture(task)).disconnect()
        self.turn()
        self.assertIs(self.ended(), Ended.STOPPED)

    def test_task_that_goes_on(self) -> None:
        """A call that a task has left behind is let go, though the task still cleans up."""

        async def cleaning_up(future: asyncio.Future[Any]) -> None:
            try:
                await future
            finally:
                await asyncio.sleep(0)

        self.assertIs(self.leave_future(self.task(cleaning_up, self.begin())), Ended.LET_GO)

    def test_futures_of_other_classes(self) -> None:
        """Futures are cancelled whatever their class keeps under a name of asyncio's own."""
        kept: Any
        for kept, logged in (("x",), 0), (1, 1):
            own = type("Own", (asyncio.Future,), {"_children": kept})
            for each in (own(loop=self.loop), self.task(awaited, own(loop=self.loop))):
                self.assertIs(self.leave_future(each), Ended.STOPPED)
                self.assertTrue(each.cancelled())
                self.assertEqual(len(self.flushLoggedErrors(TypeError)), logged)

    def test_futures_of_other_classes_beside_a_thread(self) -> None:
        """A call beside a future of a faulty class is let go, and the error is logged."""
        own = type("Own", (asyncio.Future,), {"_children": 1})(loop=self.loop)
        both = asyncio.gather(own, self.begin())
        self.assertIs(self.leave_future(both), Ended.LET_GO)
        self.assertTrue(own.cancelled())
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_shielded(self) -> None:
        """A call that a task shields is not cancelled, and the task counts as stopped."""

        async def shielded(future: asyncio.Future[Any]) -> Any:
            return await asyncio.shield(future)

        self.assertIs(self.leave_future(self.task(shielded, self.begin(False))), Ended.STOPPED)
        self.assertFalse(self.call.cancelled())


class ADeferredBehindAFutureTests(FutureTestCase):
    """Promise 9: a future that ``asFuture`` has made ends as the Deferred behind it."""

    def as_future(self, deferred: Deferred[Any]) -> asyncio.Future[Any]:
        """A task that awaits the future of a Deferred."""
        return self.task(awaited, deferred.asFuture(self.loop))

    def test_unstoppable(self) -> None:
        """A future whose Deferred nothing can stop is let go."""
        self.assertIs(self.leave_future(self.as_future(self.wait())), Ended.LET_GO)
        self.assertEqual(len(self.monitor.let_go), 1)
        self.held.clear()
        self.assertEqual(self.monitor.let_go, ())

    def test_stoppable(self) -> None:
        """A future whose Deferred has a canceller is stopped."""
        waiting: Deferred[None] = Deferred(lambda _: None)
        self.assertIs(self.leave_future(self.as_future(waiting)), Ended.STOPPED)

    def test_there_and_back(self) -> None:
        """A call is let go behind a future of a Deferred of a future."""
        there = self.as_future(Deferred.fromFuture(self.begin()))
        self.assertIs(self.leave_future(there), Ended.LET_GO)
