"""A pool on a real MariaDB, with PyMySQL and with mysqlclient: stopped in the server itself.

What belongs here: what the server's own list of sessions tells, and what only a server can do, such
as hitting the wrong query. What does not: what holds for every driver.
"""

import contextlib  # trial takes a name "suppress" for a setting of its own
import threading
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import Request

from cancelweb import Ended, Outcome, cancel_on_disconnect
from cancelweb._stoppable.cursors import Checking
from cancelweb._stoppable.mysql import MySQL
from cancelweb.database import ConnectionPool, MaybeCommitted

from ..._pages import PAGE, GetPage
from ..._servers import LOOPBACK
from ..._visits import connect
from ...stoppable._databases import Gate, outcomes
from .._far_database import DELAY, Proxy, Ticks
from .._mariadb import mariadb, need_mariadb
from ._moments import cancel_at_random_moments

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

CLIENTS = 4
"""The clients that query the pool at the same time."""

SLEEP = "SELECT SLEEP(60)"
"""An error tells that it was stopped."""
QUIETLY = "SELECT GET_LOCK('held', 60)"
"""It has a result also if it was stopped."""
ENDLESS = "SELECT COUNT(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b"
"""It computes."""
MANY = "SELECT a.seq FROM seq_1_to_1000000 a, seq_1_to_1000000 b"
"""It has more rows than any client can read."""


