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
    """A process that is interrupted as soon as it writes something."""

    def __init__(self) -> None:
        self.ended: Deferred[ProcessTerminated] = Deferred()

    def outReceived(self, data: bytes) -> None:
        """Interrupt the process."""
        assert self.transport is not None
        self.transport.signalProcess("INT")

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

    async def test_interrupt(self) -> None:
        """The command ends by SIGINT when it is interrupted."""
        process = Interrupting()
        reactor.spawnProcess(process, sys.executable, [sys.executable, "-m", "cancelweb"], env=None)
        self.assertEqual((await process.ended).signal, signal.SIGINT)

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
        """The last row of the table is the sum of the others, in rounded numbers."""
        [line] = [line for line in self.give().splitlines() if line.startswith("all")]
        self.successResultOf(self.giving)
        self.assertEqual(line.split(), ["all", "12", "12", "0.0", "s", "12", "0", "5.0", "s"])

    def test_conclusion(self) -> None:
        """The text below the table has the table's numbers, and how long stopping took."""
        output = " ".join(self.give().split())
        self.assertIn("With cancelweb, 12 of 12 requests stopped, each within 13 ms.", output)
        self.assertIn("12 ran on and used 5.0 s of CPU", output)

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
