"""Cursors that ask whether their use was cancelled: shown with SQLite, in a real file.

What belongs here: what a cursor refuses, and that it is otherwise the driver's own. What does not:
those of PostgreSQL.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from cancelweb._stoppable.cursors import ask_sqlite

from ._databases import DatabaseTestCase, Gate, outcomes

INSERT = "INSERT INTO t VALUES (?)"


class OwnCursor(sqlite3.Cursor):
    """A user's."""


class OwnConnection(sqlite3.Connection):
    """A user's, with a signature of its own."""

    def cursor(self) -> Any:  # type: ignore[override]
        """One of the user's."""
        return super().cursor(OwnCursor)


def insert(used: Any, rows: Iterator[tuple[int]]) -> None:
    """For a connection or a transaction."""
    used.executemany(INSERT, rows)


class RefusingTests(DatabaseTestCase):
    """What cursors do not begin."""

    async def test_no_statement(self) -> None:
        """A cursor that was opened before the cancel begins no statement after it."""
        gate = Gate(self)
        seen: list[object] = []

        def use(connection: Any) -> None:
            cursor = connection.cursor()
            gate.wait()
            seen.extend(
                outcomes(
                    partial(cursor.execute, "SELECT 1"),
                    partial(cursor.executemany, INSERT, []),
                    partial(cursor.executescript, "INSERT INTO t VALUES (1)"),
                )
            )

        await gate.cancel(self.pool.runWithConnection(use))
        self.assertEqual(seen, [CancelledError] * 3)
        self.assertEqual(await self.rows(), [])

    async def test_no_statement_by_a_shortcut(self) -> None:
        """Nor do the connection's shortcuts, looked up before, or the cursors that they return."""
        gate = Gate(self)
        seen: list[object] = []

        def use(connection: Any) -> None:
            execute, many = connection.execute, connection.executemany
            script = connection.executescript
            cursors = [execute("SELECT 1 WHERE 0"), many(INSERT, []), script("")]
            gate.wait()
            again = [partial(each.execute, "SELECT 1") for each in cursors]
            shortcuts = [
                partial(execute, "SELECT 1"),
                partial(many, INSERT, []),
                partial(script, ""),
            ]
            seen.extend(outcomes(*again, *shortcuts))

        await gate.cancel(self.pool.runWithConnection(use))
        self.assertEqual(seen, [CancelledError] * 6)

    async def test_no_row(self) -> None:
        """`executemany` runs no row that it is given after the cancel, and asks for no further."""
        for run in (self.pool.runWithConnection, self.pool.runInteraction):
            gate = Gate(self)
            given: list[int] = []
            await gate.cancel(run(insert, self.few(gate, given)))
            self.assertEqual(given, [0, 1])
            self.assertEqual(await self.rows(), [])

    def few(self, gate: Gate, given: list[int]) -> Iterator[tuple[int]]:
        """Rows; the thread waits before the second."""
        for number in range(3):
            if number == 1:
                gate.wait()
            given.append(number)
            yield (number,)

    async def test_kept_for_the_next_use(self) -> None:
        """A cursor that is kept when its use was cancelled can be used in the next one."""
        gate = Gate(self)
        kept: list[sqlite3.Cursor] = []

        def use(connection: Any) -> None:
            kept.append(connection.cursor())
            gate.wait()

        def use_again(_: object) -> list[Any]:
            return kept[0].execute("SELECT 1").fetchall()

        await gate.cancel(self.pool.runWithConnection(use))
        self.assertEqual(await self.pool.runWithConnection(use_again), [(1,)])

    async def test_a_kept_one_asks_for_the_use_that_runs(self) -> None:
        """Kept from a use that was not cancelled, it refuses what the next one is cancelled for."""
        gate = Gate(self)
        seen: list[object] = []
        cursor: sqlite3.Cursor = await self.pool.runWithConnection(lambda used: used.cursor())

        def use(_: object) -> None:
            gate.wait()
            seen.extend(outcomes(partial(cursor.execute, "SELECT 1")))

        await gate.cancel(self.pool.runWithConnection(use))
        self.assertEqual(seen, [CancelledError])

    async def test_rolled_back_with_reconnect(self) -> None:
        """The statement with which adbapi tests a connection that it has rolled back is run."""
        self.pool = self.open(cp_reconnect=True)
        await self.rows()
        connections = dict(self.pool.connections)
        gate = Gate(self)
        await gate.cancel(self.pool.runWithConnection(lambda _: gate.wait()))
        self.assertEqual(self.pool.connections, connections)


