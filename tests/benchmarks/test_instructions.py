"""Instructions are counted, compared with those of the table, and the costs of each step are shown.

What belongs here: what `benchmarks/instructions.py`, `costs.py` and `growth.py` count and write, in
tiny runs. What does not: any time, and how many instructions there are.
"""

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from .._programs import find_program
from .._servers import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"
sys.path.append(str(BENCHMARKS))

import instructions  # noqa: E402
from cases import CASES  # noqa: E402
from counted import TABLES, find_case, place_of  # noqa: E402
from instructions import (  # noqa: E402
    PROGRAM,
    Count,
    committed,
    counts_table,
    is_comparable,
    worsened,
)
from pythons import on_python, pythons_of, ratios_in  # noqa: E402
from report import END, README, begin, columns, report_in, software  # noqa: E402

MADE_WITH = "CPython 3.11.7, Twisted 26.10.0, attrs 26.1.0, klein 24.8.0"
CASE = CASES[0]


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the programs."""
    return subprocess.run(
        [sys.executable, f"benchmarks/{program}", *arguments],
        capture_output=True,
        cwd=BENCHMARKS.parent,
        text=True,
    )


def of_ratio(ratio: float) -> Count:
    """A count of the first case, with this ratio."""
    return Count(CASE, theirs=(1000.0,), ours=(1000.0 * ratio,))


class CountTests(SynchronousTestCase):
    """What is made of the counts."""

    def test_the_ratio_in_the_middle_counts(self) -> None:
        """Counts of the same seed are compared; the ratio is the median of theirs."""
        count = Count(CASE, theirs=(100.0, 200.0, 100.0), ours=(150.0, 200.0, 120.0))
        self.assertEqual(count.ratios, [1.0, 1.2, 1.5])
        self.assertEqual(count.ratio, 1.2)

    def test_the_table_can_be_read_back(self) -> None:
        """The ratios of a table are found in it."""
        counts = [Count(case, theirs=(1e6,), ours=(1.25e6,)) for case in CASES]
        expected = {case.name: 1.25 for case in CASES}
        self.assertEqual(ratios_in(f"Made so.\n\n{counts_table(counts)}"), expected)

    def test_readme_has_all_cases(self) -> None:
        """Each committed table has a ratio for each case, and for nothing else."""
        text = README.read_text()
        tables = [report_in(text, on_python(PROGRAM, each)) for each in pythons_of(text, PROGRAM)]
        self.assertTrue(any(tables))
        for report in filter(None, tables):
            self.assertEqual(set(ratios_in(report)), {case.name for case in CASES})

    def test_the_target_is_judged(self) -> None:
        """A ratio is compared with the target of its case for instructions."""
        [row] = columns(counts_table([of_ratio(1.021)]))
        self.assertEqual((row["ratio"], row["target"], row["met"]), ("1.021", "≤ 1.02", "**no**"))
        [row] = columns(counts_table([of_ratio(1.02)]))
        self.assertEqual(row["met"], "yes")

    def test_help(self) -> None:
        """The help says by how much a ratio may be worse, in percent."""
        said = " ".join(run(PROGRAM, "--help").stdout.split())
        self.assertIn("a ratio is more than 3% above the one in README.md", said)


class CheckTests(SynchronousTestCase):
    """What fails the check."""

    def test_three_per_cent_are_let_pass(self) -> None:
        """A ratio may be better than the committed one, or worse by three per cent."""
        for ratio in (0.5, 1.2, 1.2 * 1.0299):
            self.assertEqual(worsened([of_ratio(ratio)], {CASE.name: 1.2}), [], ratio)

    def test_more_is_told(self) -> None:
        """A ratio that is worse by more is told in a line: the case, its ratio, and the old one."""
        [line] = worsened([of_ratio(1.26)], {CASE.name: 1.2})
        self.assertEqual(
            line,
            f"{CASE.name}: 1.260 times the instructions of {CASE.against}, +5.0% from 1.200",
        )

    def test_a_case_without_a_figure_fails(self) -> None:
        """A case that the committed table does not have is not let pass."""
        [line] = worsened([of_ratio(1.0)], {})
        self.assertIn("--write-readme", line)

    def test_what_can_be_compared(self) -> None:
        """Tables of the same Twisted, attrs and minor version of Python are compared."""
        report = f"Made with `python x` on {MADE_WITH}; Linux.\n"
        for same in (MADE_WITH, MADE_WITH.replace("3.11.7", "3.11.12")):
            self.assertTrue(is_comparable(report, same), same)
        for old, new in (("3.11.7", "3.12.7"), ("26.10.0", "26.11.0"), ("26.1.0", "26.2.0")):
            self.assertFalse(is_comparable(report, MADE_WITH.replace(old, new)), new)
        self.assertFalse(is_comparable("", MADE_WITH))


class CommittedTests(SynchronousTestCase):
    """What is compared with."""

    def readme(self, text: str) -> None:
        """Have the program read this."""
        path = Path(self.mktemp())
        path.write_text(text)
        self.patch(instructions, "README", path)

    def report(self, made_with: str) -> str:
        """The report on this Python."""
        counts = counts_table([of_ratio(1.25)])
        return (
            f"{begin(on_python(PROGRAM))}\nMade with `it` on {made_with}; Linux.\n\n{counts}\n{END}"
        )

    def test_the_table_of_this_python(self) -> None:
        """The ratios are those of this Python, whatever other Pythons have."""
        other = f"{begin(on_python(PROGRAM, '2.7'))}\nnothing\n{END}"
        self.readme(f"{other}\n{self.report(software())}")
        self.assertEqual(committed(), {CASE.name: 1.25})

    def test_other_packages(self) -> None:
        """A table that was made with other packages is not compared with."""
        self.readme(self.report("CPython 2.7, Twisted 1.0"))
        with self.assertRaisesRegex(SystemExit, "^cannot compare on .*: Made with .*Twisted 1.0;"):
            committed()

    def test_no_table(self) -> None:
        """Where this Python has no table, or no place for one, nothing is compared with."""
        self.readme(f"{begin(on_python(PROGRAM))}\n\n{END}")
        with self.assertRaisesRegex(SystemExit, "README.md has no table for this Python"):
            committed()
        self.readme("nothing")
        with self.assertRaisesRegex(SystemExit, "README.md has no place for instructions.py on"):
            committed()


class PlaceTests(SynchronousTestCase):
    """How the process that is counted is told what to run."""

    def test_each_case_is_found(self) -> None:
        """Every case and every step is found at its place."""
        for cases in TABLES.values():
            for case in cases:
                self.assertIs(find_case(place_of(case)), case)


class ValgrindTests(SynchronousTestCase):
    """The program that counts."""

    def setUp(self) -> None:
        find_program("valgrind", "apt-get install valgrind")

    def test_it_counts(self) -> None:
        """A tiny run finds thousands of instructions a request, and a fixed ratio of them."""
        arguments = ("--case", "bytes", "--requests", "2", "--seeds", "1")
        finished = run("instructions.py", *arguments)
        self.assertEqual((finished.returncode, finished.stderr), (0, ""))
        self.assertIn(f"python benchmarks/instructions.py {' '.join(arguments)}", finished.stdout)
        [row] = [line.split(" | ") for line in finished.stdout.splitlines() if "bytes" in line][1:]
        theirs, ours = (float(cell.replace(",", "")) for cell in row[2:4])
        self.assertGreater(theirs, 10_000)
        self.assertGreater(ours, theirs)


class ArgumentTests(SynchronousTestCase):
    """What the program refuses."""

    def test_part_of_the_table_is_not_written(self) -> None:
        """The table in the README is written whole or not at all."""
        finished = run("instructions.py", "--case", "bytes", "--write-readme")
        self.assertEqual(finished.returncode, 2)
        self.assertIn("leave out --case", finished.stderr)

    def test_valgrind_is_missing(self) -> None:
        """Without valgrind it says what to install."""
        finished = subprocess.run(
            [sys.executable, BENCHMARKS / "instructions.py", "--case", "bytes"],
            capture_output=True,
            env={"PATH": "", "PYTHONPATH": ":".join(sys.path)},
            text=True,
        )
        self.assertEqual(finished.returncode, 1)
        self.assertEqual(
            finished.stderr.strip(),
            "instructions are counted by valgrind: apt-get install valgrind",
        )
