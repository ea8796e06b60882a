"""`cancelweb.processes`: a signal never reaches a process that has got a child's id or group's.

What belongs here: how the exit of a child is noticed and its id is kept, on all kinds of systems.
What does not: what is signalled, and when.
"""

import os
import signal
import subprocess
import sys
from typing import Any

from twisted.internet import process
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError
from twisted.logger import LogLevel, formatEvent
from twisted.trial.unittest import TestCase

from cancelweb._stoppable.descriptors import ExitNotice
from cancelweb._stoppable.leaders import HELD
from cancelweb.processes import run, stream

from ..._logs import log_events, of_cancelweb
from ..._programs import find_program, refusal
from .._procs import running, zombies
from ._groups import STUBBORN, GroupTestCase, ProgramFailed, printed_by

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class RecycledTests(TestCase):
    """Children in a namespace of process ids, in which the test chooses the next id."""

    timeout = 30

    async def test_unrelated_process(self) -> None:
        """A child whose group is empty is cancelled, and an unrelated process is not touched."""
        unshare = find_program("unshare", "apt-get install util-linux")
        own = ["--pid", "--fork", "--kill-child", "--mount-proc"]
        try:
            found = await printed_by("_recycling", unshare, *own)
        except ProgramFailed as error:
            if "unshare failed" not in str(error):
                raise
            raise refusal(f"a namespace of process ids is needed, and root: {error}") from error
        self.assertNotEqual(found["pid"], 1001)
        self.assertTrue(found["lived"])
        self.assertEqual(found["status"], -signal.SIGKILL)