class Contract:
    """What holds for both drivers; a mixin, so that trial does not run it by itself."""

    driver: str
    timeout = 60

    def setUp(self: Any) -> None:
        need_mariadb(self.driver)
        self.cursors = import_module(f"{self.driver}.cursors")
        self.dbapi = import_module(self.driver)
        self.server = mariadb()
        self.name = f"{self.driver}-{self.id().rpartition('.')[2]}"
        self.options = self.server.options(self.name)
        self.pool = self.open()

    def open(self: Any, size: int = CLIENTS, **options: Any) -> ConnectionPool:
        """A pool of this test's own, known to the server by its name."""
        pool: ConnectionPool = self.make(size, **options)
        self.addCleanup(pool.close)
        return pool

    def make(self: Any, size: int, **options: Any) -> ConnectionPool:
        """A pool that is left open."""
        options = {**self.options, **options}
        pool = ConnectionPool(self.driver, cp_max=size, cp_reactor=reactor, **options)
        pool.start()
        return pool

    def table(self: Any, engine: str = "InnoDB") -> None:
        """Make a table for the test, and drop it at its end."""
        self.server.execute(f"CREATE OR REPLACE TABLE test.t (n int PRIMARY KEY) ENGINE={engine}")
        self.addCleanup(self.server.execute, "DROP TABLE test.t")

    async def cancelled(self: Any, query: Deferred[Any], text: str) -> None:
        """Cancel a query as soon as the server runs it, and wait until it has stopped."""
        await self.server.running(self.name, text)
        query.cancel()
        with self.assertRaises(CancelledError):
            await query
        self.assert_gone(text)

    def assert_gone(self: Any, text: str) -> None:
        """No session runs a statement with this text; the server may still show the next one."""
        shown = [each.statement or "" for each in self.server.sessions(self.name)]
        self.assertEqual([each for each in shown if text in each], [])

    async def test_query_is_gone(self: Any) -> None:
        """A cancelled query fires when the server runs no query, and has no open transaction."""
        self.server.execute("SELECT GET_LOCK('held', 0)")
        self.addCleanup(self.server.execute, "DO RELEASE_LOCK('held')")
        for statement in (SLEEP, QUIETLY, ENDLESS):
            await self.cancelled(self.pool.runQuery(statement), statement)

    async def test_interaction_is_rolled_back(self: Any) -> None:
        """A cancelled interaction is stopped in the server, and nothing of it stays."""
        self.table()

        def interact(transaction: Any) -> None:
            transaction.execute("INSERT INTO t VALUES (1)")
            transaction.execute(SLEEP)

        for run in (self.pool.runInteraction, self.run_with_cursor):
            await self.cancelled(run(interact), SLEEP)
            self.assertEqual(self.server.execute("SELECT * FROM test.t"), [])

    def run_with_cursor(self: Any, interact: Any) -> Deferred[Any]:
        """Run an interaction with a cursor of `runWithConnection`."""
        done: Deferred[Any] = self.pool.runWithConnection(
            lambda connection: interact(connection.cursor())
        )
        return done

    async def test_without_transactions(self: Any) -> None:
        """In a table without transactions, what was written before the cancel stays."""
        self.table("Aria")

        def interact(transaction: Any) -> None:
            transaction.execute("INSERT INTO t VALUES (1)")
            transaction.execute(SLEEP)

        await self.cancelled(self.pool.runInteraction(interact), SLEEP)
        self.assertEqual(self.server.execute("SELECT * FROM test.t"), [(1,)])

    async def test_own_commits(self: Any) -> None:
        """A function that has committed, or has made a table, is reported as perhaps committed."""
        self.table()

        def commit(connection: Any) -> None:
            connection.commit()

        def bare_commit(connection: Any) -> None:
            connection.cursor().connection.commit()

        def begin(connection: Any) -> None:
            connection.cursor().connection.begin()

        def autocommit(connection: Any) -> None:
            for mode in (True, False):
                connection.cursor().connection.autocommit(mode)

        def make_table(connection: Any) -> None:
            connection.cursor().execute("CREATE TEMPORARY TABLE u (n int)")

        def call(connection: Any) -> None:
            connection.cursor().callproc("none")

        for end in (commit, bare_commit, begin, autocommit, make_table, call):
            with self.assertRaises(MaybeCommitted):
                await self.leave(end)

    async def test_committed_nothing(self: Any) -> None:
        """A cancelled function that has committed nothing is told just that it was cancelled."""
        self.table()

        def insert_many(connection: Any) -> None:
            connection.cursor().executemany("INSERT INTO t VALUES (%s)", [(2,), (3,)])

        for work in (insert_many, lambda _: None):
            with self.assertRaises(CancelledError) as raised:
                await self.leave(work)
            self.assertIs(type(raised.exception), CancelledError, work)
            self.assertEqual(self.server.execute("SELECT n FROM test.t"), [])

    def leave(self: Any, end: Callable[[Any], None]) -> Deferred[Any]:
        """Insert a row, end the transaction, and cancel what follows."""
        query: Deferred[Any]

        def use(connection: Any) -> None:
            connection.cursor().execute("REPLACE INTO t VALUES (1)")
            with contextlib.suppress(self.dbapi.Error):
                end(connection)
            reactor.callFromThread(lambda: query.cancel())
            connection.cursor().execute(SLEEP)

        query = self.pool.runWithConnection(use)
        return query

    async def test_waits_for_locks(self: Any) -> None:
        """A statement that waits for a row's lock or a table's lock is stopped."""
        self.table()
        self.server.execute("INSERT INTO test.t VALUES (1)")
        for lock in ("BEGIN", "LOCK TABLES test.t WRITE"):
            self.server.execute(lock)
            self.server.execute("UPDATE test.t SET n = 2 WHERE n = 1")
            waiting = "UPDATE t SET n = 3"
            await self.cancelled(self.pool.runOperation(waiting), waiting)
            self.server.execute("ROLLBACK")
            self.server.execute("UNLOCK TABLES")
        self.assertEqual(await self.pool.runQuery("SELECT 1"), ((1,),))

    async def test_procedures(self: Any) -> None:
        """A stored procedure is stopped at the statement that it runs."""
        self.table()
        body = f"INSERT INTO t VALUES (1); {SLEEP}; INSERT INTO t VALUES (2);"
        called = self.call("INVOKER", body)
        await self.cancelled(called, SLEEP)
        self.assertEqual(self.server.execute("SELECT * FROM test.t"), [])

    async def test_procedures_of_others(self: Any) -> None:
        """A procedure that has another account's rights is not stopped, and the log says so."""
        statement = "SELECT SLEEP(0.5)"
        called = self.call("DEFINER", f"{statement};")
        # The server shows it as a session of the account that has made it.
        await self.server.running("root", statement)
        called.cancel()
        with self.assertRaises(CancelledError):
            await called
        self.assertTrue(self.flushLoggedErrors(LookupError))

    def call(self: Any, rights: str, body: str) -> Deferred[Any]:
        """Make a procedure, which is dropped at the end of the test, and call it."""
        head = f"CREATE OR REPLACE PROCEDURE test.slow() SQL SECURITY {rights}"
        self.server.execute(f"{head} BEGIN {body} END")
        self.addCleanup(self.server.execute, "DROP PROCEDURE test.slow")
        called: Deferred[Any] = self.pool.runInteraction(lambda used: used.callproc("slow"))
        return called

    async def test_rows_in_the_server(self: Any) -> None:
        """Rows that the server still produces while they are read end with the cancel."""
        for kind in (self.cursors.Cursor, self.cursors.SSCursor):
            self.pool = self.open(1, cursorclass=kind)
            await self.cancelled(self.pool.runQuery(MANY), MANY)
            self.assertEqual(list(await self.pool.runQuery("SELECT 1")), [(1,)])

    async def test_rest_of_the_rows(self: Any) -> None:
        """A function may return before it has read all rows; the rest can be cancelled, too."""
        self.pool = self.open(1, cursorclass=self.cursors.SSCursor)

        def read_one(transaction: Any) -> Any:
            transaction.execute(MANY)
            return transaction.fetchone()

        await self.cancelled(self.pool.runInteraction(read_one), MANY)
        self.assertEqual(list(await self.pool.runQuery("SELECT 1")), [(1,)])

    async def test_unread_rows(self: Any) -> None:
        """Rows that a cancelled function leaves unread are in no other query's way."""
        self.pool = self.open(1)
        gate = Gate(self)
        left: list[Any] = []

        def use(connection: Any) -> None:
            cursor = connection.cursor(self.cursors.SSCursor)
            cursor.execute(MANY)
            cursor.fetchone()
            left.append(cursor)
            gate.wait()

        await gate.cancel(self.pool.runWithConnection(use))
        self.assertEqual(await self.pool.runQuery("SELECT 1"), ((1,),))
        self.assert_gone(MANY)

    async def test_client_leaves(self: Any) -> None:
        """A handler's query is gone from the server when the scope of its request closes."""
        closed: Deferred[Outcome] = Deferred()

        async def handler(_: Request) -> bytes:
            await self.pool.runQuery(SLEEP)
            return PAGE

        decorate: Any = cancel_on_disconnect(observers=closed.callback)
        connection = connect(GetPage(decorate(handler)), Clock())
        connection.get()
        await self.server.running(self.name, SLEEP)
        connection.disconnect()
        self.assertEqual((await closed).ended, Ended.STOPPED)
        self.assert_gone(SLEEP)

    async def test_timeout_of_the_server(self: Any) -> None:
        """A statement that the server itself stops fails with the server's error."""
        limited = f"SET STATEMENT max_statement_time = 0.01 FOR {ENDLESS}"
        with self.assertRaisesRegex(self.dbapi.Error, "max_statement_time"):
            await self.pool.runQuery(limited)

    async def test_lost_connection(self: Any) -> None:
        """A connection that the server has closed is replaced by the next use of its thread."""
        self.pool = self.open(1)
        query = self.pool.runQuery(SLEEP)
        (session,) = await self.server.running(self.name, SLEEP)
        self.server.execute(f"KILL {session.number}")
        with self.assertRaises(self.dbapi.OperationalError):
            await query
        # The failed rollback, by adbapi.
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual(await self.pool.runQuery("SELECT 1"), ((1,),))

    async def test_random_moments(self: Any) -> None:
        """Of 500 queries cancelled at random moments, none hits another, and each gets its rows."""
        await cancel_at_random_moments(self, "SLEEP(0.002)", CLIENTS)
        self.assert_gone("SLEEP")
        # And the one from which statements are killed.
        self.assertEqual(len(self.server.sessions(self.name)), len(self.pool.connections) + 1)

    async def test_rollback_waits_for_the_kill(self: Any) -> None:
        """A connection is not even rolled back while the statement is being killed."""
        self.table()
        go_on, sent = threading.Event(), Deferred[None]()
        self.addCleanup(go_on.set)
        interrupt = MySQL.interrupt

        def slow(adapter: MySQL) -> None:
            interrupt(adapter)
            if not go_on.is_set():
                reactor.callFromThread(sent.callback, None)
                go_on.wait()

        def interact(transaction: Any) -> None:
            transaction.execute("INSERT INTO t VALUES (1)")
            transaction.execute(SLEEP)

        self.patch(MySQL, "interrupt", slow)
        use = self.pool.runInteraction(interact)
        await self.server.running(self.name, SLEEP)
        use.cancel()
        await sent
        # More than enough for a rollback.
        for _ in range(20):
            self.assertEqual(self.server.execute("SELECT * FROM test.t"), [(1,)])
            await deferLater(reactor, 0.002)
        self.assertNoResult(use)
        go_on.set()
        with self.assertRaises(CancelledError):
            await use
        self.assertEqual(self.server.execute("SELECT * FROM test.t"), [])

    async def test_between_two_statements(self: Any) -> None:
        """A kill that comes between two statements hits neither the rollback nor the next use."""
        self.table()
        self.pool = self.open(1)
        gate, done = Gate(self), threading.Event()
        interrupt = MySQL.interrupt

        def use(connection: Any) -> None:
            connection.cursor().execute("INSERT INTO t VALUES (1)")
            gate.wait()
            done.wait()

        def then_go_on(adapter: MySQL) -> None:
            interrupt(adapter)
            done.set()

        self.patch(MySQL, "interrupt", then_go_on)
        await gate.cancel(self.pool.runWithConnection(use))
        self.assertEqual(await self.pool.runQuery("SELECT * FROM t"), ())

    async def test_another_server(self: Any) -> None:
        """A statement is not killed by a server that has given its number to another client."""
        self.pool = self.open(1)
        query = self.pool.runQuery(SLEEP)
        (session,) = await self.server.running(self.name, SLEEP)
        (thread,) = self.pool.connections
        adapter = self.pool.interruptible_of(thread)
        right, adapter._session = adapter._session, (session.number, "192.0.2.1:1024")
        query.cancel()
        while not (errors := self.flushLoggedErrors(LookupError)):
            await deferLater(reactor, 0.002)
        self.assertIn("no connection", str(errors[0].value))
        self.assertEqual(len(await self.server.running(self.name, SLEEP)), 1)
        adapter._session = right
        with self.assertRaises(CancelledError):
            await query
        self.flushLoggedErrors(LookupError)

    async def test_no_room(self: Any) -> None:
        """Without room for a second connection, the log says so, and the pool tries again."""
        limit = f"ALTER USER '{self.name}' WITH MAX_USER_CONNECTIONS"
        self.server.execute(f"{limit} 1")
        self.pool = self.open(1)
        query = self.pool.runQuery(SLEEP)
        await self.server.running(self.name, SLEEP)
        query.cancel()
        while not self.flushLoggedErrors(self.dbapi.OperationalError):
            await deferLater(reactor, 0.002)
        self.assertNoResult(query)
        self.server.execute(f"{limit} 2")
        with self.assertRaises(CancelledError):
            await query
        self.flushLoggedErrors(self.dbapi.OperationalError)

    async def test_far_away(self: Any) -> None:
        """The reactor turns while a second connection is made over a slow network."""
        proxy = await Proxy.start(self, self.server.socket)
        far = {**self.options, "host": LOOPBACK, "port": proxy.port}
        del far["unix_socket"]
        self.options = far
        self.pool = self.open(1)
        query = self.pool.runQuery(SLEEP)
        await self.server.running(self.name, SLEEP)
        ticks = Ticks()
        ticks.start(self)
        began = reactor.seconds()
        query.cancel()
        with self.assertRaises(CancelledError):
            await query
        self.assertGreaterEqual(reactor.seconds() - began, DELAY)
        self.assertLess(ticks.longest, DELAY / 2)

    async def test_close(self: Any) -> None:
        """A closed pool leaves no connection, not even that from which statements are killed."""
        pool = self.make(1)
        await self.cancelled(pool.runQuery(SLEEP), SLEEP)
        pool.close()
        while self.server.sessions(self.name):
            await deferLater(reactor, 0.002)

    async def test_no_further_statement(self: Any) -> None:
        """A cursor that was opened before the cancel begins no statement after it."""
        gate = Gate(self)
        seen: list[object] = []

        def use(connection: Any) -> None:
            cursor = connection.cursor(self.cursors.DictCursor)
            gate.wait()
            many = partial(cursor.executemany, "SELECT %s", [])
            call = partial(cursor.callproc, "none")
            seen.extend(outcomes(partial(cursor.execute, "SELECT 1"), many, call))

        await gate.cancel(self.pool.runWithConnection(use))
        self.assertEqual(seen, [CancelledError] * 3)

    async def test_no_further_row(self: Any) -> None:
        """`executemany` asks for no further row once it was given one after the cancel."""
        self.table()
        for named in (False, True):
            gate = Gate(self)
            given: list[int] = []
            await gate.cancel(self.pool.runInteraction(self.insert, self.few(gate, given), named))
            self.assertEqual(given, [0, 1])
            self.assertEqual(await self.pool.runQuery("SELECT * FROM t"), ())

    def insert(self: Any, transaction: Any, rows: Any, named: bool = False) -> Any:
        """Insert rows, given by name or not."""
        statement = "INSERT INTO t VALUES (%s)"
        if named:
            return transaction.executemany(statement, args=rows)
        return transaction.executemany(statement, rows)

    def few(self: Any, gate: Gate, given: list[int]) -> Iterator[tuple[int]]:
        """Three rows; the thread waits before it gives the second."""
        for number in range(3):
            if number == 1:
                gate.wait()
            given.append(number)
            yield (number,)

    async def test_many_rows(self: Any) -> None:
        """`executemany` inserts all rows that it is given, be they none."""
        self.table()
        rows = [(1,), (2,)]
        self.assertEqual(await self.pool.runInteraction(self.insert, rows), 2)
        self.assertIsNone(await self.pool.runInteraction(self.insert, []))
        self.assertEqual(await self.pool.runQuery("SELECT * FROM t"), ((1,), (2,)))

    async def test_kinds_of_cursors(self: Any) -> None:
        """Cursors of the driver are of any class that is asked for, and check for a cancel."""
        kind = self.cursors.DictCursor
        await self.asks(self.pool, self.cursors.Cursor)
        await self.asks(self.pool, self.cursors.Cursor, None)
        await self.asks(self.pool, kind, kind)
        await self.asks(self.open(cursorclass=kind), kind)
        rows = await self.open(cursorclass=kind).runQuery("SELECT 1 AS n")
        self.assertEqual(list(rows), [{"n": 1}])

    async def asks(self: Any, pool: ConnectionPool, kind: type, *args: Any) -> None:
        """The cursors of this pool are of this kind, and ask whether their use was cancelled."""

        def use(connection: Any) -> None:
            cursor = connection.cursor(*args)
            self.assertIsInstance(cursor, kind)
            self.assertIsInstance(cursor, Checking)

        await pool.runWithConnection(use)

    async def test_own_cursors(self: Any) -> None:
        """With a cursor class of the user's, a connection's cursors are of that class."""

        class Own(self.cursors.Cursor):  # type: ignore[misc]
            pass

        self.pool = self.open(1, cursorclass=Own)
        kind = await self.pool.runWithConnection(lambda connection: type(connection.cursor()))
        self.assertIs(kind, Own)


class PyMySQLTests(Contract, TestCase):
    """A pool with PyMySQL."""

    driver = "pymysql"

    async def test_connects_again(self) -> None:
        """A connection that a function had connect again is known by its new number."""
        self.pool = self.open(1)
        old = await self.pool.runQuery("SELECT CONNECTION_ID()")
        await self.pool.runWithConnection(lambda connection: connection._connection.connect())
        self.assertNotEqual(await self.pool.runQuery("SELECT CONNECTION_ID()"), old)
        await self.cancelled(self.pool.runQuery(SLEEP), SLEEP)


class MySQLdbTests(Contract, TestCase):
    """A pool with mysqlclient."""

    driver = "MySQLdb"
