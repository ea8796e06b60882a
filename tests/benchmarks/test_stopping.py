"""What it takes to stop much work of one request is measured and shown.

What belongs here: what `benchmarks/stopping.py` runs and writes, in tiny runs. What does not: any
time (`scopes.test_many` counts instead).
"""

import sys
from functools import partial

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from .._servers import REPOSITORY
from .test_instructions import run

BENCHMARKS = REPOSITORY / "benchmarks"
sys.path.append(str(BENCHMARKS))

from contenders import REQUEST, Contender  # noqa: E402
from report import Spread, begin, report_in  # noqa: E402
from stopping import (  # noqa: E402
    MAKERS,
    PROGRAM,
    Pieces,
    Stopping,
    stopping_table,
    time_stopping,
    verdict,
)


def spread(milliseconds: float) -> Spread:
    """A median whose quartiles are equal to it."""
    return Spread(milliseconds, milliseconds, milliseconds)


class HandlerTests(SynchronousTestCase):
    """What is compared."""

    def test_both_stop_all(self) -> None:
        """Each begins so much work, stops all of it, and leaves no error behind."""
        for name, make in MAKERS.items():
            pieces = Pieces(5)
            connection = Contender.of(partial(make, pieces), None).connect()
            connection.send(REQUEST)
            self.assertEqual(pieces.running, 5, name)
            connection.leave()
            self.assertEqual((pieces.running, connection.received()), (0, b""), name)
            self.assertEqual(self.flushLoggedErrors(), [], name)

    def test_what_is_not_stopped_is_an_error(self) -> None:
        """A handler that leaves work running is not timed."""
        self.patch(Pieces, "_cancelled", lambda *_: None)
        with self.assertRaisesRegex(SystemExit, "^cancelweb: 3 of 3 begun, 3 not stopped$"):
            time_stopping("cancelweb", 3)


class TableTests(SynchronousTestCase):
    """What is shown."""

    def stopping(self, number: int, milliseconds: float) -> Stopping:
        """A row: this much work takes this long, and half as long by hand."""
        ours, theirs = spread(milliseconds), spread(milliseconds / 2)
        return Stopping(number, ours, theirs, spread(2))

    def test_the_target(self) -> None:
        """4,000 may take 100 ms, and no more; there is no target for less work."""
        met = self.stopping(4_000, 100)
        self.assertEqual(verdict(met), ("≤ 100 ms", "yes"))
        self.assertEqual(verdict(evolve(met, ours=spread(100.1))), ("≤ 100 ms", "**no**"))
        self.assertEqual(verdict(self.stopping(2_000, 100)), ("", ""))

    def test_a_row(self) -> None:
        """A row has both times, their ratio, and the verdict."""
        self.assertEqual(
            stopping_table([self.stopping(4_000, 90)]).splitlines()[-1],
            "| 4,000 | 45.0 (45.0 to 45.0) | 90.0 (90.0 to 90.0) | 2.00 (2.00 to 2.00) | ≤ 100 ms "
            "| yes |",
        )

    def test_the_program(self) -> None:
        """A tiny run prints a line for each number, and its own command line."""
        finished = run(PROGRAM, "--rounds", "1", "--work", "2", "3")
        self.assertEqual((finished.returncode, finished.stderr), (0, ""))
        lines = finished.stdout.splitlines()
        self.assertIn(f"`python benchmarks/{PROGRAM} --rounds 1 --work 2 3`", lines[0])
        self.assertEqual([line[:4] for line in lines[4:6]], ["| 2 ", "| 3 "])

    def test_the_readme_has_a_place_for_it(self) -> None:
        """The README has its mark once, and a report there."""
        text = (BENCHMARKS / "README.md").read_text()
        self.assertEqual(text.count(begin(PROGRAM)), 1)
        self.assertIn(f"Made with `python benchmarks/{PROGRAM}", report_in(text, PROGRAM))
