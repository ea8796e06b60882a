"""A pool on a real PostgreSQL, with psycopg 3 and with psycopg2: stopped in the server itself.

What belongs here: what the server's own list of sessions tells, and what only a server can do, such
as hitting the wrong query. What does not: what holds for every driver.
"""

import contextlib  # trial takes a name "suppress" for a setting of its own
import io
import threading
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import Any

import psycopg
import psycopg2.extensions
import psycopg2.extras
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import Request

from cancelweb import Ended, Outcome, cancel_on_disconnect
from cancelweb._stoppable.cursors import Checking
from cancelweb._stoppable.libpq import cancel_request
from cancelweb._stoppable.postgresql import PostgreSQL
from cancelweb.database import ConnectionPool, MaybeCommitted

from ..._pages import PAGE, GetPage
from ..._servers import LOOPBACK
from ..._visits import connect
from ...stoppable._databases import Gate, outcomes
from .._far_database import DELAY, Proxy, Ticks
from .._postgres import postgres
from ._moments import cancel_at_random_moments

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

CLIENTS = 4
"""The clients that query the pool at the same time."""


class Contract:
    """What holds for both drivers; a mixin, so that trial does not run it by itself."""

    driver: str
    timeout = 60

    def setUp(self: Any) -> None:
        self.server = postgres()
        self.name = f"{self.driver}-{self.id().rpartition('.')[2]}"
        self.pool = self.open()

    def open(
        self: Any, size: int = CLIENTS, dsn: str | None = None, **options: Any
    ) -> ConnectionPool:
        """A pool of this test's own, known to the server by its name."""
        dsn = dsn or self.server.dsn_of(self.name)
        pool = ConnectionPool(self.driver, dsn, cp_max=size, cp_reactor=reactor, **options)
        pool.start()
        self.addCleanup(pool.close)
        return pool

    async def cancelled(self: Any, query: Deferred[Any]) -> Any:
        """Cancel a query, wait until it has stopped, and return the error."""
        query.cancel()
        with self.assertRaises(CancelledError) as raised:
            await query
        return raised.exception

    async def test_query_is_gone(self: Any) -> None:
        """A cancelled query fires when the server runs no query, and has no open transaction."""
        query = self.pool.runQuery("SELECT pg_sleep(60)")
        (session,) = await self.server.running(self.name)
        self.assertIn("pg_sleep", session.query)
        await self.cancelled(query)
        self.assertEqual(self.server.states(self.name), ["idle"])

    async def test_interaction_is_rolled_back(self: Any) -> None:
        """A cancelled interaction is stopped in the server, and nothing of it stays."""
        self.server.execute("CREATE TABLE IF NOT EXISTS t (n int)")
        self.addCleanup(self.server.execute, "DROP TABLE t")

        def interact(transaction: Any) -> None:
            transaction.execute("INSERT INTO t VALUES (1)")
            transaction.execute("SELECT pg_sleep(60)")

        for run in (self.pool.runInteraction, self.run_with_cursor):
            interaction = run(interact)
            await self.server.running(self.name)
            await self.cancelled(interaction)
            self.assertEqual(set(self.server.states(self.name)), {"idle"})
            self.assertEqual(self.server.execute("SELECT * FROM t"), [])

    def run_with_cursor(self: Any, interact: Any) -> Deferred[Any]:
        """Run an interaction with a cursor of `runWithConnection`."""
        done: Deferred[Any] = self.pool.runWithConnection(
            lambda connection: interact(connection.cursor())
        )
        return done

    async def test_client_leaves(self: Any) -> None:
        """A handler's query is gone from the server when the scope of its request closes."""
        closed: Deferred[Outcome] = Deferred()

        async def handler(_: Request) -> bytes:
            await self.pool.runQuery("SELECT pg_sleep(60)")
            return PAGE

        decorate: Any = cancel_on_disconnect(observers=closed.callback)
        connection = connect(GetPage(decorate(handler)), Clock())
        connection.get()
        await self.server.running(self.name)
        connection.disconnect()
        self.assertEqual((await closed).ended, Ended.STOPPED)
        self.assertEqual(self.server.states(self.name), ["idle"])

    async def test_far_away(self: Any) -> None:
        """The reactor turns while a cancel request crosses a slow network."""
        proxy = await Proxy.start(self, self.server.socket)
        self.pool = self.open(1, self.far(proxy.port))
        query = self.pool.runQuery("SELECT pg_sleep(60)")
        await self.server.running(self.name)
        ticks = Ticks()
        ticks.start(self)
        began = reactor.seconds()
        await self.cancelled(query)
        self.assertGreaterEqual(reactor.seconds() - began, DELAY)
        self.assertLess(ticks.longest, DELAY / 2)

    def far(self: Any, port: int) -> str:
        """The address of the server by a proxy."""
        address = f"host={LOOPBACK} port={port} user=postgres dbname=postgres"
        return f"{address} sslmode=disable gssencmode=disable application_name={self.name}"

    async def test_timeout_of_the_server(self: Any) -> None:
        """A statement that the server itself stops fails with the server's error."""

        def interact(transaction: Any) -> None:
            transaction.execute("SET LOCAL statement_timeout = 10")
            transaction.execute("SELECT pg_sleep(60)")

        with self.assertRaisesRegex(Exception, "statement timeout"):
            await self.pool.runInteraction(interact)

    async def test_lost_connection(self: Any) -> None:
        """A connection that the server has closed is replaced by the next use of its thread."""
        self.pool = self.open(1)
        query = self.pool.runQuery("SELECT pg_sleep(60)")
        (session,) = await self.server.running(self.name)
        self.server.execute(f"SELECT pg_terminate_backend({session.pid})")
        with self.assertRaisesRegex(Exception, "terminat"):
            await query
        # The failed rollback, by adbapi.
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual(await self.pool.runQuery("SELECT 1"), [(1,)])

    async def test_random_moments(self: Any) -> None:
        """Of 500 queries cancelled at random moments, none hits another, and each gets its rows."""
        await cancel_at_random_moments(self, "pg_sleep(0.002)", CLIENTS)
        self.assertEqual(set(self.server.states(self.name)), {"idle"})
        self.assertLessEqual(len(self.server.states(self.name)), CLIENTS)
        self.assertEqual(len(self.pool.connections), len(self.server.states(self.name)))

    async def test_rollback_waits_for_the_cancel(self: Any) -> None:
        """A connection is not even rolled back while the driver's cancel is under way."""
        go_on, sent = threading.Event(), Deferred[None]()
        self.addCleanup(go_on.set)
        interrupt = PostgreSQL.interrupt

        def slow(adapter: PostgreSQL) -> None:
            interrupt(adapter)
            if not go_on.is_set():
                reactor.callFromThread(sent.callback, None)
                go_on.wait()

        self.patch(PostgreSQL, "interrupt", slow)
        query = self.pool.runQuery("SELECT pg_sleep(60)")
        await self.server.running(self.name)
        query.cancel()
        await sent
        while "active" in self.server.states(self.name):
            await deferLater(reactor, 0.002)
        # More than enough for a rollback.
        for _ in range(20):
            states = self.server.states(self.name)
            self.assertEqual(states, ["idle in transaction (aborted)"])
            await deferLater(reactor, 0.002)
        self.assertNoResult(query)
        go_on.set()
        with self.assertRaises(CancelledError):
            await query
        self.assertEqual(self.server.states(self.name), ["idle"])

    async def test_no_further_statement(self: Any) -> None:
        """A cursor that was opened before the cancel begins no statement after it."""
        gate = Gate(self)
        seen: list[object] = []

        def use(connection: Any) -> None:
            cursor = connection.cursor()
            gate.wait()
            many = partial(cursor.executemany, "SELECT %s", [])
            seen.extend(outcomes(partial(cursor.execute, "SELECT 1"), many))

        await gate.cancel(self.pool.runWithConnection(use))
        self.assertEqual(seen, [CancelledError] * 2)

    async def test_no_further_row(self: Any) -> None:
        """`executemany` asks for no further row once it was given one after the cancel."""
        self.pool = self.open(1)
        for named in (False, True):
            gate = Gate(self)
            given: list[int] = []
            await gate.cancel(self.pool.runInteraction(self.insert, self.few(gate, given), named))
            self.assertEqual(given, [0, 1])
            self.assertEqual(await self.pool.runQuery("SELECT 1"), [(1,)])

    def insert(self: Any, transaction: Any, rows: Any, named: bool) -> None:
        """Insert rows, given by name or not, into a table that is dropped at the end."""
        transaction.execute("CREATE TEMPORARY TABLE few (n int) ON COMMIT DROP")
        statement = "INSERT INTO few VALUES (%s)"
        if named:
            transaction.executemany(statement, **{self.rows: rows})
        else:
            transaction.executemany(statement, rows)

    def few(self: Any, gate: Gate, given: list[int]) -> Iterator[tuple[int]]:
        """Three rows; the thread waits before it gives the second."""
        for number in range(3):
            if number == 1:
                gate.wait()
            given.append(number)
            yield (number,)

    async def test_own_cursors(self: Any) -> None:
        """With a cursor class of the user's, a connection's cursors are of that class."""
        self.pool = self.open(1, cursor_factory=self.own)
        kind = await self.pool.runWithConnection(lambda connection: type(connection.cursor()))
        self.assertIs(kind, self.own)

    async def test_committed_itself(self: Any) -> None:
        """A cancelled function that has committed itself, in any way, is told that it may have."""
        self.server.execute("CREATE TABLE IF NOT EXISTS own (n int)")
        self.addCleanup(self.server.execute, "DROP TABLE own")
        works = [own_commit, bare_commit, statement, commit_and_go_on, self.autocommit]
        for work in [*works, *self.blocks]:
            gate = Gate(self)
            told = await gate.cancel(self.pool.runWithConnection(before(work, gate)))
            self.assertIs(type(told), MaybeCommitted, work)
            self.assertEqual(self.server.execute("SELECT n FROM own"), [(1,)], work)
            self.server.execute("DELETE FROM own")

    def autocommit(self: Any, connection: Any) -> None:
        """Insert in autocommit mode."""
        driver = connection._connection
        driver.autocommit = True
        self.addCleanup(setattr, driver, "autocommit", False)
        connection.cursor().execute(INSERT)

    async def test_committed_nothing(self: Any) -> None:
        """A cancelled function that has committed nothing is told just that it was cancelled."""
        self.server.execute("CREATE TABLE IF NOT EXISTS own (n int)")
        self.addCleanup(self.server.execute, "DROP TABLE own")

        def insert(connection: Any) -> None:
            connection.cursor().execute(INSERT)

        def roll_back(connection: Any) -> None:
            insert(connection)
            connection.rollback()
            insert(connection)

        def composed(connection: Any) -> None:
            sql = import_module(f"{self.driver}.sql")
            table = sql.Identifier("own")
            connection.cursor().execute(sql.SQL("INSERT INTO {} VALUES (1)").format(table))

        def no_row(connection: Any) -> None:
            with contextlib.suppress(ZeroDivisionError):
                connection.cursor().executemany(INSERT, ((1 // 0,) for _ in "a"))

        for work in (insert, roll_back, composed, no_row, lambda _: None):
            gate = Gate(self)
            told = await gate.cancel(self.pool.runWithConnection(before(work, gate)))
            self.assertIs(type(told), CancelledError, work)
        for work in (self.pool.runQuery, self.pool.runOperation):
            query = work("SELECT pg_sleep(60)")
            await self.server.running(self.name)
            self.assertIs(type(await self.cancelled(query)), CancelledError, work)
        self.assertEqual(self.server.execute("SELECT n FROM own"), [])

    async def asks(self: Any, pool: ConnectionPool, kind: type, **options: Any) -> None:
        """The cursors of this pool are of this kind, and ask whether their use was cancelled."""

        def use(connection: Any) -> None:
            cursor = connection.cursor(**options)
            self.assertIsInstance(cursor, kind)
            self.assertIsInstance(cursor, Checking)

        await pool.runWithConnection(use)


INSERT = "INSERT INTO own VALUES (1)"


def before(work: Any, gate: Gate) -> Any:
    """A function that works, and then waits until it was cancelled."""

    def use(connection: Any) -> None:
        work(connection)
        gate.wait()

    return use


def own_commit(connection: Any) -> None:
    """Commit by the method."""
    connection.cursor().execute(INSERT)
    connection.commit()


def bare_commit(connection: Any) -> None:
    """Commit by the method of the driver's own connection."""
    cursor = connection.cursor()
    cursor.execute(INSERT)
    cursor.connection.commit()


def commit_and_go_on(connection: Any) -> None:
    """Commit by the method of the driver's own connection, and begin another transaction."""
    bare_commit(connection)
    connection.cursor().execute("SELECT 1")


def block(connection: Any) -> None:
    """Commit at the end of a block of psycopg2, which leaves the connection open."""
    cursor = connection.cursor()
    with cursor.connection:
        cursor.execute(INSERT)


def statement(connection: Any) -> None:
    """Commit by a statement."""
    cursor = connection.cursor()
    cursor.execute(INSERT)
    cursor.execute("COMMIT; SELECT 1")


def transaction_block(connection: Any) -> None:
    """Commit at the end of a block of psycopg 3."""
    with connection.transaction():
        connection.execute(INSERT)


def copy(connection: Any) -> None:
    """Copy a row with psycopg 3, and commit it by the method of the driver's own connection."""
    cursor = connection.cursor()
    with cursor.copy("COPY own FROM STDIN") as rows:
        rows.write_row((1,))
    cursor.connection.commit()


def copy_from_file(connection: Any) -> None:
    """Copy a row with psycopg2, and commit it by the method of the driver's own connection."""
    cursor = connection.cursor()
    cursor.copy_from(io.StringIO("1\n"), "own")
    cursor.connection.commit()


class OwnPsycopgCursor(psycopg.Cursor[Any]):
    """A cursor class of the user's for psycopg 3."""


class OwnPsycopg2Cursor(psycopg2.extensions.cursor):  # type: ignore[misc]
    """A cursor class of the user's for psycopg2."""


class OwnPsycopg2Connection(psycopg2.extensions.connection):  # type: ignore[misc]
    """A connection class of the user's that makes cursors in its own way, and counts them."""

    made = 0

    def cursor(self, *args: Any, **kw: Any) -> Any:
        """A cursor of the user's class."""
        self.made += 1
        return super().cursor(*args, cursor_factory=OwnPsycopg2Cursor, **kw)


class PsycopgTests(Contract, TestCase):
    """A pool with psycopg 3."""

    driver = "psycopg"
    rows = "params_seq"
    own = OwnPsycopgCursor
    blocks = (transaction_block, copy)

    async def test_kinds_of_cursors(self) -> None:
        """Cursors of the driver are of the class that is asked for, and check for a cancel."""
        await self.asks(self.pool, psycopg.Cursor)
        pool = self.open(cursor_factory=psycopg.ClientCursor)
        await self.asks(pool, psycopg.ClientCursor)

    async def test_shortcut(self) -> None:
        """The cursor that `connection.execute` returns begins no further statement."""
        gate = Gate(self)
        seen: list[object] = []

        def use(connection: Any) -> None:
            cursor = connection.execute("SELECT 1")
            gate.wait()
            seen.extend(outcomes(partial(cursor.execute, "SELECT 1")))

        await gate.cancel(self.pool.runWithConnection(use))
        self.assertEqual(seen, [CancelledError])


class Psycopg2Tests(Contract, TestCase):
    """A pool with psycopg2."""

    driver = "psycopg2"
    rows = "vars_list"
    own = OwnPsycopg2Cursor
    blocks = (block, copy_from_file)

    async def test_kinds_of_cursors(self) -> None:
        """Cursors of the driver are of any class that is asked for, and check for a cancel."""
        rows = psycopg2.extras.RealDictCursor
        await self.asks(self.pool, psycopg2.extensions.cursor)
        await self.asks(self.pool, psycopg2.extensions.cursor, cursor_factory=None)
        await self.asks(self.pool, rows, cursor_factory=rows)
        await self.asks(self.open(cursor_factory=rows), rows)
        connections = psycopg2.extras.RealDictConnection
        await self.asks(self.open(connection_factory=connections), rows)

    async def test_own_connections(self) -> None:
        """A connection that makes cursors in its own way is tried once, and left as it is."""
        pool = self.open(1, connection_factory=OwnPsycopg2Connection)

        def use(given: Any) -> tuple[Any, ...]:
            kind = type(given.cursor())
            return kind, given._connection.cursor_factory, given._connection.made

        for made in (2, 3):
            used = await pool.runWithConnection(use)
            self.assertEqual(used, (OwnPsycopg2Cursor, None, made))

    async def test_functions_in_c(self) -> None:
        """A function in C that wants a cursor of the driver's takes one of the pool's."""

        def use(connection: Any) -> str:
            text: str = psycopg2.extensions.quote_ident("a b", connection.cursor())
            return text

        self.assertEqual(await self.pool.runWithConnection(use), '"a b"')

    async def test_cancel_fails(self) -> None:
        """A cancel request that the server does not take raises libpq's error."""
        proxy = await Proxy.start(self, self.server.socket)
        connection = psycopg2.connect(self.far(proxy.port))
        self.addCleanup(connection.close)
        await proxy.process.stop()
        error = self.assertRaises(OSError, cancel_request(connection))
        self.assertIn("PQcancel() -- ", str(error))
