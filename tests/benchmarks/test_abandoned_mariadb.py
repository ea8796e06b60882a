"""The benchmark of abandoned database work runs with MariaDB, and finds that nothing is hit.

What belongs here: the rows of MariaDB, with both drivers. What does not: those of other databases.
"""

import subprocess
import sys
from importlib.util import find_spec

from twisted.trial.unittest import SynchronousTestCase

from .._programs import find_program, refusal
from .._servers import REPOSITORY

PROGRAM = REPOSITORY / "benchmarks" / "abandoned_queries.py"
KINDS = 7


class MariaDBTests(SynchronousTestCase):
    """`benchmarks/abandoned_queries.py`, with two clients for each kind of work."""

    def run_benchmark(self, driver: str) -> str:
        """What it prints."""
        find_program(
            "mariadbd",
            "apt-get install mariadb-server-core mariadb-client-core",
            elsewhere="/usr/sbin",
        )
        if find_spec(driver) is None:
            remedy = "apt-get install gcc libmariadb-dev pkg-config"
            raise refusal(f"{driver} is not installed: {remedy}, then run the session again")
        tiny = ("--clients", str(2 * KINDS), "--databases", driver)
        command = [sys.executable, str(PROGRAM), *tiny]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=110)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return ran.stdout

    def assert_nothing_is_hit(self, driver: str) -> None:
        """Each kind of work was left twice; nothing was hit or committed, no connection lost."""
        printed = self.run_benchmark(driver)
        times = [row for row in printed.splitlines() if row.startswith(f"| MariaDB, {driver} |")]
        self.assertEqual([row.split(" | ")[2] for row in times[:KINDS]], ["2"] * KINDS)
        [counts] = times[KINDS:]
        self.assertRegex(counts, r"\| 14 \| [\d,]+ \| 0 \| 0 \| yes \|$")

    def test_pymysql(self) -> None:
        """With PyMySQL, abandoned work is stopped, and nothing else."""
        self.assert_nothing_is_hit("pymysql")

    def test_mysqlclient(self) -> None:
        """With mysqlclient, abandoned work is stopped, and nothing else."""
        self.assert_nothing_is_hit("MySQLdb")
