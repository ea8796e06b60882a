"""asyncio in handlers, used by mistake: the complete messages.

What belongs here: errors that asyncio itself raises, in memory. What does not: asyncio's reactor,
and tasks that handlers return, which are not mistakes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from queue import Queue
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.logger import LogLevel
from twisted.python.threadpool import ThreadPool
from twisted.web.server import Request

from cancelweb import CancellingResource, cancel_on_disconnect

from .._logs import log_events, of_cancelweb
from .._pages import PAGE, GetPage
from ._mistakes import MistakeTestCase, place

NO_LOOP = (
    f"uses asyncio, but this server runs on Twisted's {type(reactor).__name__}. Use Twisted's own "
    "functions, such as `deferLater(reactor, 1)` instead of `asyncio.sleep(1)`. Or start the "
    "server with `twist --reactor=asyncio`, and run this part as an asyncio task."
)
NO_TASK = (
    "uses asyncio outside a task, because Twisted runs this coroutine. Move this part into a "
    "coroutine function, and write `await Deferred.fromFuture(asyncio.ensure_future(part()))`."
)
NEVER_ENDS = (
    "can never end, because its event loop does not run. Run the server on Twisted's asyncio "
    "reactor: twist --reactor=asyncio ..."
)


async def sleeping(_: Any) -> bytes:
    """Sleep as under asyncio."""
    await asyncio.sleep(1)
    return PAGE


async def limited(_: Any) -> bytes:
    """Limit the time as under asyncio."""
    async with asyncio.timeout(1):
        return PAGE


async def grouped(_: Any) -> bytes:
    """Group tasks as under asyncio."""
    async with asyncio.TaskGroup():
        return PAGE


async def locking(_: Any) -> bytes:
    """Wait for a lock as under asyncio."""
    lock = asyncio.Lock()
    await lock.acquire()
    await lock.acquire()
    return PAGE


async def streaming(_: Any) -> AsyncIterator[bytes]:
    """Sleep in a stream."""
    await asyncio.sleep(1)
    yield PAGE


def finding_a_loop(_: Any) -> bytes:
    """Ask for the loop, in a plain function."""
    asyncio.get_running_loop()
    return PAGE


class OtherReactorTests(MistakeTestCase):
    """Another reactor than that of asyncio runs: no event loop does."""

    def test_each(self) -> None:
        """The error of asyncio in a handler names the line, the reactor, and two ways out."""
        missing = "'NoneType' object has no attribute 'create_future'"
        for handler, error, line in [
            (sleeping, "no running event loop", 2),
            (limited, "no running event loop", 2),
            (streaming, "no running event loop", 2),
            (locking, missing, 4),
        ]:
            self.assert_says(handler, f"{error}: {{at}} {NO_LOOP}", line)

    def test_in_a_wrapped_resource(self) -> None:
        """The error of asyncio in a wrapped coroutine is completed, too."""
        connection = self.serve_resource(CancellingResource(GetPage(sleeping)))
        connection.get()
        error = self.assert_failed(connection, RuntimeError)
        self.assertEqual(str(error), f"no running event loop: {place(sleeping, 2)} {NO_LOOP}")

    def test_in_a_hook(self) -> None:
        """The error of asyncio in a cleanup hook is completed, too."""
        events = log_events(self)
        self.visit(lambda _: PAGE, on_exit=sleeping)
        (event,) = of_cancelweb(events, LogLevel.critical)
        self.assertEqual(
            str(event["log_failure"].value),
            f"no running event loop: {place(sleeping, 2)} {NO_LOOP}",
        )
        self.logged_error(RuntimeError)

    def test_a_future(self) -> None:
        """The error of a handler that returns a future without a loop names the handler."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        future = loop.create_future()
        self.assert_says(lambda _: future, f"{{at}}: {future!r} {NEVER_ENDS}")

    def test_in_a_thread(self) -> None:
        """The error of asyncio in a thread says how to run a coroutine there."""
        results: Queue[Any] = Queue()
        pool = ThreadPool(minthreads=0, maxthreads=1)
        pool.start()
        self.addCleanup(pool.stop)
        pool.callInThreadWithCallback(lambda _, result: results.put(result), finding_a_loop, None)
        failure = results.get()
        connection = self.visit(lambda _: fail(failure))
        self.assertEqual(
            str(self.assert_failed(connection, RuntimeError)),
            f"no running event loop: {place(finding_a_loop, 2)} uses asyncio in a thread, which "
            "has no event loop. Write `asyncio.run(part())` there, or move this part out of the "
            "thread.",
        )

    def test_raised_by_a_wrapped_resource(self) -> None:
        """An error that a wrapped resource raises itself is Twisted's, and stays as it is."""
        connection = self.serve_resource(CancellingResource(GetPage(finding_a_loop)))
        connection.get()
        error = self.assert_failed(connection, RuntimeError)
        self.assertEqual(str(error), "no running event loop")


