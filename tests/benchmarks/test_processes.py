"""The benchmark of two server processes runs, and counts right.

What belongs here: that it runs, what it counts, and what the docs show. What does not: any time.
"""

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from .._servers import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))

import processes
from processes import Run, Share, Used
from processes_load import Answer

PROGRAM = REPOSITORY / "benchmarks" / "processes.py"
TABLE = REPOSITORY / "docs" / "explanation" / "processes" / "processes.csv"
ANSWER = b"HTTP/1.1 200 OK\r\nX-Process: 17\r\nContent-Length: 2\r\n\r\nok"


def rows_of(path: Path) -> list[dict[str, str]]:
    """A table, by the titles of its columns."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class RunningTests(SynchronousTestCase):
    """`benchmarks/processes.py`, with few clients and little time."""

    def test_writes_the_table(self) -> None:
        """One process and two are measured, and all answer; only longer runs give good figures."""
        if not sys.platform.startswith("linux"):
            raise SkipTest("the benchmark needs Linux")
        directory = Path(self.mktemp())
        tiny = ("--clients", "8", "--seconds", "1", "--rounds", "1", "--at-least", "0")
        command = [sys.executable, str(PROGRAM), *tiny, "--directory", str(directory)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=110)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("benchmarks/processes.py", (directory / "made.txt").read_text())
        rows = rows_of(directory / "processes.csv")
        shown = [(row["connections"], row["processes"]) for row in rows_of(TABLE)]
        self.assertEqual([(row["connections"], row["processes"]) for row in rows], shown)
        for row in rows:
            self.assertGreater(int(row["requests"].replace(",", "")), 0, row)


class CountingTests(SynchronousTestCase):
    """What two processes serve, with a processor each."""

    def test_waits_for_a_processor(self) -> None:
        """Time in which servers waited for a processor does not count."""
        half = [Share.of(50, Used(1, 1), Used(1.5, 1.5), 1.0) for _ in range(2)]
        self.assertEqual(Run(1.0, half, 0.1).rate, 200)

    def test_waits_for_clients(self) -> None:
        """Time in which a server had nothing to do counts as lost."""
        shares = [
            Share.of(100, Used(0, 0), Used(1, 0), 1.0),
            Share.of(25, Used(0, 0), Used(0.25, 0), 1.0),
        ]
        run = Run(1.0, shares, 0.1)
        self.assertEqual((run.requests, run.rate), (125, 125))

    def test_no_work_at_all(self) -> None:
        """A server that no client has reached serves nothing."""
        self.assertEqual(Share.of(0, Used(1, 1), Used(1, 1), 1.0).rate, 0)

    def test_row(self) -> None:
        """A row has the sums of its measurements, the busier process first."""
        runs = [
            Run(1.0, [Share(25, 0.5, 0.5), Share(75, 0.5, 1.0)], 0.1),
            Run(1.0, [Share(55, 0.5, 1.0), Share(45, 0.5, 1.0)], 0.1),
        ]
        named = dict(zip(processes.HEADER, processes.row("kept", "1.90", runs), strict=True))
        self.assertEqual(named["requests"], "200")
        self.assertEqual(named["requests/s"], "100")
        self.assertEqual(named["servers, CPU s"], "2.0")
        self.assertEqual(named["answered by each"], "65% and 35%")


class AnswerTests(SynchronousTestCase):
    """What the clients read."""

    def test_in_pieces(self) -> None:
        """An answer is whole when all of its body is there."""
        for size in range(len(ANSWER)):
            self.assertFalse(Answer(ANSWER[:size]).is_whole())
        self.assertTrue(Answer(ANSWER).is_whole())
        self.assertEqual(Answer(ANSWER).process(), 17)

    def test_errors(self) -> None:
        """An error page, or an answer of another server, is none."""
        for answer in ANSWER.replace(b"200", b"503"), ANSWER.replace(b"Content-Length", b"X"):
            with self.assertRaises(ConnectionError):
                Answer(answer).is_whole()


class ShownTests(SynchronousTestCase):
    """The table in the documentation."""

    def test_two_serve_more(self) -> None:
        """Two processes serve at least 1.7 times the requests of one."""
        rows = rows_of(TABLE)
        self.assertEqual(Counter(row["processes"] for row in rows), {"1": 2, "2": 2})
        for row in rows:
            if row["processes"] == "2":
                gain = float(row["relative to one"].partition(" ")[0])
                self.assertGreaterEqual(gain, processes.AT_LEAST, row)
