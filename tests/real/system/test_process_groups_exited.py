"""`cancelweb.processes`: programs that have exited while another process holds their output open.

What belongs here: `wait_delay`. What does not: what else is done with the rest of a group.
"""

import os
import signal
from math import inf, nan
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cancelweb.processes import run, stream

from ..._logs import log_events, of_cancelweb
from .._procs import running, zombies
from ._groups import OUTPUT, GroupTestCase, Timed, reactor

MINUTE = 60

BEGUN = "echo begun; sleep 0.1"
"""A shell's commands: what the first chunk is, and time to read it alone."""


class TimedTestCase(GroupTestCase):
    """A test whose clock times the delay."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor: Any = Timed()
        self.clock = self.reactor.clock

    async def exited(self, count: int = 1) -> None:
        """Wait until the program has exited, which is being timed, and so many others run."""
        await self.started(count)
        await self.until(self.clock.getDelayedCalls)


class DaemonTests(TimedTestCase):
    """Programs that leave a daemon behind, which is out of reach, and holds their pipes."""

    async def test_returns(self) -> None:
        """`run` returns what has been read, a few seconds after the program has exited."""
        child = run(self.shell(f"{self.daemon()}; echo hello; echo oops >&2"), reactor=self.reactor)
        await self.exited()
        self.clock.advance(2.9)
        self.assertNoResult(child)
        self.clock.pump([0.1] * 3)
        done = self.successResultOf(child)
        self.assertEqual((done.stdout, done.stderr, done.returncode), (b"hello\n", b"oops\n", 0))
        self.assertEqual(zombies(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_the_daemon_lives(self) -> None:
        """A daemon lives on when its program's output is closed, and a log line says so."""
        events = log_events(self)
        await run(self.shell(self.daemon()), wait_delay=0)
        self.assertEqual(len(running(self.mark)), 1)
        [event] = of_cancelweb(events, LogLevel.info)
        self.assertRegex(
            formatEvent(event), r"^process \d+ and its group: the program has exited, but 0 s later"
        )

    async def test_status(self) -> None:
        """The exit status of a program that left a daemon behind is its own."""
        done = await run(self.shell(f"{self.daemon()}; exit 3"), check=False, wait_delay=0)
        self.assertEqual(done.returncode, 3)

    async def test_all_that_was_written(self) -> None:
        """With no delay, too, all that the program has written before its exit is read."""
        script = self.shell(f"{self.daemon()}; head -c {2**16} /dev/zero")
        for _ in range(5):
            self.assertEqual(len((await run(script, wait_delay=0)).stdout), 2**16)

    async def test_as_long_as_it_takes(self) -> None:
        """Without a limit, output is read until no process holds it open."""
        child = run(self.shell(f"{self.daemon()}; echo hello"), wait_delay=None)
        await self.started(1)
        await self.until(zombies)
        os.kill(running(self.mark)[0], signal.SIGKILL)
        self.assertEqual((await child).stdout, b"hello\n")
        self.assert_gone()

    async def test_only_errors(self) -> None:
        """A daemon that holds only the error output open is not waited for either."""
        script = self.shell(f"{self.daemon()} >/dev/null; echo hello")
        child = run(script, reactor=self.reactor)
        await self.exited()
        # The end of the output itself is read in the turn of the exit, or in the next one.
        await deferLater(reactor, 0)
        self.clock.pump([1, 1, 1, 0.1, 0.1])
        self.assertEqual(self.successResultOf(child).stdout, b"hello\n")

    async def test_input(self) -> None:
        """A daemon that holds input open without reading it does not hold up anything."""
        script = self.shell(f"{self.daemon()} >/dev/null 2>&1; echo hello")
        self.assertEqual((await run(script, stdin=bytes(OUTPUT))).stdout, b"hello\n")
        self.assertEqual(len(running(self.mark)), 1)

    async def test_cancelled(self) -> None:
        """A child that has exited while a daemon holds its output ends at once when cancelled."""
        child = run(self.shell(self.daemon()), reactor=self.reactor, wait_delay=MINUTE)
        await self.exited()
        child.cancel()
        self.clock.pump([0.01] * 5)
        self.failureResultOf(child, CancelledError)
        self.assertEqual(zombies(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_the_rest_of_its_group(self) -> None:
        """A process of the group that holds the output open is stopped after the delay."""
        child = run(self.shell(f"{self.sleeper()} & echo hello"), wait_delay=0)
        self.assertEqual((await child).stdout, b"hello\n")
        self.assert_gone()

    async def test_page(self) -> None:
        """A client gets the whole output of a streamed program that left a daemon behind."""
        script = self.shell(f"{self.daemon()}; echo hello")
        connection, outcome = self.visit(lambda _: stream(script, wait_delay=0))
        await outcome
        self.assertEqual(connection.response.body, b"hello\n")
        self.assertTrue(connection.response.is_complete)


class SlowReaderTests(TimedTestCase):
    """Streams of such programs whose reader is slow."""

    async def paused(self, script: str) -> Any:
        """A stream that waits for its reader, with a program that has exited."""
        chunks = stream(self.shell(script), reactor=self.reactor)
        self.assertEqual(await anext(chunks), b"begun\n")
        await self.until(zombies)
        await self.until(lambda: is_full(chunks))
        # The exit is noticed in the next turn.
        await deferLater(reactor, 0)
        await deferLater(reactor, 0)
        return chunks

    async def test_nothing_is_lost(self) -> None:
        """However slow the reader is, it gets all that the program has written."""
        # As much as our buffer and the pipe hold, so that the program can exit.
        size = 2**17
        chunks = await self.paused(f"{self.daemon()}; {BEGUN}; head -c {size} /dev/zero")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(MINUTE)
        rest = Deferred.fromCoroutine(all_of(chunks))
        self.clock.pump([3, 0.1, 0.1])
        self.assertEqual(len(self.successResultOf(rest)), size)

    async def test_pauses_do_not_count(self) -> None:
        """Time in which a reader has paused a stream is not part of the delay."""
        # The background process waits in a write to the pipe.
        chunks = await self.paused(f"sh -c '{BEGUN}; head -c {OUTPUT} /dev/zero; :' $0 & exit")
        for _ in range(5):
            self.clock.advance(MINUTE)
            await anext(chunks)
            await self.until(lambda: is_full(chunks))
        self.assertEqual(len(running(self.mark)), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        closing = Deferred.fromCoroutine(chunks.aclose())
        while not closing.called:
            self.clock.advance(0.01)
            await deferLater(reactor, 0)


def is_full(chunks: Any) -> bool:
    """Whether the reader of a stream has been too slow."""
    return bool(chunks._child._stdout.is_full)


async def all_of(chunks: Any) -> bytes:
    """The rest of a stream."""
    return b"".join([chunk async for chunk in chunks])


class ArgumentTests(SynchronousTestCase):
    """Wrong delays, which are errors at once."""

    def test_wrong_delays(self) -> None:
        """A delay that is negative, infinite or not a number is refused, with what to write."""
        for wrong in [-1, inf, nan]:
            for function in [run, stream]:
                with self.assertRaisesRegex(ValueError, "wait_delay must be .* None for no limit"):
                    function(["true"], wait_delay=wrong)
