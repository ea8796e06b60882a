"""`cancelweb.processes.Pool`: children that end by themselves, and pools that are closed.

What belongs here: exit statuses, signals, children that cannot start, and the end of a pool. What
does not: the end of the server (`test_pool_inherited`).
"""

import gc
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from cancelweb._stoppable import leaders
from cancelweb._stoppable.pool_calls import Call
from cancelweb._stoppable.workers import Worker
from cancelweb.processes import ChildDied

from .._procs import open_files, running, zombies
from . import _pool_work as work
from ._groups import reactor
from ._pools import PoolTestCase, children


class DiedTests(PoolTestCase):
    """Children that end while they make a call."""

    async def died(self, f: Any, *args: Any) -> ChildDied:
        """How the child ends that makes this call; others go on, and the pool stays whole."""
        pool, path = self.pool(2), self.mktemp()
        other = pool.call(work.wait_for, path)
        error: Any = await self.assertFailure(pool.call(f, *args), ChildDied)
        self.assertNotIn(error.pid, children())
        self.assertEqual(zombies(), [])
        self.assertNotEqual(await pool.call(work.pid), error.pid)
        Path(path).touch()
        self.assertIn(await other, children())
        return error  # type: ignore[no-any-return]

    async def test_exit_status(self) -> None:
        """A call whose child exits fails with its exit status."""
        error = await self.died(work.die, 3)
        self.assertEqual(error.status, 3)
        text = f"process {error.pid} ended with exit status 3 while it ran {work.__name__}.die"
        self.assertEqual(str(error), text)

    async def test_exit_status_0(self) -> None:
        """A child that exits as if all were well has not made its call, either."""
        self.assertEqual((await self.died(work.die, 0)).status, 0)

    async def test_signal(self) -> None:
        """A call whose child crashes fails with the signal, as does one that is out of memory."""
        for number in signal.SIGSEGV, signal.SIGKILL:
            error = await self.died(work.die_of, number)
            self.assertEqual(error.status, -number)
            self.assertIn(f"was ended by {number.name} while", str(error))

    async def test_signal_without_a_name(self) -> None:
        """A signal that Python does not name is told by its number."""
        error = await self.died(work.die_of, signal.SIGRTMIN + 1)
        self.assertIn(f"was ended by signal {signal.SIGRTMIN + 1} while", str(error))

    async def test_closed_connection(self) -> None:
        """A child that closes its connection is ended, because it could tell no result."""
        await self.died(work.hang_up)

    async def test_left_behind(self) -> None:
        """What a function has started in the background ends with its child."""
        args = self.shell(f"exec {self.sleeper()}")
        await self.died(work.begin, args, 1)
        self.assertEqual(running(self.mark), [])

    async def test_cancelled_as_it_died(self) -> None:
        """A call that is cancelled when its child has died already fails as cancelled."""
        pool = self.pool(1)
        call = pool.call(work.spin, self.path)
        child = await self.begun()
        os.kill(child, signal.SIGKILL)
        await self.cancelled(call)
        self.assertEqual(await pool.call(work.add, 1), 1)

    async def test_free(self) -> None:
        """A free child that has died makes no call: another one does."""
        pool = self.pool(1)
        child = await pool.call(work.pid)
        os.kill(child, signal.SIGKILL)
        await self.until(lambda: child not in children())
        self.assertNotEqual(await pool.call(work.pid), child)
        self.assertEqual(zombies(), [])


class FreedTests(PoolTestCase):
    """What is left in memory."""

    async def test_freed(self) -> None:
        """Calls and children that have ended are freed at once, without the cycle collector."""
        gc.disable()
        self.addCleanup(gc.enable)
        before, pool = in_memory(), self.pool(1)
        await pool.call(work.add)
        await self.assertFailure(pool.call(work.die, 1), ChildDied)
        call = pool.call(work.spin, self.path)
        waiting = pool.call(work.add)
        await self.begun()
        await self.cancelled(waiting)
        await self.cancelled(call)
        await pool.close()
        del call, waiting
        # The turn in which the child has ended must end first.
        await deferLater(reactor, 0)
        self.assertEqual(in_memory() - before, set())


def in_memory() -> set[int]:
    """The addresses of the calls and the children in memory."""
    return {id(each) for each in gc.get_objects() if isinstance(each, Call | Worker)}


