"""The how-to on testing is true: its tests pass, and its bugs are found."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cancelweb.testing import Problem, SweepFailed, sweep

from ..._docs import DOCS, LEAVING, directives
from ..._servers import REPOSITORY

BEFORE, AFTER, TESTS = LEAVING
HOWTO = DOCS / "howto" / "test-leaving.rst"


def handlers(path: Path) -> dict[str, Any]:
    """The names in a file, with the lines that reports show."""
    return runpy.run_path(str(path))


class BugTests(SynchronousTestCase):
    """Each handler of the how-to, before and after its repair."""

    def swept(self, name: str) -> SweepFailed:
        """What the sweep finds before the repair; after the repair it finds nothing."""
        sweep(handlers(AFTER)[name])
        error: SweepFailed = self.assertRaises(SweepFailed, sweep, handlers(BEFORE)[name])
        return error

    def test_shown_reports(self) -> None:
        """The how-to shows the reports on the booking handler, and a finding, as they are."""
        blocks = [each.body for each in directives(HOWTO.read_text()) if each.argument == "text"]
        shown = [dedent(each).strip() for each in blocks]
        after = sweep(handlers(AFTER)["Booking"])
        [let_go, _] = self.swept("Quote").report.findings
        finding = f"{let_go.problem.value}: {let_go.text}"
        self.assertEqual(shown, [str(self.swept("Booking")), str(after), finding])

    def test_file(self) -> None:
        """The sweep finds the temporary file that the export leaves behind."""
        findings = self.swept("Export").report.findings
        self.assertEqual({each.problem for each in findings}, {Problem.LEFT})
        self.assertIn("a temporary file: tmp", findings[0].text)

    def test_lock(self) -> None:
        """The sweep finds that the booking never releases its lock for the next client."""
        error = self.swept("Booking")
        self.assertEqual({each.problem for each in error.report.findings}, {Problem.OTHERS})
        self.assertIn("a later client got no answer instead of 200", str(error))

    def test_shared(self) -> None:
        """The sweep finds that one client that leaves takes the rates from another."""
        error = self.swept("Rates")
        self.assertIn(Problem.OTHERS, {each.problem for each in error.report.findings})
        self.assertIn("another client got 500 instead of 200", str(error))
        self.flushLoggedErrors()


class ProgramTests(SynchronousTestCase):
    """The tests that the how-to shows, run as it says."""

    def run_tests(self, *command: str) -> str:
        """Run a command where the snippets are, and return what it printed."""
        snippets = DOCS / "howto" / "snippets"
        search = [str(snippets), str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]
        directory = Path(self.mktemp())
        directory.mkdir()
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, search))},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_trial(self) -> None:
        """Trial passes the tests of the how-to, and prints the reports of their sweeps."""
        printed = self.run_tests("twisted.trial", "test_leaving")
        self.assertIn("PASSED (successes=3)", printed)
        for name in "Export", "Booking", "Rates":
            self.assertIn(str(sweep(handlers(AFTER)[name])), printed)

    def test_pytest(self) -> None:
        """Pytest passes the tests of the how-to."""
        printed = self.run_tests("pytest", "-q", "-p", "no:cacheprovider", str(TESTS))
        self.assertIn("3 passed", printed)
