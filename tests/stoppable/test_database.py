"""A pool in adbapi's place, and in a handler: shown with SQLite, in a real file.

What belongs here: what is as with adbapi, and scopes. What does not: cancels and drivers, which
have modules of their own.
"""

import sqlite3
from typing import Any

from twisted.enterprise import adbapi
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.web.server import Request

from cancelweb import Ended, Outcome, cancel_on_disconnect
from cancelweb.database import ConnectionPool

from .._pages import PAGE, GetPage
from .._visits import connect
from ._databases import ENDLESS, DatabaseTestCase

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class DropInTests(DatabaseTestCase):
    """A pool whose uses are not cancelled does as that of adbapi does."""

    def test_is_one(self) -> None:
        """A pool is an adbapi pool, with the same arguments."""
        self.assertIsInstance(self.pool, adbapi.ConnectionPool)
        self.assertEqual(self.pool.connargs, (self.path,))
        self.assertEqual((self.pool.min, self.pool.max), (1, 1))

    async def test_query_and_operation(self) -> None:
        """`runOperation` gives None and commits, `runQuery` gives the rows."""
        pool: Any = self.pool
        self.assertIsNone(await pool.runOperation("INSERT INTO t VALUES (?)", (1,)))
        self.assertEqual(await self.rows(), [(1,)])

    async def test_interaction(self) -> None:
        """`runInteraction` gives what the function returns, and takes its arguments."""

        def interact(transaction: Any, number: int, *, times: int) -> int:
            transaction.executemany("INSERT INTO t VALUES (?)", [(number,)] * times)
            return number * times

        self.assertEqual(await self.pool.runInteraction(interact, 2, times=3), 6)
        self.assertEqual(await self.rows(), [(2,)] * 3)

    async def test_with_connection(self) -> None:
        """`runWithConnection` gives what the function returns, and commits."""

        def insert(connection: Any) -> str:
            connection.execute("INSERT INTO t VALUES (1)")
            return "inserted"

        self.assertEqual(await self.pool.runWithConnection(insert), "inserted")
        self.assertEqual(await self.rows(), [(1,)])

    async def test_failure(self) -> None:
        """An interaction that fails is rolled back, with the driver's error."""

        def interact(transaction: Any) -> None:
            transaction.execute("INSERT INTO t VALUES (1)")
            transaction.execute("no SQL")

        with self.assertRaises(sqlite3.OperationalError):
            await self.pool.runInteraction(interact)
        self.assertEqual(await self.rows(), [])

    async def test_interrupted_by_other_code(self) -> None:
        """An interruption that no cancel has caused is an error like any other."""

        query = await self.endless()
        (connection,) = self.pool.connections.values()
        connection.interrupt()
        with self.assertRaisesRegex(sqlite3.OperationalError, "interrupted"):
            await query

    def test_close_before_it_was_started(self) -> None:
        """A pool that was never started can be closed."""
        ConnectionPool("sqlite3", self.path, cp_reactor=reactor).close()

    async def test_made_while_the_reactor_runs(self) -> None:
        """A pool that is made while the reactor runs is started at once, as by adbapi."""
        await deferLater(reactor, 0)
        self.pool = ConnectionPool(
            "sqlite3", self.path, check_same_thread=False, cp_reactor=reactor
        )
        self.addCleanup(self.pool.close)
        self.assertTrue(self.pool.running)
        self.assertEqual(await self.rows(), [])

    async def test_start_twice(self) -> None:
        """A pool that is started a second time still answers."""
        self.pool.start()
        self.assertEqual(await self.rows(), [])


class ScopeTests(DatabaseTestCase):
    """Queries that handlers run."""

    async def test_client_leaves(self) -> None:
        """When the client leaves, the query is rolled back before the scope closes."""
        noted = self.note_rollbacks()
        closed: Deferred[Outcome] = Deferred()

        async def handler(_: Request) -> bytes:
            await self.pool.runQuery(ENDLESS)
            return PAGE

        begun = self.begun
        decorate: Any = cancel_on_disconnect(observers=closed.callback)
        connection = connect(GetPage(decorate(handler)), Clock())
        connection.get()
        await begun
        connection.disconnect()
        self.assertEqual((await closed).ended, Ended.STOPPED)
        self.assertEqual(noted, ["rolled back"])
