"""How long the status page takes to render, and how large it is, is measured and shown.

What belongs here: what `benchmarks/rendering.py` runs and writes, in tiny runs. What does not: any
time, and the limit of the size (`operating.test_status_bounds`).
"""

import re
import sys

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from .._servers import REPOSITORY
from .test_instructions import run

BENCHMARKS = REPOSITORY / "benchmarks"
sys.path.append(str(BENCHMARKS))

from rendering import (  # noqa: E402
    MAKERS,
    PROGRAM,
    Rendering,
    Served,
    measure,
    rendering_table,
    verdict,
)
from report import Spread, begin, report_in  # noqa: E402


def spread(milliseconds: float) -> Spread:
    """A median whose quartiles are equal to it."""
    return Spread(milliseconds, milliseconds, milliseconds)


class PagesTests(SynchronousTestCase):
    """What is compared."""

    def test_both_show_all(self) -> None:
        """Each page shows the requests in flight, and shows them anew each time."""
        served = Served(3)
        for name, make in MAKERS.items():
            render = make(served)
            first = render()
            self.assertIn(b"/page2/orders/2", first, name)
            self.assertIsNot(render(), first, name)
        self.assertEqual(len(served.monitor.scopes), 3)

    def test_lists_are_full(self) -> None:
        """The status page has all rows of its lists."""
        page = MAKERS["the status page"](Served(0))().decode()
        self.assertGreaterEqual(len(re.findall("All others", page)), 4)

    def test_requests_that_are_over(self) -> None:
        """A page is not timed if not all requests are in flight."""
        self.patch(Served, "__attrs_post_init__", lambda _: None)
        with self.assertRaisesRegex(SystemExit, "^0 of 3 requests are in flight$"):
            measure(3, 1)


class TableTests(SynchronousTestCase):
    """What is shown."""

    MET = Rendering(10_000, spread(5), spread(10), spread(0.5), (200, 400))

    def test_the_target(self) -> None:
        """With 10,000 requests, a page may take 5 ms and 200 kB; with fewer there is no target."""
        target = "≤ 5 ms, 200 kB"
        self.assertEqual(verdict(self.MET), (target, "yes"))
        self.assertEqual(verdict(evolve(self.MET, ours=spread(5.1))), (target, "**no**"))
        self.assertEqual(verdict(evolve(self.MET, sizes=(200.1, 400))), (target, "**no**"))
        self.assertEqual(verdict(evolve(self.MET, number=1_000)), ("", ""))

    def test_a_row(self) -> None:
        """A row has both times and sizes, the ratio, and the verdict."""
        self.assertEqual(
            rendering_table([self.MET]).splitlines()[-1],
            "| 10,000 | 10.00 (10.00 to 10.00) | 400.0 | 5.00 (5.00 to 5.00) | 200.0 "
            "| 0.50 (0.50 to 0.50) | ≤ 5 ms, 200 kB | yes |",
        )

    def test_the_program(self) -> None:
        """A tiny run prints a line for each number, and its own command line."""
        finished = run(PROGRAM, "--rounds", "1", "--requests", "0", "3")
        self.assertEqual((finished.returncode, finished.stderr), (0, ""))
        lines = finished.stdout.splitlines()
        self.assertIn(f"`python benchmarks/{PROGRAM} --rounds 1 --requests 0 3`", lines[0])
        self.assertEqual([line[:4] for line in lines[4:6]], ["| 0 ", "| 3 "])

    def test_the_readme_has_a_place_for_it(self) -> None:
        """The README has its mark once, and a report there."""
        text = (BENCHMARKS / "README.md").read_text()
        self.assertEqual(text.count(begin(PROGRAM)), 1)
        self.assertIn(f"Made with `python benchmarks/{PROGRAM}", report_in(text, PROGRAM))
