"""`cancelweb.processes`: children that end with their whole group.

What belongs here: real children of `/bin/sh`, looked for in the system's list of processes. What
does not: processes that were started by `reactor.spawnProcess`, which have `test_processes`.
"""

import ctypes
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from threading import get_ident
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, LoopingCall, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from cancelweb import Ended, Outcome, cancel_on_disconnect
from cancelweb.processes import run, stream

from ._inmemory import Client
from ._pages import Handler, Page
from ._procs import open_files, running, zombies

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

STUBBORN = "trap '' TERM; while :; do sleep 0.05; done"

OUTPUT = 2**20
"""More than the pipe and our buffer hold."""


class GroupTestCase(TestCase):
    """A test with children.

    Attributes:
        mark: stands in the command lines of a test's own children, and nowhere else.
    """

    timeout = 30

    def setUp(self) -> None:
        self.mark = f"mark-{os.getpid()}-{id(self)}"
        self.addCleanup(self.kill_rest)

    def kill_rest(self) -> None:
        """Leave nothing running where a test has failed."""
        for pid in running(self.mark):
            os.kill(pid, signal.SIGKILL)

    def shell(self, script: str) -> list[str]:
        """A shell, and everything that it starts with `$0` in the arguments, is marked."""
        return ["sh", "-c", script, self.mark]

    def sleeper(self) -> str:
        """A shell's command: a marked process that sleeps for long."""
        return f"{sys.executable} -c 'import time; time.sleep(600)' $0"

    async def until(self, condition: Callable[[], object]) -> None:
        """Look until it is so; the test's time limit is the limit."""
        while not condition():
            await deferLater(reactor, 0.01)

    async def started(self, count: int) -> None:
        """Wait until so many marked processes run."""
        await self.until(lambda: len(running(self.mark)) == count)

    async def settled(self) -> None:
        """Wait until nothing is left of children that nobody waits for."""
        await self.until(lambda: not self.is_at_work())
        self.assert_gone()

    def is_at_work(self) -> bool:
        """Whether there are processes, or timers that look after them."""
        timers = any("Child." in str(each) for each in reactor.getDelayedCalls())
        return timers or bool(running(self.mark)) or bool(zombies())

    def assert_gone(self) -> None:
        """Nothing of it is left."""
        self.assertEqual(running(self.mark), [])
        self.assertEqual(zombies(), [])

    def visit(self, handler: Handler, **options: Any) -> tuple[Client, Deferred[Outcome]]:
        """One GET of the page that the handler makes, and its outcome."""
        told: Deferred[Outcome] = Deferred()
        decorate: Any = cancel_on_disconnect(observers=told.callback, **options)
        client = Client(Page(decorate(handler)), reactor)
        self.addCleanup(client.disconnect)
        client.request()
        return client, told