class DriversOwnTests(DatabaseTestCase):
    """What cursors are, and can do, as without a pool."""

    async def test_types(self) -> None:
        """Connection and cursors are of sqlite3's types, wherever they come from."""

        def use(connection: Any) -> None:
            self.assertIsInstance(connection._connection, sqlite3.Connection)
            for cursor in (
                connection.cursor(),
                connection.execute("SELECT 1"),
                connection.executemany(INSERT, []),
                connection.executescript(""),
            ):
                self.assertIsInstance(cursor, sqlite3.Cursor)
                self.assertIs(cursor.execute("SELECT 1"), cursor)

        await self.pool.runWithConnection(use)

    async def test_use(self) -> None:
        """They are iterated over, closed, and given row factories."""

        def use(connection: Any) -> list[Any]:
            connection._connection.row_factory = sqlite3.Row
            connection.executemany(INSERT, [(1,), (2,)])
            with closing(connection.cursor()) as cursor:
                return [row["n"] for row in cursor.execute("SELECT n FROM t WHERE n < ?", (2,))]

        self.assertEqual(await self.pool.runWithConnection(use), [1])

    async def test_results_of_a_shortcut(self) -> None:
        """Each call of a connection's shortcut has results of its own."""

        def use(connection: Any) -> list[Any]:
            execute = connection.execute
            first, second = execute("SELECT 1"), execute("SELECT 2")
            return [first.fetchall(), second.fetchall()]

        self.assertEqual(await self.pool.runWithConnection(use), [[(1,)], [(2,)]])

    async def test_errors(self) -> None:
        """Wrong arguments are the driver's errors."""

        def use(connection: Any) -> list[type[BaseException] | None]:
            many = connection.cursor().executemany
            wrong: list[Any] = [(INSERT,), (INSERT, 5), (INSERT, [()])]
            return outcomes(*(partial(many, *each) for each in wrong))

        errors = [TypeError, TypeError, sqlite3.ProgrammingError]
        self.assertEqual(await self.pool.runWithConnection(use), errors)

    async def test_own_cursors(self) -> None:
        """A cursor that is made by a user's factory is what the user said."""
        kind = await self.pool.runWithConnection(lambda used: type(used.cursor(OwnCursor)))
        self.assertIs(kind, OwnCursor)
        kind = await self.pool.runWithConnection(lambda used: type(used.cursor(factory=OwnCursor)))
        self.assertIs(kind, OwnCursor)

    async def test_own_connections(self) -> None:
        """So is a connection, and then its cursors."""
        pool = self.open(factory=OwnConnection)

        def use(connection: Any) -> tuple[type, type]:
            return type(connection._connection), type(connection.cursor())

        self.assertEqual(await pool.runWithConnection(use), (OwnConnection, OwnCursor))


class OptionsTests(SynchronousTestCase):
    """What `sqlite3.connect` is called with."""

    def test_factory_without_a_name(self) -> None:
        """A factory that was given without its name is not given once more."""
        options: dict[str, Any] = {}
        ask_sqlite(sqlite3, (":memory:", 5, 0, "", True, OwnConnection), options)
        self.assertEqual(options, {})

    def test_another_driver(self) -> None:
        """Other drivers are given nothing, nor is a module that is no driver."""
        for dbapi in (SimpleNamespace(connect=sqlite3.Connection), json):
            options: dict[str, Any] = {}
            ask_sqlite(dbapi, (), options)
            self.assertEqual(options, {})
