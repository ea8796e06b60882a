"""The benchmark of cancelled queries runs, and its table has a row for each driver.

What belongs here: that it runs. What does not: any time.
"""

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from .._servers import REPOSITORY


class DatabaseCancelTests(SynchronousTestCase):
    """`benchmarks/database_cancel.py`."""

    def test_table(self) -> None:
        """Two rounds give a row for each driver, and the status tells if the target is met."""
        program = REPOSITORY / "benchmarks" / "database_cancel.py"
        ran = subprocess.run(
            [sys.executable, program, "--rounds", "2"], capture_output=True, text=True, timeout=60
        )
        self.assertEqual(ran.returncode, "**no**" in ran.stdout, ran.stderr)
        for driver in ("psycopg", "psycopg2"):
            figures = r"(\d+\.\d\d \| ){6}"
            self.assertRegex(ran.stdout, rf"\| {driver} \| {figures}(yes|\*\*no\*\*) \|")
