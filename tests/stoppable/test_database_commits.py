"""What a cancelled use learns about its own commits: shown with SQLite, in a real file.

What belongs here: functions that commit themselves, in any way. What does not: PostgreSQL.
"""

import sqlite3
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from cancelweb._stoppable.commits import Commits
from cancelweb.database import Committed, ConnectionPool, MaybeCommitted

from ._databases import DatabaseTestCase, Gate

INSERT = "INSERT INTO t VALUES (1)"


def commit(connection: Any) -> None:
    """Commit by the method."""
    connection.execute(INSERT)
    connection.commit()


def bare_commit(connection: Any) -> None:
    """Commit by the method of the driver's own connection."""
    cursor = connection.cursor()
    cursor.execute(INSERT)
    cursor.connection.commit()


def block(connection: Any) -> None:
    """Commit at the end of a block of the driver's own connection."""
    cursor = connection.cursor()
    with cursor.connection:
        cursor.execute(INSERT)


def statement(used: Any) -> None:
    """Commit by a statement."""
    used.execute(INSERT)
    used.execute("COMMIT")


def own_cursor(connection: Any) -> None:
    """Commit by a statement of a cursor that is not the pool's."""
    cursor = connection.cursor(sqlite3.Cursor)
    cursor.execute(INSERT)
    cursor.execute(b"COMMIT".decode())


def switch(connection: Any) -> None:
    """Insert in autocommit mode, which is off before and after it."""
    cursor = connection.cursor()
    cursor.connection.isolation_level = None
    cursor.execute(INSERT)
    cursor.connection.isolation_level = ""


def script(used: Any) -> None:
    """Commit in a script."""
    used.executescript(f"BEGIN; {INSERT}; COMMIT")


def script_of_a_cursor(connection: Any) -> None:
    """Commit in a script of a cursor."""
    script(connection.cursor())


def with_clause(used: Any) -> None:
    """Insert by a statement for which sqlite3 opens no transaction."""
    used.execute("WITH one AS (SELECT 1) INSERT INTO t SELECT * FROM one")


def schema(used: Any) -> None:
    """Change the schema, which sqlite3 commits at once."""
    used.execute("CREATE TABLE u AS SELECT 1")
    used.execute(INSERT)


def insert(used: Any) -> None:
    """Insert, and commit nothing."""
    used.execute(INSERT)


def insert_many(used: Any) -> None:
    """Insert many rows, and commit nothing."""
    used.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])


def read(used: Any) -> None:
    """Read, and commit nothing."""
    used.execute("SELECT n FROM t").fetchall()


def read_in_transaction(transaction: Any) -> None:
    """Read with a transaction, and commit nothing."""
    transaction.execute("SELECT n FROM t")
    transaction.fetchmany(transaction.arraysize)


def roll_back(connection: Any) -> None:
    """Roll back what was inserted, and insert again."""
    connection.execute(INSERT)
    connection.rollback()
    connection.execute(INSERT)


class TwoPhases(sqlite3.Connection):
    """A connection of a user's class."""


class CommitTests(DatabaseTestCase):
    """Functions that have done something when they are cancelled."""

    async def told(self, run: Callable[..., Any], work: Callable[[Any], None]) -> type:
        """The class of the error of a function that is cancelled after its work."""
        gate = Gate(self)

        def use(used: Any) -> None:
            work(used)
            gate.wait()

        return type(await gate.cancel(run(use)))

    async def test_committed_itself(self) -> None:
        """A cancelled function that has committed itself is told that it may have."""
        blocks = (block, switch, script, script_of_a_cursor)
        for work in (commit, bare_commit, statement, own_cursor, *blocks):
            told = await self.told(self.pool.runWithConnection, work)
            self.assertIs(told, MaybeCommitted, work)
            self.assertEqual(await self.rows(), [(1,)], work)
            await self.pool.runOperation("DELETE FROM t")

    async def test_committed_by_a_transaction(self) -> None:
        """A cancelled interaction that has committed itself is told that it may have."""
        for work in (statement, script, with_clause, lambda used: commit(used._connection)):
            told = await self.told(self.pool.runInteraction, work)
            self.assertIs(told, MaybeCommitted, work)
            self.assertEqual(await self.rows(), [(1,)], work)
            await self.pool.runOperation("DELETE FROM t")

    async def test_schema(self) -> None:
        """A change of the schema may be committed, and what was written after it is rolled back."""
        told = await self.told(self.pool.runInteraction, schema)
        self.assertIs(told, MaybeCommitted)
        self.assertEqual(await self.pool.runQuery("SELECT * FROM u"), [(1,)])
        self.assertEqual(await self.rows(), [])

    async def test_committed_nothing(self) -> None:
        """A cancelled function that has committed nothing is told just that it was cancelled."""
        for work in (insert, insert_many, read, roll_back, lambda _: None):
            told = await self.told(self.pool.runWithConnection, work)
            self.assertIs(told, CancelledError, work)
            self.assertEqual(await self.rows(), [], work)
        for interact in (insert, insert_many, read_in_transaction):
            told = await self.told(self.pool.runInteraction, interact)
            self.assertIs(told, CancelledError, interact)
            self.assertEqual(await self.rows(), [], interact)

    async def test_autocommit(self) -> None:
        """In autocommit mode, a cancelled function may have committed if it began a statement."""
        pool = self.open(isolation_level=None)
        self.assertIs(await self.told(pool.runInteraction, insert), MaybeCommitted)
        self.assertEqual(await self.rows(), [(1,)])
        self.assertIs(await self.told(pool.runInteraction, lambda _: None), CancelledError)

    async def test_own_connections(self) -> None:
        """With a connection class of a user's, only a transaction's statements can be seen."""
        pool: ConnectionPool = self.open(factory=TwoPhases)
        for work, expected in (
            (insert, CancelledError),
            (insert_many, CancelledError),
            (statement, MaybeCommitted),
            (lambda used: used.connection.commit(), MaybeCommitted),
        ):
            self.assertIs(await self.told(pool.runInteraction, work), expected, work)
        self.assertIs(await self.told(pool.runWithConnection, commit), MaybeCommitted)

    async def test_closed(self) -> None:
        """A use that has closed the driver's connection may have committed."""

        def close(transaction: Any) -> None:
            transaction.execute(INSERT)
            transaction._cursor.connection.close()

        self.assertIs(await self.told(self.pool.runInteraction, close), MaybeCommitted)
        self.flushLoggedErrors(sqlite3.ProgrammingError)

    def test_hierarchy(self) -> None:
        """One `except` covers both errors of a query that must not simply be done again."""
        self.assertTrue(issubclass(Committed, MaybeCommitted))
        self.assertTrue(issubclass(MaybeCommitted, CancelledError))


