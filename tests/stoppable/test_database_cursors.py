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

from cancelweb._stoppable.sqlite import use_checking_cursors

from ._databases import DatabaseTestCase, Gate, outcomes

INSERT = "INSERT INTO t VALUES (?)"


class OwnCursor(sqlite3.Cursor):
    """A cursor class of the user's."""


class OwnConnection(sqlite3.Connection):
    """A connection class of the user's, whose `cursor` has another signature."""

    def cursor(self) -> Any:  # type: ignore[override]
        """A cursor of the user's class."""
        return super().cursor(OwnCursor)


def insert(used: Any, rows: Iterator[tuple[int]]) -> None:
    """Insert rows with a connection or a transaction."""
    used.executemany(INSERT, rows)


class RefusingTests(DatabaseTestCase):
    """What a cancelled use can no longer begin."""

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
        """After the cancel, a connection's shortcuts and their cursors begin no statement."""
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
        """`executemany` asks for no further row once it was given one after the cancel."""
        for run in (self.pool.runWithConnection, self.pool.runInteraction):
            gate = Gate(self)
            given: list[int] = []
            await gate.cancel(run(insert, self.few(gate, given)))
            self.assertEqual(given, [0, 1])
            self.assertEqual(await self.rows(), [])

    def few(self, gate: Gate, given: list[int]) -> Iterator[tuple[int]]:
        """Three rows; the thread waits before it gives the second."""
        for number in range(3):
            if number == 1:
                gate.wait()
            given.append(number)
            yield (number,)

    async def test_kept_for_the_next_use(self) -> None:
        """A cursor that is kept from a cancelled use can be used in the next one."""
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
        """A cursor kept from an earlier use refuses statements when the current is cancelled."""
        gate = Gate(self)
        seen: list[object] = []
        cursor: sqlite3.Cursor = await self.pool.runWithConnection(lambda used: used.cursor())

        def use(_: object) -> None:
            gate.wait()
            seen.extend(outcomes(partial(cursor.execute, "SELECT 1")))

        await gate.cancel(self.pool.runWithConnection(use))
        self.assertEqual(seen, [CancelledError])

    async def test_rolled_back_with_reconnect(self) -> None:
        """With `cp_reconnect`, the connection of a cancelled use passes its test and is kept."""
        self.pool = self.open(cp_reconnect=True)
        await self.rows()
        connections = dict(self.pool.connections)
        gate = Gate(self)
        await gate.cancel(self.pool.runWithConnection(lambda _: gate.wait()))
        self.assertEqual(self.pool.connections, connections)


class DriversOwnTests(DatabaseTestCase):
    """Cursors that are and do what the driver's do."""

    async def test_types(self) -> None:
        """A connection and its cursors are of sqlite3's types, however they are made."""

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
        """A cursor can be iterated over and closed, and uses the connection's row factory."""

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
        """A cursor for which the user names a class is of that class."""
        kind = await self.pool.runWithConnection(lambda used: type(used.cursor(OwnCursor)))
        self.assertIs(kind, OwnCursor)
        kind = await self.pool.runWithConnection(lambda used: type(used.cursor(factory=OwnCursor)))
        self.assertIs(kind, OwnCursor)

    async def test_own_connections(self) -> None:
        """A connection of a user's class, and its cursors, are of the user's classes."""
        pool = self.open(factory=OwnConnection)

        def use(connection: Any) -> tuple[type, type]:
            return type(connection._connection), type(connection.cursor())

        self.assertEqual(await pool.runWithConnection(use), (OwnConnection, OwnCursor))


class OptionsTests(SynchronousTestCase):
    """The options with which `sqlite3.connect` is called."""

    def test_factory_without_a_name(self) -> None:
        """A factory that is given by position is not given a second time by name."""
        options: dict[str, Any] = {}
        use_checking_cursors(sqlite3, (":memory:", 5, 0, "", True, OwnConnection), options)
        self.assertEqual(options, {})

    def test_another_driver(self) -> None:
        """No option is added for another driver, or for a module that is not a driver."""
        for dbapi in (SimpleNamespace(connect=sqlite3.Connection), json):
            options: dict[str, Any] = {}
            use_checking_cursors(dbapi, (), options)
            self.assertEqual(options, {})