class AsyncioReactorTests(MistakeTestCase):
    """An event loop runs, as under the reactor of asyncio; the handler is not one of its tasks."""

    def run_in_loop(self, function: Callable[[], object]) -> None:
        """Call a function in an event loop that runs, as reactors are called, in no task."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        called = loop.create_future()
        loop.call_soon(lambda: called.set_result(maybeDeferred(function)))
        self.successResultOf(loop.run_until_complete(called))

    def test_each(self) -> None:
        """The error of asyncio outside a task names the line, and says how to run a task."""
        for handler, error, line in [
            (sleeping, "await wasn't used with future", 2),
            (limited, "Timeout should be used inside a task", 2),
        ]:
            message = f"{error}: {{at}} {NO_TASK}"
            self.run_in_loop(partial(self.assert_says, handler, message, line))

    def test_a_group(self) -> None:
        """The error of a TaskGroup outside a task says how to run a task."""
        self.run_in_loop(lambda: self.visit(grouped))
        text = str(self.logged_error(RuntimeError))
        self.assertTrue(text.startswith("TaskGroup <TaskGroup"), text)
        self.assertTrue(text.endswith(f"the parent task: {place(grouped, 2)} {NO_TASK}"), text)

    def test_a_deferred_in_a_task(self) -> None:
        """The error of a task that awaits a Deferred says how to await it there."""
        work: Deferred[bytes] = Deferred()

        async def part() -> bytes:
            return await work

        def handler(_: Request) -> bytes:
            loop = asyncio.new_event_loop()
            try:
                return loop.run_until_complete(part())
            finally:
                loop.close()

        error = self.assert_failed(self.visit(handler), RuntimeError)
        self.assertEqual(
            str(error),
            f"Task got bad yield: {work!r}: {place(part, 1)} awaits a Deferred in an asyncio task. "
            "Write `await deferred.asFuture(asyncio.get_running_loop())`.",
        )


class Unspeakable(RuntimeError):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no text")


class OtherErrorsTests(MistakeTestCase):
    """Errors that are none of asyncio's."""

    def test_stay_as_they_are(self) -> None:
        """A RuntimeError of a handler keeps its message, with a traceback and without one."""

        def raising(_: Request) -> bytes:
            raise RuntimeError("no idea")

        self.assert_says(raising, "no idea")
        self.assert_says(lambda _: fail(RuntimeError("no idea")), "no idea")

    def test_without_a_traceback(self) -> None:
        """A message of asyncio in an error without a traceback names no line."""
        error = RuntimeError("no running event loop")
        self.assert_says(lambda _: fail(error), f"no running event loop: your code {NO_LOOP}")

    def test_without_a_text(self) -> None:
        """An error whose `__str__` raises is answered 500 and logged, at once and later."""
        work: Deferred[bytes] = Deferred()
        at_once = self.visit(lambda _: fail(Unspeakable()))
        self.assert_failed(at_once, Unspeakable)
        later = self.visit(lambda _: work)
        work.errback(Unspeakable())
        self.assert_failed(later, Unspeakable)

    def test_are_completed_once(self) -> None:
        """An error that passes two decorated handlers is completed once."""
        inner: Any = cancel_on_disconnect(sleeping)
        self.assert_says(
            lambda request: inner(request), f"no running event loop: {place(sleeping, 2)} {NO_LOOP}"
        )
