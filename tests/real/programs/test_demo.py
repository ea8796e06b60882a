"""The command `python -m cancelweb`, in a process of its own, and what it makes of its numbers.

The site that it visits is tested in `test_demo_page`.
"""

import signal
import sys
from contextlib import redirect_stdout
from io import StringIO
from typing import ClassVar

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cancelweb.demo import DOCS, tour
from cancelweb.demo.tally import Tally
from cancelweb.demo.tour import INTRODUCTION, KINDS, LEAVERS, Result, Tour

from ..._servers import reactor
from .._demo import serve_here

STOPPED = Result(left=LEAVERS, stopped=LEAVERS, stuck=0, cpu=0.012)
RAN_ON = Result(left=LEAVERS, stopped=0, stuck=0, cpu=1.25)


class Interrupting(ProcessProtocol):
    """A process that gets a signal as soon as it has written so many lines."""

    def __init__(self, name: str, lines: int) -> None:
        self.ended: Deferred[ProcessTerminated] = Deferred()
        self.errors = b""
        self._name, self._lines = name, lines

    def outReceived(self, data: bytes) -> None:
        """Send the signal."""
        assert self.transport is not None
        self._lines -= data.count(b"\n")
        if self._lines <= 0:
            self.transport.signalProcess(self._name)

    def errReceived(self, data: bytes) -> None:
        """Keep what the process says of errors."""
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        """Tell how the process has ended."""
        assert isinstance(reason.value, ProcessTerminated), reason
        self.ended.callback(reason.value)


class CommandTests(TestCase):
    """The command `python -m cancelweb`."""

    timeout = 120

    async def run_command(self, *arguments: str) -> tuple[str, str, int]:
        """What the command writes to standard output and standard error, and its exit status."""
        output, errors, status = await getProcessOutputAndValue(
            sys.executable, ["-m", "cancelweb", *arguments], env=None
        )
        return output.decode(), errors.decode(), status

    async def test_table_shows_that_work_stops(self) -> None:
        """The table shows that all work stopped with cancelweb, and none without."""
        output, errors, status = await self.run_command()
        self.assertEqual((errors, status), ("", 0))
        for name in KINDS.values():
            [line] = [line for line in output.splitlines() if line.startswith(name)]
            left, stopped, *_, left_off, stopped_off, cpu_off, _ = line.removeprefix(name).split()
            self.assertEqual((left, stopped), (str(LEAVERS), str(LEAVERS)), line)
            self.assertEqual((left_off, stopped_off), (str(LEAVERS), "0"), line)
            self.assertGreater(float(cpu_off), 0, line)
        self.assertEqual(output.splitlines()[-1].split()[-1], DOCS)

    async def test_signals(self) -> None:
        """The command ends quietly by the signal that ends it, whatever is running."""
        last = INTRODUCTION.count("\n") + len(KINDS)  # a chain runs when this line is written
        for name, lines in (("INT", 1), ("TERM", 1), ("TERM", last)):
            process, command = Interrupting(name, lines), [sys.executable, "-m", "cancelweb"]
            reactor.spawnProcess(process, command[0], command, env=None)
            ended = await process.ended
            self.assertEqual(ended.signal, signal.Signals[f"SIG{name}"])
            self.assertEqual(process.errors, b"")

    async def run_in_shell(self, redirected: str) -> tuple[bytes, bytes, int]:
        """What a shell writes that runs the command so, and its exit status."""
        line = f"{sys.executable} -m cancelweb {redirected}"
        output, errors, status = await getProcessOutputAndValue("/bin/sh", ["-c", line], env=None)
        return output, errors, status

    async def test_reader_that_leaves(self) -> None:
        """The command ends quietly when the reader of its table has gone."""
        output, errors, _ = await self.run_in_shell("| head -n 1")
        self.assertEqual((output.count(b"\n"), errors), (1, b""))

    async def test_output_that_is_full(self) -> None:
        """The command says in one line that it cannot write."""
        for arguments in ("", "--serve --port 0"):
            _, errors, status = await self.run_in_shell(f"{arguments} >/dev/full")
            reason = b"Cannot write to standard output: No space left on device.\n"
            self.assertEqual((errors, status), (reason, 1))

    async def test_port_without_page(self) -> None:
        """A port is refused without `--serve`, because it would not be used."""
        output, errors, status = await self.run_command("--port", "9090")
        self.assertEqual((output, status), ("", 2))
        self.assertIn("--port: needs --serve", errors.splitlines()[-1])

    async def test_help(self) -> None:
        """`--help` says what the command shows, and ends with the documentation."""
        output, errors, status = await self.run_command("--help")
        self.assertEqual((errors, status), ("", 0))
        self.assertIn("exit status", output)
        self.assertEqual(output.splitlines()[-1], f"Documentation: {DOCS}")

    async def test_unknown_option(self) -> None:
        """An unknown option is named on standard error, with status 2."""
        output, errors, status = await self.run_command("--unknown")
        self.assertEqual((output, status), ("", 2))
        self.assertIn("unrecognized arguments: --unknown", errors.splitlines()[-1])


