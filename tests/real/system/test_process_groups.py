"""`cancelweb.processes`: children that end with their whole group.

What belongs here: children that are run, by handlers too. What does not: cancels and streams, which
have modules of their own, and what `reactor.spawnProcess` starts, which has
`stoppable.test_processes`.
"""

import gc
import os
import signal
import subprocess
import sys
from math import inf, nan
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.task import Clock, LoopingCall, deferLater
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Ended
from cancelweb._stoppable.children import Child
from cancelweb.processes import run, stream

from ..._pages import Handler
from .._procs import open_files
from ._groups import OUTPUT, GroupTestCase

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class RunTests(GroupTestCase):
    """Children whose output is collected."""

    async def test_output(self) -> None:
        """`run` has the output, the error output and the status of `subprocess.run`."""
        args = self.shell("cat; echo oops >&2; exit 3")
        ours = await run(args, stdin=b"hello", check=False)
        theirs = subprocess.run(args, input=b"hello", capture_output=True)
        self.assertEqual(vars(ours), vars(theirs))
        self.assertEqual(ours.stdout, b"hello")

    async def test_large(self) -> None:
        """A child can have input and output of any size."""
        data = os.urandom(OUTPUT)
        self.assertEqual((await run(["cat"], stdin=data)).stdout, data)

    async def test_input_is_not_read(self) -> None:
        """A child that does not read its large input succeeds."""
        self.assertEqual((await run(["true"], stdin=bytes(OUTPUT))).returncode, 0)

    async def test_no_input(self) -> None:
        """A child without input that reads is at its end at once."""
        self.assertEqual((await run(["cat"])).stdout, b"")

    async def test_where(self) -> None:
        """A child runs in the directory, and with the environment, that it is given."""
        env = {**os.environ, "GREETING": "hello"}
        done = await run(self.shell("pwd; echo $GREETING"), cwd="/", env=env)
        self.assertEqual(done.stdout, b"/\nhello\n")

    async def test_kinds_of_arguments(self) -> None:
        """The arguments of a child may be bytes and paths, as for `subprocess.run`."""
        self.assertEqual((await run([Path("/bin/echo"), b"hello"])).stdout, b"hello\n")

    async def test_checked(self) -> None:
        """A status other than 0 is an error that contains the output."""
        error = await self.assertFailure(
            run(self.shell("echo half; echo oops >&2; exit 3")), subprocess.CalledProcessError
        )
        self.assertEqual((error.returncode, error.stdout, error.stderr), (3, b"half\n", b"oops\n"))

    async def test_signal(self) -> None:
        """A child that a signal has ended has the negative number of that signal as its status."""
        done = await run(self.shell("kill -KILL $$"), check=False)
        self.assertEqual(done.returncode, -signal.SIGKILL)

    async def test_no_program(self) -> None:
        """A program that does not exist is a FileNotFoundError, and leaves no file open."""
        before = open_files()
        await self.assertFailure(run(["/no/such/program"]), FileNotFoundError)
        self.assertEqual(open_files(), before)

    async def test_no_files_left(self) -> None:
        """A child that has ended leaves no file open, and no zombie."""
        await run(["true"])  # after the first one the reactor itself keeps some
        before = open_files()
        await run(["true"])
        self.assertEqual(open_files(), before)
        self.assert_gone()

    async def test_freed(self) -> None:
        """A child that has ended is freed at once, without the cycle collector."""
        gc.disable()
        self.addCleanup(gc.enable)
        before = children()
        await run(self.shell(f"{self.sleeper()} >/dev/null 2>&1 & echo done"))
        async for _ in stream(self.shell(f"echo begun; exec {self.sleeper()}")):
            break
        chunks = stream(self.shell(f"echo begun; exec {self.sleeper()}"))
        await anext(chunks)
        await chunks.aclose()
        del chunks
        await self.settled()
        # The turn in which the child has ended must end first.
        await deferLater(reactor, 0)
        self.assertEqual(children() - before, set())

    async def test_own_session(self) -> None:
        """A child leads a session and a group of its own."""
        script = "import os; print(os.getpid(), os.getpgrp(), os.getsid(0))"
        pid, group, session = (await run([sys.executable, "-c", script])).stdout.split()
        self.assertEqual((pid, pid), (group, session))

    async def test_reactor(self) -> None:
        """`run` can be given the reactor."""
        self.assertEqual((await run(["echo", "hello"], reactor=reactor)).stdout, b"hello\n")