class RunTests(GroupTestCase):
    """A child whose output is collected."""

    async def test_output(self) -> None:
        """Its output, its error output and its status are those of `subprocess.run`."""
        args = self.shell("cat; echo oops >&2; exit 3")
        ours = await run(args, stdin=b"hello", check=False)
        theirs = subprocess.run(args, input=b"hello", capture_output=True)
        self.assertEqual(vars(ours), vars(theirs))
        self.assertEqual(ours.stdout, b"hello")

    async def test_large(self) -> None:
        """Input and output of any size pass."""
        data = os.urandom(OUTPUT)
        self.assertEqual((await run(["cat"], stdin=data)).stdout, data)

    async def test_input_is_not_read(self) -> None:
        """A child that does not read its input is none the worse for it."""
        self.assertEqual((await run(["true"], stdin=bytes(OUTPUT))).returncode, 0)

    async def test_no_input(self) -> None:
        """Without input, a child that reads is at the end at once."""
        self.assertEqual((await run(["cat"])).stdout, b"")

    async def test_where(self) -> None:
        """It runs where it is told to, and with the environment that it is given."""
        env = {**os.environ, "GREETING": "hello"}
        done = await run(self.shell("pwd; echo $GREETING"), cwd="/", env=env)
        self.assertEqual(done.stdout, b"/\nhello\n")

    async def test_kinds_of_arguments(self) -> None:
        """The arguments may be bytes and paths, as for `subprocess.run`."""
        self.assertEqual((await run([Path("/bin/echo"), b"hello"])).stdout, b"hello\n")

    async def test_checked(self) -> None:
        """A status other than 0 is an error that has the output with it."""
        error = await self.assertFailure(
            run(self.shell("echo half; echo oops >&2; exit 3")), subprocess.CalledProcessError
        )
        self.assertEqual((error.returncode, error.stdout, error.stderr), (3, b"half\n", b"oops\n"))

    async def test_signal(self) -> None:
        """A child that a signal has ended has its negative number for a status."""
        done = await run(self.shell("kill -KILL $$"), check=False)
        self.assertEqual(done.returncode, -signal.SIGKILL)

    async def test_no_program(self) -> None:
        """A program that is not there is an `OSError`, and no file is left open."""
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

    async def test_own_session(self) -> None:
        """The child leads a session and a group of its own."""
        script = "import os; print(os.getpid(), os.getpgrp(), os.getsid(0))"
        pid, group, session = (await run([sys.executable, "-c", script])).stdout.split()
        self.assertEqual((pid, pid), (group, session))

    async def test_reactor(self) -> None:
        """The reactor may be given."""
        self.assertEqual((await run(["echo", "hello"], reactor=reactor)).stdout, b"hello\n")


