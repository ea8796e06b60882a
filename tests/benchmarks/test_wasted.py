"""The benchmark of wasted work runs, and finds with cancelweb that nothing still runs.

What belongs here: that it runs, and counts right. What does not: any time.
"""

import csv
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from .._servers import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))

import wasted_work

PROGRAM = REPOSITORY / "benchmarks" / "wasted_work.py"
PAGE = REPOSITORY / "docs" / "explanation" / "wasted-work.rst"
TABLE = PAGE.with_name("wasted") / "wasted.csv"


def rows_of(path: Path) -> list[dict[str, str]]:
    """A table, by the titles of its columns."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class WastedWorkTests(SynchronousTestCase):
    """`benchmarks/wasted_work.py`, with two clients and little time."""

    def run_benchmark(self, *arguments: str) -> list[dict[str, str]]:
        """What it writes."""
        if not sys.platform.startswith("linux"):
            raise SkipTest("the benchmark needs Linux")
        directory = Path(self.mktemp())
        tiny = ("--clients", "2", "--watch", "0.5", "--directory", str(directory))
        command = [sys.executable, str(PROGRAM), *tiny, *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=110)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("benchmarks/wasted_work.py", (directory / "made.txt").read_text())
        return rows_of(directory / "wasted.csv")

    def test_nothing_runs_with_cancelweb(self) -> None:
        """Of all kinds of work two have started, and none still runs."""
        rows = self.run_benchmark("--ways", "cancelweb")
        self.assertEqual([row["work"] for row in rows], [row["work"] for row in rows_of(TABLE)])
        for row in rows:
            each = 4 if row["work"] == "pipeline" else 1
            self.assertEqual(row["started"], str(2 * each), row)
            self.assertEqual(row["running, cancelweb"], "0", row)

    def test_the_others_are_counted(self) -> None:
        """Without cancelweb a thread runs on; a coroutine only if no code cancels it."""
        rows = self.run_benchmark("--kinds", "thread", "coroutine", "--ways", "by hand", "plain")
        found = {row["work"]: (row["running, by hand"], row["running, plain"]) for row in rows}
        self.assertEqual(found, {"thread": ("2", "2"), "coroutine": ("0", "2")})


class ProofTests(SynchronousTestCase):
    """Rows that prove nothing."""

    def test_what_still_runs(self) -> None:
        """What still runs with cancelweb is a fault; what does without it is not."""
        wastes = {way: wasted_work.Waste(50, 3, 0.1) for way in ("cancelweb", "by hand", "plain")}
        [fault] = wasted_work.unproven("thread", wastes)
        self.assertEqual(fault, "thread: of 50, 3 still ran with cancelweb")
        wastes["cancelweb"] = wasted_work.Waste(50, 0, 0.1)
        self.assertEqual(list(wasted_work.unproven("thread", wastes)), [])

    def test_what_has_not_started(self) -> None:
        """Work that does not begin, or begins too often, has no row."""
        self.patch(wasted_work, "PATIENCE", 0.0)
        for started in ([1], [1, 2, 3]):
            with self.assertRaisesRegex(
                TimeoutError, f"thread: {len(started)} have started, not 2"
            ):
                wasted_work.wait_for(2, started.__len__, "thread")


class ShownTests(SynchronousTestCase):
    """The table in the documentation."""

    def test_nothing_runs_with_cancelweb(self) -> None:
        """All had started, for fifty clients, and none still ran."""
        for row in rows_of(TABLE):
            self.assertEqual(row["started"], "200" if row["work"] == "pipeline" else "50", row)
            self.assertEqual(row["running, cancelweb"], "0", row)
