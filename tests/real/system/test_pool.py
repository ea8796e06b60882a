"""`cancelweb.processes.Pool`: calls, and what comes of them.

What belongs here: results and errors of real children, and how many children there are. What does
not: cancels (`test_pool_cancel`), children that die (`test_pool_died`), and what children inherit
(`test_pool_inherited`).
"""

import os
import sys
import threading
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.python.failure import Failure

from cancelweb import processes
from cancelweb.processes import defer_to_process

from .._procs import open_files
from . import _pool_work as work
from ._groups import reactor
from ._pools import PoolTestCase, children


class ResultTests(PoolTestCase):
    """What functions return."""

    async def test_returned(self) -> None:
        """A call has the result of its function, which gets the arguments."""
        self.assertEqual(await self.pool(1).call(work.add, 1, 2, to=3), 6)

    async def test_in_the_reactors_thread(self) -> None:
        """The result arrives in the thread of the reactor, and nothing else starts a thread."""
        before = threading.active_count()
        called = self.pool(1).call(work.add, 1)
        called.addCallback(lambda _: threading.current_thread())
        self.assertIs(await called, threading.main_thread())
        self.assertEqual(threading.active_count(), before)

    async def test_large(self) -> None:
        """Arguments and results may be larger than what a connection holds."""
        data = os.urandom(5_000_000)
        self.assertEqual(await self.pool(1).call(work.echo, data), data)

    async def test_any_function(self) -> None:
        """A function may be built in, partial, or a method of an object that can be pickled."""
        pool = self.pool(1)
        self.assertEqual(await pool.call(pow, 2, 10), 1024)
        self.assertEqual(await pool.call(partial(work.add, 1), 2), 3)
        self.assertEqual(await pool.call("a".upper), "A")

    async def test_arguments_are_copied_at_once(self) -> None:
        """A call does not see what happens to its arguments after it."""
        data = [1]
        called = self.pool(1).call(work.echo, data)
        data.append(2)
        self.assertEqual(await called, [1])

    async def test_fork(self) -> None:
        """If a function forks and returns twice, no call gets the result of the fork."""
        pool = self.pool(1)
        fork = await pool.call(work.return_twice, self.path)
        self.assertGreater(fork, 0)
        self.assertEqual(await pool.call(work.outlast, fork, self.path), "own")

    async def test_of_the_reactor(self) -> None:
        """`defer_to_process` calls a function in a pool that its reactor keeps."""
        self.addCleanup(lambda: processes._pools.pop(reactor).close())
        first, second = await defer_to_process(work.pid), await defer_to_process(work.pid)
        self.assertEqual(first, second)
        self.assertIn(first, children())


class ErrorTests(PoolTestCase):
    """What functions raise, and what cannot be sent."""

    async def failure(self, kind: type[Exception], f: Any, *args: Any) -> Any:
        """The failure of a call; the pool still makes calls after it."""
        pool, failures = self.pool(1), list[Failure]()
        before = await pool.call(work.pid)
        await self.assertFailure(pool.call(f, *args).addErrback(_kept, failures), kind)
        self.assertEqual(await pool.call(work.pid), before)
        return failures[0]

    async def test_raised(self) -> None:
        """An exception arrives with the lines of the child, which Twisted logs."""
        failure = await self.failure(ValueError, work.fail, "x")
        self.assertEqual(str(failure.value), "invalid literal for int() with base 10: 'x'")
        code = work.fail.__code__
        line = f'File "{code.co_filename}", line {code.co_firstlineno + 2}, in fail\n    int(text)'
        self.assertIn(line, failure.getTraceback())
        self.assertIn(line, str(failure.value.__cause__))

    async def test_awaited(self) -> None:
        """The lines of the child follow those of the code that awaits the call."""
        try:
            await self.pool(1).call(work.fail, "x")
        except ValueError:
            lines = Failure().getTraceback()
        self.assertRegex(lines, r"(?s)in test_awaited\n.*in fail\n")

    async def test_cause(self) -> None:
        """The traceback as text has what caused the exception in the child."""
        failure = await self.failure(LookupError, work.fail_because, "x")
        text = str(failure.value.__cause__)
        self.assertRegex(text, r"(?s)ValueError: .*direct cause.*LookupError: x")

    async def test_not_passed_on(self) -> None:
        """An exception that cannot be made from its pickle is told in words."""
        failure = await self.failure(RuntimeError, work.fail_oddly)
        name = f"{work.__name__}.fail_oddly raised {work.__name__}.Odd: odd"
        self.assertEqual(str(failure.value), f"{name}, which cannot be pickled")
        self.assertIn("in fail_oddly", failure.getTraceback())

    async def test_not_loaded_here(self) -> None:
        """An exception that this process cannot load is told in words."""
        failure = await self.failure(RuntimeError, work.fail_here_only)
        self.assertIn("fail_here_only raised", str(failure.value))
        self.assertIn("ValueError('elsewhere')", str(failure.value))

    async def test_arrives_as_something_else(self) -> None:
        """An exception whose pickle makes no exception is told in words."""
        failure = await self.failure(RuntimeError, work.fail_as_text)
        self.assertIn("its pickle is that of 'no exception'", str(failure.value))

    async def test_frozen(self) -> None:
        """An exception whose attributes cannot be set arrives, with its cause."""
        failure = await self.failure(work.FrozenError, work.fail_frozen)
        self.assertIn("in fail_frozen", str(failure.value.__cause__))

    async def test_exit(self) -> None:
        """A function that calls `sys.exit` ends neither the server nor the child."""
        failure = await self.failure(RuntimeError, work.leave, 3)
        self.assertEqual(str(failure.value), f"{work.__name__}.leave raised SystemExit: 3")

    async def test_unpicklable_result(self) -> None:
        """A result that cannot be pickled is told in words."""
        failure = await self.failure(RuntimeError, work.a_function)
        text = f"{work.__name__}.a_function returned a function, which cannot be pickled: "
        self.assertIn(text, str(failure.value))

    async def test_result_not_loaded_here(self) -> None:
        """A result that this process cannot load is told in words."""
        failure = await self.failure(RuntimeError, work.here_only)
        text = f"what {work.__name__}.here_only returned could not be loaded in this process: "
        self.assertEqual(str(failure.value), f"{text}ValueError('elsewhere')")

    async def test_result_ends_the_process(self) -> None:
        """A result that would end the process that loads it does not end this one."""
        failure = await self.failure(RuntimeError, work.exits_elsewhere)
        text = "exits_elsewhere returned could not be loaded in this process: SystemExit("
        self.assertIn(text, str(failure.value))

    async def test_argument_not_loaded(self) -> None:
        """An argument that the child cannot load is told in words."""
        failure = await self.failure(RuntimeError, work.echo, work.HereOnly(os.getpid()))
        text = "echo or an argument could not be loaded in a child process: ValueError: elsewhere"
        self.assertEqual(str(failure.value), f"{work.__name__}.{text}")

    async def test_unknown_function(self) -> None:
        """A function whose module the child cannot import is told in words."""
        module = ModuleType("made_by_a_test")
        exec("def f(): pass", vars(module))
        sys.modules[module.__name__] = module
        self.addCleanup(sys.modules.pop, module.__name__)
        failure = await self.failure(RuntimeError, vars(module)["f"])
        self.assertIn("ModuleNotFoundError: No module named 'made_by_a_test'", str(failure.value))


