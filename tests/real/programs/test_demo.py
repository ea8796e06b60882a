"""The demonstration as a whole, in a process of its own, and what it makes of the results.

Its kinds of work, its server and its clients are tested in `test_demo_parts`.
"""

import signal
import sys
from contextlib import redirect_stdout
from io import StringIO

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cancelweb.__main__ import main
from cancelweb.demo import clients, report
from cancelweb.demo.clients import LEAVERS, WAITERS, Result
from cancelweb.demo.work import KINDS

from ..._servers import reactor

CLIENTS = WAITERS + LEAVERS

STOPPED = Result(
    started=CLIENTS, completed=WAITERS, stopped=LEAVERS, running=0, running_when_left=LEAVERS, cpu=0
)
RAN_ON = evolve(STOPPED, completed=CLIENTS, stopped=0, cpu=0.25)


def rows(output: str) -> dict[str, list[str]]:
    """The cells of the table, by the kind of work."""
    lines = [line.split() for line in output.splitlines()]
    return {line[0]: line[1:] for line in lines if line and line[0] in (*KINDS, "all")}


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
        """In the table, all work is completed or stopped, and takes less CPU with cancelweb."""
        output, errors, status = await self.run_command()
        self.assertEqual((errors, status), ("", 0))
        table = rows(output)
        self.assertEqual(list(table), [*KINDS, "all"])
        for kind in KINDS:
            *counts, cpu_with, cpu_without = table[kind]
            self.assertEqual(counts, [str(CLIENTS), str(WAITERS), str(LEAVERS), "0"], kind)
            self.assertLess(float(cpu_with), float(cpu_without), kind)
        *_, cpu_with, cpu_without = table["all"]
        self.assertLess(float(cpu_with), float(cpu_without) / 2)
        self.assertIn(f"All {LEAVERS * len(KINDS)} pieces of work", output)

    async def test_interrupt(self) -> None:
        """The command ends by SIGINT when it is interrupted."""
        process = Interrupting()
        reactor.spawnProcess(process, sys.executable, [sys.executable, "-m", "cancelweb"], env=None)
        self.assertEqual((await process.ended).signal, signal.SIGINT)

    async def test_help(self) -> None:
        """`--help` says what the command does, with status 0."""
        output, errors, status = await self.run_command("--help")
        self.assertEqual((errors, status), ("", 0))
        self.assertIn("Exit status", output)

    async def test_unknown_option(self) -> None:
        """An unknown option is named on standard error, with status 2."""
        output, errors, status = await self.run_command("--unknown")
        self.assertEqual((output, status), ("", 2))
        self.assertIn("unrecognized arguments: --unknown", errors.splitlines()[-1])


class MainTests(SynchronousTestCase):
    """What the command does with its results."""

    def test_failure_exits_with_status_1(self) -> None:
        """The command fails with the name of the work that still runs."""
        stuck = evolve(STOPPED, stopped=LEAVERS - 1, running=1)
        results = {"with": {"timer": stuck}, "without": {"timer": RAN_ON}}

        async def run(reactor: object, way: str) -> dict[str, Result]:
            return results[way]

        self.patch(clients, "run", run)
        with redirect_stdout(StringIO()):
            failure = self.failureResultOf(Deferred.fromCoroutine(main(Clock())), SystemExit)
        # The interpreter prints a message that is not a number, and exits with 1.
        self.assertIn("timer, with cancelweb: 1 still running", failure.value.code)


class ReportTests(SynchronousTestCase):
    """The words and numbers of the report."""

    def problems(self, cancelling: Result = STOPPED, plain: Result = RAN_ON) -> list[str]:
        """The problems in these results."""
        return report.problems({"timer": cancelling}, {"timer": plain})

    def test_total_is_the_sum(self) -> None:
        """The last line of the table is the sum of the others."""
        results = {"timer": STOPPED, "stream": evolve(STOPPED, cpu=0.5)}
        table = report.table(results, {"timer": RAN_ON, "stream": RAN_ON})
        sums = [2 * CLIENTS, 2 * WAITERS, 2 * LEAVERS, 0]
        self.assertEqual(rows(table)["all"], [*map(str, sums), "0.50", "0.50"])

    def test_columns_are_aligned(self) -> None:
        """Each line of the table is as long as its header."""
        _, *lines = report.table({"timer": STOPPED}, {"timer": RAN_ON}).splitlines()
        self.assertEqual({len(line) for line in lines}, {len(lines[0])})

    def test_nothing_wrong(self) -> None:
        """Results in which all abandoned work was stopped have no problem."""
        self.assertEqual(self.problems(), [])

    def test_kind_that_did_not_start(self) -> None:
        """A kind of work that has not started is a problem, with and without cancelweb."""
        silent = evolve(STOPPED, started=0, completed=0, stopped=0, running_when_left=0)
        self.assertEqual(
            self.problems(silent, silent),
            [f"timer, {way}: 0 of {CLIENTS} started" for way in ("with cancelweb", "without")],
        )

    def test_work_that_had_ended_before(self) -> None:
        """Work that had ended before its client left is a problem: it proves nothing."""
        early = evolve(STOPPED, running_when_left=LEAVERS - 1)
        [problem] = self.problems(early)
        self.assertIn(f"{LEAVERS - 1} of {LEAVERS} were running when", problem)

    def test_work_that_still_runs(self) -> None:
        """Work that still runs with cancelweb is a problem."""
        [problem] = self.problems(evolve(STOPPED, stopped=LEAVERS - 1, running=1))
        self.assertEqual(problem, "timer, with cancelweb: 1 still running")

    def test_work_that_ran_on(self) -> None:
        """Work that ran to its end with cancelweb is a problem."""
        [problem] = self.problems(evolve(STOPPED, completed=CLIENTS, stopped=0))
        self.assertIn(f"0 of {LEAVERS} stopped", problem)