def children() -> set[int]:
    """The addresses of the children in memory."""
    return {id(each) for each in gc.get_objects() if isinstance(each, Child)}


class HandlerTests(GroupTestCase):
    """Children that handlers start."""

    async def assert_stopped(self, handler: Handler, count: int = 1) -> None:
        """When the client leaves, the group is stopped before the scope closes."""
        connection, outcome = self.visit(handler)
        await self.started(count)
        connection.disconnect()
        self.assertEqual((await outcome).ended, Ended.STOPPED)
        self.assert_gone()

    async def test_returned(self) -> None:
        """A child that a handler returns is stopped when the client leaves."""
        script = self.shell(f"{self.sleeper()} | {self.sleeper()}")
        await self.assert_stopped(lambda _: run(script), 3)

    async def test_awaited(self) -> None:
        """A child that a handler awaits is stopped when the client leaves."""

        async def handler(_: object) -> bytes:
            return (await run(self.shell(f"exec {self.sleeper()}"))).stdout

        await self.assert_stopped(handler)

    async def test_streamed(self) -> None:
        """A child whose stream a handler returns is stopped when the client leaves."""
        await self.assert_stopped(lambda _: stream(self.shell(f"exec {self.sleeper()}")))

    async def test_read_by_the_handler(self) -> None:
        """A child whose stream a handler reads itself is stopped when the client leaves."""

        async def handler(_: object) -> bytes:
            chunks = stream(self.shell(f"exec {self.sleeper()}"))
            return b"".join([chunk async for chunk in chunks])

        await self.assert_stopped(handler)

    async def test_page(self) -> None:
        """A client that stays gets the output of the streamed child."""
        connection, outcome = self.visit(lambda _: stream(["echo", "hello"]))
        await outcome
        self.assertEqual(connection.response.body, b"hello\n")
        self.assertTrue(connection.response.is_complete)

    async def test_broken_off(self) -> None:
        """A streamed child that fails breaks the response off, and its error is logged."""
        connection, outcome = self.visit(lambda _: stream(self.shell("echo half; exit 3")))
        self.assertEqual((await outcome).ended, Ended.FAILED)
        self.assertFalse(connection.response.is_complete)
        self.assertEqual(len(self.flushLoggedErrors(subprocess.CalledProcessError)), 1)

    async def test_other_clock(self) -> None:
        """On a clock that runs no processes, a child is run by the reactor."""
        clock = Clock()
        turns = LoopingCall(clock.advance, 0)
        turns.start(0)
        self.addCleanup(turns.stop)
        connection, outcome = self.visit(lambda _: stream(["echo", "hello"]), clock=clock)
        await outcome
        self.assertEqual(connection.response.body, b"hello\n")


class ArgumentTests(SynchronousTestCase):
    """Wrong arguments, which are errors at once."""

    def test_no_sequence(self) -> None:
        """Arguments that are a string, no sequence or empty are refused, with what to write."""
        for wrong in ["ls -l", b"ls", [], 1]:
            for function in [run, stream]:
                with self.assertRaisesRegex(TypeError, r"args must be .* sh.*-c.* command"):
                    function(wrong)  # type: ignore[arg-type]

    def test_negative_grace(self) -> None:
        """A grace period that is negative, infinite or not a number is refused."""
        for wrong in [-1, inf, nan]:
            with self.assertRaisesRegex(ValueError, "grace must be 0 or more"):
                run(["true"], grace=wrong)

    def test_input_that_is_not_bytes(self) -> None:
        """Input of a child that is not bytes is refused."""
        for wrong in ["text", None, 1]:
            with self.assertRaisesRegex(TypeError, f"stdin must be bytes, not {wrong!r}"):
                run(["cat"], stdin=wrong)  # type: ignore[arg-type]