class NumberTests(PoolTestCase):
    """How many children there are, and which calls they make."""

    async def test_no_call(self) -> None:
        """A pool without calls has no children."""
        before = children()
        self.pool(4)
        self.assertEqual(children(), before)

    async def test_maximum(self) -> None:
        """There are never more children than the maximum, and none waits while calls do."""
        before, pool, path = children(), self.pool(2), self.mktemp()
        calls = [pool.call(work.wait_for, path, self.path) for _ in range(5)]
        await self.until(lambda: len(self.told()) == 2)
        self.assertEqual(len(children()), len(before) + 2)
        Path(path).touch()
        self.assertEqual({await each for each in calls}, {*map(int, self.told())})
        self.assertEqual(len(children()), len(before) + 2)

    async def test_kept(self) -> None:
        """A child makes one call after the other; no second one is started without need."""
        before, pool = children(), self.pool(2)
        self.assertEqual(len({await pool.call(work.pid) for _ in range(5)}), 1)
        self.assertEqual(len(children()), len(before) + 1)

    async def test_order(self) -> None:
        """Calls are made in the order in which they were asked for."""
        pool = self.pool(1)
        await gatherResults([pool.call(work.write, self.path, str(each)) for each in range(20)])
        self.assertEqual(self.told(), [str(each) for each in range(20)])

    async def test_next_call_goes_first(self) -> None:
        """A child makes the next call while the code that waited for its last one runs."""
        pool = self.pool(1)
        called = pool.call(work.add)
        called.addCallback(lambda _: _block_until(self.told))
        following = pool.call(work.write, self.path, "next")
        await called
        await following

    async def test_nothing_in_the_reactor(self) -> None:
        """A pool whose calls are over has nothing in the reactor."""
        await self.pool(1).call(work.add)
        watched = [*reactor.getReaders(), *reactor.getWriters()]
        self.assertNotIn("cancelweb", " ".join(type(each).__module__ for each in watched))
        self.assertNotIn("cancelweb", " ".join(map(str, reactor.getDelayedCalls())))

    async def test_no_file_is_left(self) -> None:
        """Calls, errors and cancels leave no file open."""
        pool = self.pool(1)
        await pool.call(work.add)
        before = open_files()
        for _ in range(3):
            await pool.call(work.add)
            await self.assertFailure(pool.call(work.fail, "x"), ValueError)
            spinning = pool.call(work.spin, self.path)
            await self.begun()
            await self.cancelled(spinning)
            await pool.call(work.add)
            Path(self.path).unlink()
        self.assertEqual(open_files(), before)


def _kept(failure: Failure, failures: list[Failure]) -> Failure:
    failures.append(failure)
    return failure


def _block_until(condition: Any) -> None:
    """Wait without the reactor, at most as long as the test may take."""
    while not condition():
        os.sched_yield()