class StatementTests(SynchronousTestCase):
    """Statements, as their texts tell what they may commit."""

    def told(self, *statements: object, connection: object = None) -> type:
        """What a use that has begun these is told when it is cancelled."""
        commits = Commits(connection)
        for each in statements:
            with commits.statement(each):
                pass
        commits.end()
        return type(commits.cancelled())

    def test_harmless(self) -> None:
        """Reading and writing alone commit nothing."""
        for each in (
            "SELECT 1",
            " \n select\n1 ; \n",
            b"INSERT INTO t VALUES (%s)",
            "UPDATE t SET n = 1 WHERE n = 'commit'",
            "DELETE FROM t",
            "SAVEPOINT s",
            "WITH t AS (SELECT 1) SELECT * FROM t",
            # MySQL's drivers make this of an `executemany`.
            bytearray(b"INSERT INTO t VALUES (';')"),
            # As psycopg composes it.
            SimpleNamespace(as_string=lambda connection: "SELECT 1"),
        ):
            self.assertIs(self.told(each), CancelledError, each)

    def test_may_commit(self) -> None:
        """Other statements may commit, as may several in one text, or a list."""
        for each in (
            "COMMIT",
            "end",
            "INSERT INTO t VALUES (1); COMMIT",
            "RELEASE s",
            "CREATE TABLE u (n)",
            "CALL p()",
            "DO $$ BEGIN COMMIT; END $$",
            "SET autocommit = 1",
            "PREPARE TRANSACTION 'x'",
            "/*! COMMIT */",
            "with t AS (SELECT 1) INSERT INTO u SELECT * FROM t",
            "SELECTED",
            None,
            ["SELECT 1"],
            bytearray(b"COMMIT"),
        ):
            self.assertIs(self.told(each), MaybeCommitted, each)
            self.assertIs(self.told(each, "SELECT 1"), MaybeCommitted, each)

    def test_outside_of_a_transaction(self) -> None:
        """A PostgreSQL connection that is in no transaction after a statement has ended one."""
        info = SimpleNamespace(transaction_status=0)
        connection = SimpleNamespace(info=info)
        self.assertIs(self.told("SELECT 1", connection=connection), MaybeCommitted)
        self.assertIs(self.told(connection=connection), CancelledError)
        info.transaction_status = 2
        self.assertIs(self.told("SELECT 1", connection=connection), CancelledError)

    def test_failed_before_a_transaction(self) -> None:
        """A statement that fails in no transaction, as in the BEGIN before it, commits nothing."""
        info = SimpleNamespace(transaction_status=0)
        for status, expected in ((0, CancelledError), (3, MaybeCommitted)):
            info.transaction_status = 0
            commits = Commits(SimpleNamespace(info=info))
            with self.assertRaises(ValueError), commits.statement("SELECT 1"):
                info.transaction_status = status
                raise ValueError
            # If there was a transaction, it has ended.
            info.transaction_status = 0
            commits.end()
            self.assertIs(type(commits.cancelled()), expected)

    def test_autocommit_of_postgresql(self) -> None:
        """A PostgreSQL connection has an attribute that tells whether it commits each statement."""
        for mode, expected in ((True, MaybeCommitted), (False, CancelledError)):
            connection = SimpleNamespace(autocommit=mode)
            self.assertIs(self.told("SELECT 1", connection=connection), expected)

    def test_autocommit_of_mysql(self) -> None:
        """A MySQL connection is asked whether it commits each statement."""
        for mode, expected in ((True, MaybeCommitted), (False, CancelledError)):
            connection = SimpleNamespace(get_autocommit=partial(bool, mode))
            self.assertIs(self.told("SELECT 1", connection=connection), expected)