class CancelTests(GroupTestCase):
    """A child that is cancelled."""

    async def cancelled(self, deferred: Deferred[Any]) -> None:
        """Cancel it, and wait for its end."""
        deferred.cancel()
        await self.assertFailure(deferred, CancelledError)
        self.assert_gone()

    async def test_pipeline(self) -> None:
        """All processes of a pipeline are gone when the Deferred fires."""
        child = run(self.shell(f"{self.sleeper()} | {self.sleeper()}"))
        await self.started(3)
        await self.cancelled(child)

    async def test_grandchild(self) -> None:
        """So are those that its children have put into the background."""
        child = run(self.shell(f"({self.sleeper()} & {self.sleeper()} &) & wait; sleep 60"))
        await self.started(3)
        await self.cancelled(child)

    async def test_stubborn(self) -> None:
        """One that ignores TERM gets KILL after the grace period."""
        child = run(self.shell(f"trap '' TERM; {self.sleeper()}; {STUBBORN}"), grace=0.1)
        await self.started(2)
        await self.cancelled(child)

    async def test_stubborn_member(self) -> None:
        """So does the rest of a group of which the first has obeyed."""
        stubborn = f'sh -c "{STUBBORN}" {self.mark} &'
        child = run(self.shell(f"{stubborn} exec {self.sleeper()}"), grace=0.1)
        await self.started(2)
        await self.cancelled(child)

    async def test_obedient(self) -> None:
        """One that obeys may clean up before it ends, and is waited for."""
        done = Path(self.mktemp())
        cleanup = f"sleep 0.1; echo cleaned > {done}; exit"
        child = run(self.shell(f"trap '{cleanup}' TERM; sleep 60 & wait"))
        await self.started(1)
        child.cancel()
        await self.assertFailure(child, CancelledError)
        self.assertEqual(done.read_text(), "cleaned\n")

    async def test_waiting_output(self) -> None:
        """What the child prints after TERM is thrown away."""
        script = f"trap 'head -c {OUTPUT} /dev/zero; exit' TERM; echo begun; sleep 60& wait"
        chunks = stream(self.shell(script))
        self.assertEqual(await anext(chunks), b"begun\n")
        await chunks.aclose()
        self.assert_gone()

    async def test_exited_before(self) -> None:
        """A child that has exited, but whose output is still open, is cancelled all the same."""
        child = run(self.shell(f"{self.sleeper()} & exit 0"))
        await self.started(1)
        await self.until(lambda: not zombies())
        await self.cancelled(child)

    async def test_cancelled_twice(self) -> None:
        """Cancelled twice, by a timeout and its client, say, it waits for the group's end."""
        child = run(self.shell(f"trap '' TERM; {self.sleeper()}; {STUBBORN}"), grace=0.1)
        await self.started(2)
        child.cancel()
        child.cancel()
        self.assertNoResult(child)
        await self.cancelled(child)

    async def test_forbidden(self) -> None:
        """A group that this process may not stop is logged, and waited for."""
        child = run(self.shell(f"exec {self.sleeper()}"), grace=0.1)
        await self.started(1)
        forbidden, signals = True, []
        send = os.killpg

        def killpg(group: int, number: int) -> None:
            signals.append(number)
            if forbidden:
                # As the kernel does where all of it runs for another user.
                raise PermissionError
            send(group, number)

        self.patch(os, "killpg", killpg)
        child.cancel()
        await self.until(lambda: signal.SIGKILL in signals)
        self.assertNoResult(child)
        forbidden = False
        os.kill(running(self.mark)[0], signal.SIGKILL)
        await self.assertFailure(child, CancelledError)
        self.assert_gone()

    async def test_first_process_of_a_container(self) -> None:
        """Where this process inherits the orphans, it collects them: there are no zombies."""
        inherit_orphans(True)
        self.addCleanup(inherit_orphans, False)
        child = run(self.shell(f"{self.sleeper()} & {self.sleeper()} & wait"))
        await self.started(3)
        await self.cancelled(child)

    async def test_leaver_of_the_group(self) -> None:
        """One that has left the group with an open pipe is out of reach, but not waited for."""
        script = "import os, time\nif not os.fork(): os.setsid()\ntime.sleep(600)"
        child = run([sys.executable, "-c", script, self.mark])
        await self.started(2)
        child.cancel()
        await self.assertFailure(child, CancelledError)
        [left] = running(self.mark)
        os.kill(left, signal.SIGKILL)

    async def test_leftovers(self) -> None:
        """What a child that has ended has left in the background is stopped."""
        script = f"{self.sleeper()} >/dev/null 2>&1 & echo done"
        self.assertEqual((await run(self.shell(script))).stdout, b"done\n")
        self.assert_gone()

    async def test_cancelled_among_leftovers(self) -> None:
        """A cancel while these are being stopped waits for them."""
        stubborn = f'sh -c "{STUBBORN}" {self.mark} >/dev/null 2>&1 &'
        child = run(self.shell(f"{stubborn} echo done"), grace=0.3)
        await self.started(1)
        await deferLater(reactor, 0)
        await self.cancelled(child)


