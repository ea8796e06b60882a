"""A pool on a real file of SQLite, and statements that run in it.

What belongs here: what tests of more than one module need. What does not: tests.
"""

import sqlite3
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from cancelweb._stoppable.adbapi import Connection
from cancelweb.database import ConnectionPool

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


ENDLESS = """
    WITH RECURSIVE counter(n) AS (SELECT begun() UNION ALL SELECT n + 1 FROM counter)
    SELECT count(*) FROM counter
"""
"""Computes until it is interrupted; `begun` tells the test when."""


class Gate:
    """A place in a pool's function, at which its thread waits until the test has cancelled it."""

    def __init__(self, test: TestCase) -> None:
        self._test = test
        self._reached: Deferred[None] = Deferred()
        self._open = threading.Event()
        test.addCleanup(self._open.set)

    def wait(self) -> None:
        """Wait in the thread until the gate is open."""
        reactor.callFromThread(self._reached.callback, None)
        self._open.wait()

    async def cancel(self, using: Deferred[Any]) -> CancelledError:
        """Cancel when the thread waits, let the thread go on, and return the CancelledError."""
        await self._reached
        using.cancel()
        self._open.set()
        with self._test.assertRaises(CancelledError) as raised:
            await using
        error: CancelledError = raised.exception
        return error


def outcomes(*calls: Callable[[], object]) -> list[type[BaseException] | None]:
    """What each of the calls raises."""
    seen: list[type[BaseException] | None] = []
    for call in calls:
        try:
            call()
        except BaseException as error:
            seen.append(type(error))
        else:
            seen.append(None)
    return seen


class DatabaseTestCase(TestCase):
    """A pool on a new file, in which there is a table.

    Attributes:
        begun: Fires when the next endless query runs in the database.
    """

    timeout = 30

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.begun: Deferred[None] = Deferred()
        with sqlite3.connect(self.path) as connection:
            connection.execute("CREATE TABLE t (n)")
        connection.close()
        self.pool = self.open()

    def open(self, **options: Any) -> ConnectionPool:
        """A pool on the file, which the test's end closes."""
        pool = self.make(**options)
        self.addCleanup(pool.close)
        return pool

    def make(self, **options: Any) -> ConnectionPool:
        """A pool on the file that is left open, with one thread unless options say otherwise."""
        options = {"cp_min": 1, "cp_max": 1, "cp_openfun": self.opened, **options}
        pool = ConnectionPool(
            "sqlite3", self.path, check_same_thread=False, cp_reactor=reactor, **options
        )
        pool.start()
        return pool

    def note_rollbacks(self) -> list[str]:
        """A list to which the pool adds each rollback when it is over."""
        noted: list[str] = []

        class Noting(Connection):
            """A connection that notes its rollbacks."""

            def rollback(self) -> None:
                super().rollback()
                noted.append("rolled back")

        self.pool.connectionFactory = Noting
        return noted

    def opened(self, connection: Any) -> None:
        """Give a new connection the SQL function that tells the test."""
        connection.create_function("begun", 0, self._begun)

    def _begun(self) -> int:
        begun, self.begun = self.begun, Deferred()
        reactor.callFromThread(begun.callback, None)
        return 0

    async def endless(self) -> Deferred[Any]:
        """A query that is running in the database."""
        begun = self.begun
        query: Deferred[Any] = self.pool.runQuery(ENDLESS)
        await begun
        return query

    async def assert_rolled_back(self, use: Deferred[Any], begun: Deferred[None]) -> None:
        """A use that is cancelled once it has begun is stopped, and none of its writes stay."""
        await begun
        use.cancel()
        with self.assertRaises(CancelledError):
            await use
        self.assertEqual(await self.rows(), [])

    async def rows(self) -> list[tuple[Any, ...]]:
        """All rows of the table, read by the pool's next query."""
        rows: list[tuple[Any, ...]] = await self.pool.runQuery("SELECT n FROM t ORDER BY n")
        return rows


def insert_one(transaction: Any) -> int:
    """An interaction that inserts a row."""
    transaction.execute("INSERT INTO t VALUES (1)")
    return 1