class HeldTests(GroupTestCase):
    """The exit status of a child, which keeps its id from being given away."""

    async def test_while_its_group_is_signalled(self) -> None:
        """Whenever a group is signalled, the exit status of its leader has not been collected."""
        signalled: list[int] = []
        send = os.killpg

        def killpg(group: int, number: int) -> None:
            # Raises if this process has no such child.
            os.waitid(os.P_PID, group, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            signalled.append(number)
            send(group, number)

        self.patch(os, "killpg", killpg)
        stubborn = f"(trap '' TERM; echo begun; exec {self.sleeper()}) &"
        chunks = stream(self.shell(f"{stubborn} exec {self.sleeper()}"), grace=0.1)
        await anext(chunks)
        await chunks.aclose()
        self.assertEqual(signalled, [signal.SIGTERM, signal.SIGKILL])
        self.assert_gone()

    async def test_event_of_another_descriptor(self) -> None:
        """An event for an earlier descriptor with the same number is not taken for an exit."""
        child = run(self.shell(f"exec {self.sleeper()}"))
        await self.started(1)
        [notice] = [each for each in reactor.getReaders() if isinstance(each, ExitNotice)]
        notice.doRead()
        self.assertIn(notice, reactor.getReaders())
        child.cancel()
        await self.assertFailure(child, CancelledError)

    async def test_listed(self) -> None:
        """The ids of children are listed until their exit status is collected."""
        child = run(self.shell(f"exec {self.sleeper()}"))
        await self.started(1)
        self.assertEqual(HELD, set(running(self.mark)))
        child.cancel()
        await self.assertFailure(child, CancelledError)
        self.assertEqual(HELD, set())


class CollectedElsewhereTests(GroupTestCase):
    """Children whose exit status other code in this program collects, as it should not."""

    async def collected(self, **options: Any) -> Any:
        """A child whose exit status has been collected, and whose group has one more process."""
        child = run(self.shell(f"{self.sleeper()} & exit 0"), wait_delay=None, **options)
        await self.started(1)
        await self.until(zombies)
        os.waitpid(-1, 0)
        return child

    async def test_no_signal(self) -> None:
        """The group is not signalled any more, and a log line tells why."""
        signalled: list[int] = []
        events = log_events(self)
        child = await self.collected()
        self.patch(os, "killpg", lambda *_: signalled.append(1))
        child.cancel()
        await self.assertFailure(child, CancelledError)
        self.assertEqual(signalled, [])
        [event] = of_cancelweb(events, LogLevel.warn)
        self.assertRegex(formatEvent(event), r"^process \d+: other code in this program has coll")

    async def test_status(self) -> None:
        """The exit status is 255, so that it does not look like a success."""
        child = await self.collected()
        os.kill(running(self.mark)[0], signal.SIGKILL)
        error = await self.assertFailure(child, subprocess.CalledProcessError)
        self.assertEqual(error.returncode, 255)

    async def test_while_it_is_stopped(self) -> None:
        """A leader that is collected while its group is being stopped gets no further signal."""
        child = run(self.shell(f"exec {self.sleeper()}"))
        [pid] = HELD
        child.cancel()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        await self.assertFailure(child, CancelledError)


class OtherSystemsTests(GroupTestCase):
    """Systems that lack something that Linux has."""

    async def assert_works(self) -> None:
        """A child runs, and is stopped with its group."""
        done = await run(self.shell("sleep 0.01; echo hello; exit 3"), check=False)
        self.assertEqual((done.stdout, done.returncode), (b"hello\n", 3))
        self.assertEqual((await run(["echo", "hello"])).stdout, b"hello\n")
        stubborn = f'sh -c "{STUBBORN}" {self.mark} &'
        child = run(self.shell(f"{stubborn} exec {self.sleeper()}"), grace=0.1)
        await self.started(2)
        child.cancel()
        await self.assertFailure(child, CancelledError)
        self.assert_gone()

    async def test_without_pidfd(self) -> None:
        """Where the system has no `pidfd`, or forbids it, the exit of a child is looked for."""

        def pidfd_open(pid: int) -> int:
            raise PermissionError

        self.patch(os, "pidfd_open", pidfd_open)
        await self.assert_works()

    async def test_other_twisted(self) -> None:
        """A Twisted that starts its own child processes in another way changes nothing."""
        self.patch(process, "Process", None)
        await self.assert_works()

    async def test_zombies_that_cannot_be_signalled(self) -> None:
        """Where a group of zombies may not be signalled, as on macOS, nothing is logged."""

        def killpg(group: int, number: int) -> None:
            raise PermissionError

        self.patch(os, "killpg", killpg)
        events = log_events(self)
        child = run(["true"])
        [pid] = HELD
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        child.cancel()
        await self.assertFailure(child, CancelledError)
        self.assertEqual(of_cancelweb(events), [])

    async def test_without_waitid(self) -> None:
        """Where Python has no `waitid`, as on macOS before 3.13, the list of processes tells."""
        waitid, pidfd_open = os.waitid, os.pidfd_open
        del os.waitid, os.pidfd_open
        self.addCleanup(setattr, os, "waitid", waitid)
        self.addCleanup(setattr, os, "pidfd_open", pidfd_open)
        await self.assert_works()

    async def test_without_proc(self) -> None:
        """Where there is no `/proc`, as on macOS and BSD, or another namespace's, `ps` tells."""
        readlink = os.readlink

        def without_self(path: Any, **options: Any) -> Any:
            if path == "/proc/self":
                raise FileNotFoundError
            return readlink(path, **options)

        self.patch(os, "readlink", without_self)
        await self.assert_works()


class NoLeaderTests(GroupTestCase):
    """Children that were started without a group of their own."""

    async def test_refused(self) -> None:
        """A child that does not lead a group of its own is killed, and `run` says why it fails."""
        popen = subprocess.Popen

        def replaced(*args: Any, start_new_session: bool, **options: Any) -> object:
            return popen(*args, **options)

        self.patch(subprocess, "Popen", replaced)
        program = [sys.executable, "-c", "import time; time.sleep(600)", self.mark]
        error = await self.assertFailure(run(program), RuntimeError)
        self.assertIn("started without a process group of its own", str(error))
        self.patch(subprocess, "Popen", popen)
        self.assert_gone()

    async def test_group_that_is_not_told(self) -> None:
        """A child that has exited at once succeeds where the group of a zombie is not told."""

        def getpgid(pid: int) -> int:
            raise ProcessLookupError

        getpgid_of_linux = os.getpgid
        self.patch(os, "getpgid", getpgid)
        child = run(["echo", "hello"])
        self.patch(os, "getpgid", getpgid_of_linux)
        self.assertEqual((await child).stdout, b"hello\n")
