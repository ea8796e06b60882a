"""Runs of `benchmarks/wasted_work.py`, and its tables.

What belongs here: what the tests of both tables share. What does not: the tests.
"""

import csv
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from .._servers import REPOSITORY

PROGRAM = REPOSITORY / "benchmarks" / "wasted_work.py"
SHOWN = REPOSITORY / "docs" / "explanation" / "wasted"
"""Where the tables of the documentation are."""


def rows_of(path: Path) -> list[dict[str, str]]:
    """A table, by the titles of its columns."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def run_benchmark(test: SynchronousTestCase, table: str, *arguments: str) -> list[dict[str, str]]:
    """Run the program for a test; returns the table of this name that it writes."""
    if not sys.platform.startswith("linux"):
        raise SkipTest("the benchmark needs Linux")
    directory = Path(test.mktemp())
    # The program ends what it has started if it gets a signal that it can handle.
    command = ["timeout", "110", sys.executable, str(PROGRAM), "--directory", str(directory)]
    ran = subprocess.run([*command, *arguments], capture_output=True, text=True)
    test.assertEqual(ran.returncode, 0, ran.stderr)
    test.assertIn("benchmarks/wasted_work.py", (directory / f"{table}.txt").read_text())
    return rows_of(directory / f"{table}.csv")