class TourTests(TestCase):
    """The clients of the command, on a site in the test's own process."""

    timeout = 60

    async def test_work_that_does_not_end(self) -> None:
        """Work that runs on when patience is at an end counts as stuck."""
        visit = Tour(*serve_here(self, seconds=2), patience=0)
        result = await visit.leave("/off/stream")
        self.assertEqual(evolve(result, cpu=0), Result(LEAVERS, 0, LEAVERS, 0))
        await visit.until(0, self.timeout)


class GiveTests(SynchronousTestCase):
    """What the command prints of its numbers, and its exit status."""

    def give(self, on: Result = STOPPED, status: str = "503 Service Unavailable") -> str:
        """What the command prints for these numbers."""

        async def leave(self: Tour, path: str) -> Result:
            return on if path.startswith("/on/") else RAN_ON

        async def wait(self: Tour, path: str) -> str:
            return "200 OK" if path == "/on/report" else status

        class Idle:
            tallies: ClassVar = {b"": Tally(slowest=0.0123)}

        async def start(cls: object, reactor: object) -> Tour:
            return Tour(Idle(), 0)  # type: ignore[arg-type]

        for name, function in (("leave", leave), ("wait", wait), ("start", classmethod(start))):
            self.patch(Tour, name, function)
        with redirect_stdout(StringIO()) as output:
            self.giving = Deferred.fromCoroutine(tour.give(reactor))
        return output.getvalue()

    def problems(self, on: Result = STOPPED, status: str = "503 Service Unavailable") -> list[str]:
        """What the command exits with for these numbers, line by line."""
        self.give(on, status)
        failure = self.failureResultOf(self.giving, SystemExit)
        # The interpreter prints a message, and exits with status 1.
        return str(failure.value.code).splitlines()[2:]

    def test_last_row_is_the_sum(self) -> None:
        """The last row of the table is the sum of the rounded numbers above it."""
        [line] = [line for line in self.give().splitlines() if line.startswith("all")]
        self.successResultOf(self.giving)
        self.assertEqual(line.split(), ["all", "12", "12", "0.0", "s", "12", "0", "4.8", "s"])

    def test_conclusion(self) -> None:
        """The text below the table has the table's numbers, and how long stopping took."""
        output = " ".join(self.give().split())
        self.assertIn("With cancelweb, 12 of 12 requests stopped, each within 13 ms.", output)
        self.assertIn("12 ran on and used 4.8 s of CPU", output)

    def test_lines_fit(self) -> None:
        """No line is wider than a terminal of eighty columns."""
        self.assertLessEqual(max(map(len, self.give().splitlines())), 80)

    def test_columns_are_aligned(self) -> None:
        """Each row of the table is as wide as its header."""
        header, *rows = self.give().splitlines()[INTRODUCTION.count("\n") :][: len(KINDS) + 2]
        self.assertEqual({len(row) for row in rows}, {len(header)})

    def test_work_that_still_runs(self) -> None:
        """Work that still runs with cancelweb is named, for each kind."""
        self.assertEqual(
            self.problems(evolve(STOPPED, stopped=2, stuck=1)),
            [f"{kind}, with cancelweb: 2 of 3 stopped, 1 still running" for kind in KINDS.values()],
        )

    def test_work_that_had_ended_before(self) -> None:
        """Work that had ended before its client left proves nothing, and is named."""
        self.assertEqual(
            self.problems(evolve(STOPPED, left=2, stopped=2))[0],
            "SQLite query, with cancelweb: 2 of 3 were running when the clients left",
        )

    def test_deadline_that_is_missed(self) -> None:
        """A client that waited and received another status than it should is named."""
        self.assertEqual(
            self.problems(status="200 OK"),
            ["a client received '200 OK' instead of '503 Service Unavailable'"],
        )
