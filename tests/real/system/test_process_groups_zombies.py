"""`cancelweb.processes`: zombies, which have exited although they are still in the group.

What belongs here: whether a process of a group runs, and when its exit status is collected. What
does not: how it is stopped.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import CancelledError

from cancelweb.processes import run

from ._groups import GroupTestCase, printed_by
from ._reaping import inherit_orphans

NO_PROCESS = str(2**30)
"""An id that Linux gives to no process."""


class LookTests(GroupTestCase):
    """Looks at a group while its processes start and end."""

    async def leftover(self, lists: Callable[[list[str]], list[str]]) -> None:
        """Run a child that leaves a process behind, with these changes to lists of processes."""
        listdir = os.listdir
        self.patch(os, "listdir", lambda path: lists(listdir(path)))
        done = await run(self.shell(f"{self.sleeper()} >/dev/null 2>&1 & echo $!"))
        self.assertEqual(done.returncode, 0)

    async def test_started_meanwhile(self) -> None:
        """A process that was started while another ended, during a look, is found and stopped."""
        looks: list[object] = []

        def first_without(names: list[str]) -> list[str]:
            looks.append(names)
            is_first = len(looks) == 1
            return [NO_PROCESS] if is_first else names

        await self.leftover(first_without)
        self.assert_gone()

    async def test_always_others(self) -> None:
        """Where processes end all the time, the number of looks is limited."""
        ids = map(str, range(int(NO_PROCESS), 2 * int(NO_PROCESS)))
        looks: list[object] = []

        def others(names: list[str]) -> list[str]:
            looks.append(names)
            return [next(ids)]

        await self.leftover(others)
        self.assertEqual(len(looks), 4)


class ZombieTests(GroupTestCase):
    """Groups with zombies."""

    async def test_slow_init(self) -> None:
        """Zombies that an init does not collect are not waited for."""
        self.assertEqual(await printed_by("_orphans"), {"state": "Z"})

    async def test_first_process_of_a_container(self) -> None:
        """A process that inherits orphans collects those of the group, and has no zombies."""
        inherit_orphans(True)
        self.addCleanup(inherit_orphans, False)
        child = run(self.shell(f"{self.sleeper()} & {self.sleeper()} & wait"))
        await self.started(3)
        child.cancel()
        await self.assertFailure(child, CancelledError)
        self.assert_gone()

    async def test_orphan_that_other_code_collects(self) -> None:
        """An orphan, or the leader, that other code has collected in between does no harm."""
        collect = os.waitpid

        def waitpid(pid: int, options: int) -> tuple[int, int]:
            if options == os.WNOHANG:
                # As another thread may do.
                collect(pid, options)
            return collect(pid, options)

        self.patch(os, "waitpid", waitpid)
        await self.test_first_process_of_a_container()

    async def test_first_thread_has_ended(self) -> None:
        """A process whose first thread has ended looks like a zombie, but is stopped."""
        script = (
            "import ctypes, os, signal, sys, threading, time; "
            "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
            "threading.Thread(target=time.sleep, args=[600]).start(); "
            'os.write(1, b"%d" % os.getpid()); os.close(1); os.close(2); '
            "ctypes.CDLL(None).pthread_exit(None)"
        )
        done = await run(self.shell(f"{sys.executable} -c '{script}' $0 &"), grace=0.1)
        # The init of this machine may be slow to collect it.
        self.assertLessEqual(len(list(Path(f"/proc/{int(done.stdout)}/task").glob("*"))), 1)
