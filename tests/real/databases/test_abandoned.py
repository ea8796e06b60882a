"""Clients that leave in the middle of database work, while others query the same pool.

What belongs here: what the storm of `benchmarks/abandoned_queries.py` counts. What does not: how
long anything takes.
"""

import sys

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ..._servers import REPOSITORY
from .._mariadb import need_mariadb

sys.path.append(str(REPOSITORY / "benchmarks"))

import abandoned_kinds
import abandoned_queries

CLIENTS = 70
"""Ten for each kind of work."""


class StormTests(TestCase):
    """A storm with each of the databases."""

    timeout = 120

    async def storm(self, name: str) -> None:
        """Clients that leave hit no query, commit nothing, and cost the pool no connection."""
        [storm] = await abandoned_queries.measure(CLIENTS, [name])
        self.assertEqual(storm.faults(), [])
        self.assertEqual(set(storm.seconds), set(abandoned_kinds.KINDS))
        self.assertEqual(sum(map(len, storm.seconds.values())), CLIENTS)
        self.assertGreater(storm.honest, 0)
        self.assertGreaterEqual(len(storm.before), abandoned_queries.TOGETHER)

    async def test_sqlite(self) -> None:
        """With SQLite, a storm of clients that leave hits nothing and leaves nothing behind."""
        await self.storm("sqlite")

    async def test_psycopg(self) -> None:
        """The same is true of PostgreSQL with psycopg 3."""
        await self.storm("psycopg")

    async def test_psycopg2(self) -> None:
        """The same is true of PostgreSQL with psycopg2."""
        await self.storm("psycopg2")

    async def test_pymysql(self) -> None:
        """The same is true of MariaDB with PyMySQL."""
        need_mariadb("pymysql")
        await self.storm("pymysql")

    async def test_mysqlclient(self) -> None:
        """The same is true of MariaDB with mysqlclient."""
        need_mariadb("MySQLdb")
        await self.storm("MySQLdb")


class FaultTests(SynchronousTestCase):
    """What the program calls a fault, and how its tables show that."""

    def test_faults(self) -> None:
        """A query that was hit, a half commit and a lost connection are faults, and are counted."""
        good = abandoned_queries.Storm("SQLite", {"a long query": [0.1, 0.6]}, 5, 0, 0, {1}, {1})
        self.assertEqual(good.faults(), [])
        bad = evolve(good, hit=1, committed=2, after={2})
        self.assertEqual(len(bad.faults()), 3)
        report = abandoned_queries.report([bad])
        self.assertIn("| SQLite | a long query | 2 | 0.350 | 0.600 | **1** |", report)
        self.assertIn("| SQLite | 2 | 5 | **1** | **2** | **no** |", report)