class StreamTests(GroupTestCase):
    """A child whose output is streamed."""

    async def test_chunks(self) -> None:
        """The chunks are its output, in their order, and then there are no more."""
        data = os.urandom(OUTPUT)
        chunks = stream(["cat"], stdin=data)
        got = [chunk async for chunk in chunks]
        self.assertEqual(b"".join(got), data)
        self.assertGreater(len(got), 1)
        await self.assertFailure(Deferred.fromCoroutine(ended(chunks)), StopAsyncIteration)

    async def test_as_it_comes(self) -> None:
        """A chunk is there before the child has ended."""
        chunks = stream(self.shell("echo begun; exec sleep 60"))
        self.assertEqual(await anext(chunks), b"begun\n")
        await chunks.aclose()
        self.assert_gone()

    async def test_back_pressure(self) -> None:
        """A child whose output is not read has to wait."""
        counter = Path(self.mktemp())
        script = f"while :; do head -c 65536 /dev/zero; echo >> {counter}; done"
        chunks = stream(self.shell(script))
        await anext(chunks)
        await self.standstill(counter)
        before = counter.stat().st_size
        self.assertLess(before, 10)
        for _ in range(10):
            await anext(chunks)
        await self.until(lambda: counter.stat().st_size > before)
        await chunks.aclose()
        self.assert_gone()

    async def standstill(self, counter: Path) -> None:
        """Wait until the child sleeps in a `write` to its pipe."""

        def is_blocked() -> bool:
            waits = [Path(f"/proc/{pid}/wchan").read_text() for pid in running("/dev/zero")]
            return counter.exists() and any("pipe" in wait for wait in waits)

        await self.until(is_blocked)

    async def test_dropped(self) -> None:
        """The child is stopped when nobody refers to its output any more."""
        gc.disable()
        self.addCleanup(gc.enable)
        async for _ in stream(self.shell(f"echo begun; exec {self.sleeper()}")):
            break
        await self.settled()

    async def test_collected(self) -> None:
        """It is stopped in the reactor's thread, whichever the garbage collector runs in."""
        gc.disable()
        self.addCleanup(gc.enable)
        noting: Any = Noting()
        chunks = stream(self.shell(f"echo begun; exec {self.sleeper()}"), reactor=noting)
        await anext(chunks)
        cycle: list[object] = [chunks]
        cycle.append(cycle)
        del chunks, cycle
        await deferToThread(gc.collect)
        await self.settled()
        self.assertEqual(noting.threads, {get_ident()})

    async def test_closed(self) -> None:
        """One that is closed has no more chunks, not even of what had come before."""
        chunks = stream(self.shell(f"head -c {2**16} /dev/zero; {self.sleeper()}"))
        await anext(chunks)
        await self.started(2)
        await chunks.aclose()
        self.assert_gone()
        for _ in range(2):
            await self.assertFailure(Deferred.fromCoroutine(ended(chunks)), StopAsyncIteration)

    async def test_closed_while_it_is_read(self) -> None:
        """Who waits for a chunk meanwhile is told that there are no more."""
        chunks = stream(self.shell(f"exec {self.sleeper()}"))
        reading = Deferred.fromCoroutine(ended(chunks))
        await self.started(1)
        await chunks.aclose()
        await self.assertFailure(reading, StopAsyncIteration)

    async def test_cancelled_while_it_is_closed(self) -> None:
        """A cancel of who closes it comes when the group has gone."""
        chunks = stream(self.shell(f"trap '' TERM; echo begun; {STUBBORN}"), grace=0.1)
        await anext(chunks)
        closing = Deferred.fromCoroutine(chunks.aclose())
        closing.cancel()
        self.assertNoResult(closing)
        await self.assertFailure(closing, CancelledError)
        self.assert_gone()

    async def test_not_asked_for(self) -> None:
        """As long as nobody asks for a chunk there is no child."""
        chunks = stream(self.shell(self.sleeper()))
        await chunks.aclose()
        await self.assertFailure(Deferred.fromCoroutine(ended(chunks)), StopAsyncIteration)
        self.assert_gone()

    async def test_checked(self) -> None:
        """A status other than 0 is an error, after all output, with the end of the errors."""
        noise = 2 * 2**16
        chunks = stream(
            self.shell(f"echo out; head -c {noise} /dev/zero >&2; echo end >&2; exit 3")
        )
        self.assertEqual(await anext(chunks), b"out\n")
        error = await self.assertFailure(
            Deferred.fromCoroutine(ended(chunks)), subprocess.CalledProcessError
        )
        self.assertEqual(error.returncode, 3)
        self.assertEqual(len(error.stderr), 2**16)
        self.assertTrue(error.stderr.endswith(b"end\n"))

    async def test_unchecked(self) -> None:
        """Unless nobody wants to know."""
        self.assertEqual([chunk async for chunk in stream(["false"], check=False)], [])


def inherit_orphans(yes: bool) -> None:
    """Become what the first process of a container is to all others; see prctl(2)."""
    pr_set_child_subreaper = 36
    if ctypes.CDLL(None).prctl(pr_set_child_subreaper, int(yes), 0, 0, 0) != 0:
        raise SkipTest("needs Linux")