class StartTests(PoolTestCase):
    """Children that cannot start."""

    def run_instead(self, program: str) -> None:
        """Have children run another program than Python."""
        self.addCleanup(multiprocessing.set_executable, sys.executable)
        multiprocessing.set_executable(program)

    async def test_no_program(self) -> None:
        """If a child cannot be started, the call fails, and leaves no file open."""
        pool, before = self.pool(1), open_files()
        self.run_instead("/nonexistent/python")
        await self.assertFailure(pool.call(work.add), FileNotFoundError)
        self.assertEqual(open_files(), before)
        self.run_instead(sys.executable)
        self.assertEqual(await pool.call(work.add, 1), 1)

    async def test_frozen_program(self) -> None:
        """In a frozen program, which is not Python, the call fails and says so."""
        setattr(sys, "frozen", True)  # noqa: B010
        self.addCleanup(delattr, sys, "frozen")
        error = await self.assertFailure(self.pool(1).call(work.add), RuntimeError)
        self.assertIn("is a frozen program", str(error))

    async def test_ends_at_once(self) -> None:
        """If children end before they can make a call, each fails one call, and no more start."""
        pool = self.pool(1)
        self.run_instead("false")
        calls = [pool.call(work.add) for _ in range(3)]
        for call in calls:
            error: Any = await self.assertFailure(call, ChildDied)
            self.assertIn("ended with exit status 1 before it could run", str(error))
        self.run_instead(sys.executable)
        self.assertEqual(await pool.call(work.add, 1), 1)

    async def test_ends_at_once_and_nothing_waits(self) -> None:
        """A child that ends before it can make a call fails none if the call was cancelled."""
        pool = self.pool(1)
        self.run_instead("false")
        call = pool.call(work.add)
        call.cancel()
        self.failureResultOf(call, CancelledError)
        await pool.close()

    async def test_without_pidfd(self) -> None:
        """Where the system does not report exits, the pool looks for them."""
        self.patch(leaders, "_pidfd", lambda pid: None)
        pool = self.pool(1)
        self.assertEqual(await pool.call(work.add, 1), 1)
        error: Any = await self.assertFailure(pool.call(work.die, 3), ChildDied)
        self.assertEqual(error.status, 3)
        call = pool.call(work.spin, self.path)
        await self.begun()
        await self.cancelled(call)
        self.assertEqual(await pool.call(work.add, 1), 1)


class CloseTests(PoolTestCase):
    """Pools that are closed."""

    async def test_close(self) -> None:
        """Closing a pool stops its calls, as a cancel does, and ends all children."""
        before, pool = children(), self.pool(2)
        await pool.call(work.add)
        running, waiting = [pool.call(work.is_stubborn, self.path) for _ in range(2)], None
        waiting = pool.call(work.add)
        await self.until(lambda: len(self.told()) == 2)
        closed = pool.close()
        self.failureResultOf(waiting, CancelledError)
        for call in running:
            self.assertNoResult(call)
        self.assertNoResult(closed)
        for child in self.told():
            os.kill(int(child), signal.SIGKILL)
        for call in running:
            await self.assertFailure(call, CancelledError)
        await closed
        self.assertEqual(children(), before)

    async def test_free_child(self) -> None:
        """Closing a pool ends a child without a call."""
        before, pool = children(), self.pool(1)
        await pool.call(work.add)
        await pool.close()
        self.assertEqual(children(), before)

    async def test_starting_child(self) -> None:
        """Closing a pool ends a child that starts."""
        before, pool = children(), self.pool(1)
        call = pool.call(work.add)
        closed = pool.close()
        self.failureResultOf(call, CancelledError)
        await closed
        self.assertEqual(children(), before)

    async def test_calls_after(self) -> None:
        """A closed pool calls nothing, and says so."""
        pool = self.pool(1)
        await pool.close()
        error = await self.assertFailure(pool.call(work.add), RuntimeError)
        text = f"{work.__name__}.add was not called, because the pool has been closed"
        self.assertEqual(str(error), text)

    async def test_twice(self) -> None:
        """A pool may be closed twice; both wait for the children."""
        pool = self.pool(1)
        await pool.call(work.add)
        first, second = pool.close(), pool.close()
        self.assertNoResult(second)
        await first
        await second
        await pool.close()

    async def test_no_trigger_is_left(self) -> None:
        """A closed pool leaves nothing behind for the end of the reactor."""
        triggers = reactor._eventTriggers["shutdown"].during
        before, pool = len(triggers), self.pool(1)
        await pool.call(work.add)
        self.assertEqual(len(triggers), before + 1)
        await pool.close()
        self.assertEqual(len(triggers), before)


class StoppedReactorTests(PoolTestCase):
    """Reactors that stop: nothing waits for a child then."""

    async def test_not_even_by_kill(self) -> None:
        """Children that outlive KILL hold up the end for a second, however many they are."""
        pool = self.pool(4)
        calls = [pool.call(work.spin, self.path) for _ in range(4)]
        await self.until(lambda: len(self.told()) == 4)
        killpg = os.killpg

        def refuse(group: int, number: int) -> None:
            raise PermissionError

        self.patch(os, "killpg", refuse)
        begun = reactor.seconds()
        pool._kill_now()
        self.assertLess(reactor.seconds() - begun, 3)
        for each in calls:
            self.failureResultOf(each, CancelledError)
        for child in map(int, self.told()):
            killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)

    async def test_kills(self) -> None:
        """All children are killed at once, and are gone when the pool has been told."""
        before, pool = children(), self.pool(2)
        await pool.call(work.add)
        call, other = [pool.call(work.is_stubborn, self.path) for _ in range(2)]
        waiting = pool.call(work.add)
        await self.until(lambda: len(self.told()) == 2)
        pool._kill_now()
        self.assertEqual(children(), before)
        self.assertEqual(zombies(), [])
        for each in call, other, waiting:
            self.failureResultOf(each, CancelledError)
        await self.assertFailure(pool.call(work.add), RuntimeError)
