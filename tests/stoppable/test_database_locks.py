"""Uses that wait for another connection's lock: shown with SQLite, in a real file.

What belongs here: how long they wait, and that a cancel ends it. What does not: servers.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred

from cancelweb._stoppable import sqlite
from cancelweb._stoppable.adbapi import Connection
from cancelweb.database import MaybeCommitted

from ._databases import DatabaseTestCase, insert_one

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class LockTests(DatabaseTestCase):
    """A pool on a file that another connection has locked."""

    def setUp(self) -> None:
        super().setUp()
        self.other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(self.other.close)
        self.pool = self.open(timeout=3600)
        self.timeouts: list[float] = []
        self.first = Deferred[None]()
        """Fires when a timeout is set: a statement has waited, and will wait again."""

    async def connect(self) -> None:
        """Open the pool's connection, and note the timeouts that are set from then on."""
        await self.rows()
        self.patch(sqlite, "_set_timeout", self.note)

    def note(self, connection: Any, seconds: float, really: Any = sqlite._set_timeout) -> None:
        """Set a timeout, and note it."""
        really(connection, seconds)
        self.timeouts.append(seconds)
        if self.timeouts == [sqlite.PIECE]:
            reactor.callFromThread(self.first.callback, None)

    async def test_cancelled(self) -> None:
        """A statement that waits for a lock is over when it is cancelled, before the lock is."""
        await self.connect()
        self.other.execute("BEGIN EXCLUSIVE")
        query = self.pool.runQuery("SELECT n FROM t")
        await self.first
        query.cancel()
        with self.assertRaises(CancelledError) as raised:
            await query
        self.assertNotIsInstance(raised.exception, MaybeCommitted)
        self.assertTrue(self.other.in_transaction)

    async def test_cancelled_before_it_is_committed(self) -> None:
        """A cancel ends a commit that waits for a reader: it is rolled back instead."""
        await self.connect()
        self.other.execute("INSERT INTO t VALUES (5)")
        reading = self.other.execute("SELECT n FROM t")
        committing = Deferred[None]()

        class Committing(Connection):
            """A connection that tells when it commits."""

            def commit(self) -> None:
                reactor.callFromThread(committing.callback, None)
                self._connection.commit()  # type: ignore[union-attr]

        self.pool.connectionFactory = Committing
        operation = self.pool.runInteraction(insert_one)
        await committing
        operation.cancel()
        with self.assertRaises(CancelledError) as raised:
            await operation
        self.assertNotIsInstance(raised.exception, MaybeCommitted)
        del self.pool.connectionFactory
        self.assertEqual(reading.fetchall(), [(5,)])
        self.assertEqual(await self.rows(), [(5,)])

    async def test_waits_again(self) -> None:
        """A statement that has waited in vain waits anew, so it soon looks for the lock again."""
        # SQLite alone looks ever more rarely. Others, that look more often, then take the lock.
        await self.connect()
        self.other.execute("BEGIN EXCLUSIVE")
        operation = self.pool.runInteraction(insert_one)
        await self.first
        self.other.execute("COMMIT")
        self.assertEqual(await operation, 1)
        self.assertEqual(set(self.timeouts), {sqlite.PIECE})
        self.assertEqual(await self.rows(), [(1,)])

    async def test_many(self) -> None:
        """Each row of an `executemany` whose first row waits for a lock is written once."""
        await self.connect()
        self.other.execute("BEGIN EXCLUSIVE")

        def few() -> Iterator[tuple[int]]:
            yield from ((1,), (2,), (3,))

        def insert(transaction: Any) -> int:
            transaction.executemany("INSERT INTO t VALUES (?)", few())
            count: int = transaction.rowcount
            return count

        operation = self.pool.runInteraction(insert)
        await self.first
        self.other.execute("COMMIT")
        self.assertEqual(await operation, 3)
        self.assertEqual(await self.rows(), [(1,), (2,), (3,)])

    async def test_no_deadlock(self) -> None:
        """A statement fails at once if waiting for its lock could last forever."""
        await self.connect()
        await self.pool.runOperation("INSERT INTO t VALUES (1)")
        self.other.execute("BEGIN IMMEDIATE")

        def read_and_write(connection: Any) -> None:
            with closing(connection.execute("SELECT n FROM t")):
                connection.execute("INSERT INTO t VALUES (2)")

        with self.assertRaisesRegex(sqlite3.OperationalError, "locked"):
            await self.pool.runWithConnection(read_and_write)
        self.assertEqual(self.timeouts, [])

    async def test_timeout(self) -> None:
        """A statement waits for a lock for as long as the pool was told, and then fails."""
        self.other.execute("BEGIN EXCLUSIVE")
        for seconds in (0, 0.01, 1.5 * sqlite.PIECE):
            pool = self.open(timeout=seconds)
            with self.assertRaisesRegex(sqlite3.OperationalError, "locked"):
                await pool.runInteraction(insert_one)

    async def test_in_one_piece(self) -> None:
        """What cannot be begun again waits for a lock as long as the pool was told."""
        await self.connect()

        def script(connection: Any) -> None:
            connection.executescript("INSERT INTO t VALUES (x'00')")

        def block(connection: Any) -> None:
            with connection._connection:
                connection.execute("INSERT INTO t VALUES (x'00')")

        def blob(connection: Any) -> None:
            connection.blobopen("t", "n", 1).close()

        def autocommit(connection: Any) -> None:
            cursor = connection.cursor()
            cursor.connection.isolation_level = None
            cursor.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])

        for use in (script, block, blob, autocommit):
            self.timeouts.clear()
            await self.pool.runWithConnection(use)
            self.assertEqual(self.timeouts, [3600, sqlite.PIECE], use)

    async def test_own_cursors(self) -> None:
        """Once a connection has cursors of another class, SQLite does the waiting."""
        await self.connect()

        def use(connection: Any) -> list[Any]:
            cursor = connection.cursor(sqlite3.Cursor)
            connection.cursor(sqlite3.Cursor)
            connection.executescript("")
            return list(cursor.execute("PRAGMA busy_timeout"))

        self.assertEqual(await self.pool.runWithConnection(use), [(3600_000,)])
        self.assertEqual(self.timeouts, [3600])