async def ended(chunks: Any) -> Any:
    """Ask for a chunk where there is none."""
    return await anext(chunks)


class Noting:
    """The reactor, which notes in what threads its timers are set."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def callLater(self, *args: Any) -> Any:
        self.threads.add(get_ident())
        return reactor.callLater(*args)


class HandlerTests(GroupTestCase):
    """Children of a handler."""

    async def assert_stopped(self, handler: Handler, count: int = 1) -> None:
        """The client leaves, and the scope waits for the end of the group."""
        client, outcome = self.visit(handler)
        await self.started(count)
        client.disconnect()
        self.assertEqual((await outcome).ended, Ended.STOPPED)
        self.assert_gone()

    async def test_returned(self) -> None:
        """A child whose result is the page's is stopped when the client leaves."""
        script = self.shell(f"{self.sleeper()} | {self.sleeper()}")
        await self.assert_stopped(lambda _: run(script), 3)

    async def test_awaited(self) -> None:
        """So is one that is awaited."""

        async def handler(_: object) -> bytes:
            return (await run(self.shell(f"exec {self.sleeper()}"))).stdout

        await self.assert_stopped(handler)

    async def test_streamed(self) -> None:
        """So is one that is streamed to the client."""
        await self.assert_stopped(lambda _: stream(self.shell(f"exec {self.sleeper()}")))

    async def test_read_by_the_handler(self) -> None:
        """So is one whose stream the handler reads itself."""

        async def handler(_: object) -> bytes:
            chunks = stream(self.shell(f"exec {self.sleeper()}"))
            return b"".join([chunk async for chunk in chunks])

        await self.assert_stopped(handler)

    async def test_page(self) -> None:
        """A client that stays gets the output."""
        client, outcome = self.visit(lambda _: stream(["echo", "hello"]))
        await outcome
        self.assertEqual(client.response.body, b"hello\n")
        self.assertTrue(client.response.is_complete)

    async def test_broken_off(self) -> None:
        """A stream whose child fails half-way is broken off, and logged."""
        client, outcome = self.visit(lambda _: stream(self.shell("echo half; exit 3")))
        self.assertEqual((await outcome).ended, Ended.FAILED)
        self.assertFalse(client.response.is_complete)
        self.assertEqual(len(self.flushLoggedErrors(subprocess.CalledProcessError)), 1)

    async def test_other_clock(self) -> None:
        """Where the scope's clock runs no processes, the reactor does."""
        clock = Clock()
        turns = LoopingCall(clock.advance, 0)
        turns.start(0)
        self.addCleanup(turns.stop)
        client, outcome = self.visit(lambda _: stream(["echo", "hello"]), clock=clock)
        await outcome
        self.assertEqual(client.response.body, b"hello\n")


class ArgumentTests(SynchronousTestCase):
    """Arguments that are wrong are told at once."""

    def test_no_sequence(self) -> None:
        """A shell's command line is no sequence of arguments; nor is an empty one."""
        for wrong in ["ls -l", b"ls", [], 1]:
            for function in [run, stream]:
                with self.assertRaisesRegex(TypeError, r"args must be .* sh.*-c.* command"):
                    function(wrong)  # type: ignore[arg-type]

    def test_negative_grace(self) -> None:
        """There is no grace period of less than no seconds, nor one without end."""
        for wrong in [-1, inf, nan]:
            with self.assertRaisesRegex(ValueError, "grace must be 0 or more"):
                run(["true"], grace=wrong)

    def test_input_that_is_not_bytes(self) -> None:
        """A child reads bytes, so no text."""
        for wrong in ["text", None, 1]:
            with self.assertRaisesRegex(TypeError, f"stdin must be bytes, not {wrong!r}"):
                run(["cat"], stdin=wrong)  # type: ignore[arg-type]


if sys.platform == "win32":
    GroupTestCase.skip = "a shell and its signals are needed"  # type: ignore[attr-defined]
