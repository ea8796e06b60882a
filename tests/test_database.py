"""A pool whose queries stop in the database: shown with SQLite, in a real file.

What belongs here: all that does not depend on the driver, and what is SQLite's. What does not:
PostgreSQL.
"""

import contextlib
import gc
import resource
import sqlite3
import threading
from collections.abc import Callable
from itertools import count
from typing import Any
from unittest.mock import patch

from attrs import define
from twisted.enterprise import adbapi
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.python.components import registerAdapter
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import Request
from zope.interface import implementer

from cancelweb import Ended, Outcome, cancel_on_disconnect
from cancelweb._adbapi import Connection
from cancelweb._drivers import PostgreSQL, SQLite, interruptible
from cancelweb.database import Committed, ConnectionPool, IInterruptible

from ._inmemory import Client
from ._pages import PAGE, Page

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

ENDLESS = """
    WITH RECURSIVE counter(n) AS (SELECT begun() UNION ALL SELECT n + 1 FROM counter)
    SELECT count(*) FROM counter
"""
"""Computes until it is interrupted; `begun` tells the test when."""


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
        """A pool on the file, with one thread unless the options say otherwise."""
        options = {"cp_min": 1, "cp_max": 1, "cp_openfun": self.opened, **options}
        pool = ConnectionPool(
            "sqlite3", self.path, check_same_thread=False, cp_reactor=reactor, **options
        )
        pool.start()
        return pool

    def note_rollbacks(self) -> list[str]:
        """Have the pool note its rollbacks when they are over, here."""
        noted: list[str] = []

        class Noting(Connection):
            """Notes."""

            def rollback(self) -> None:
                super().rollback()
                noted.append("rolled back")

        self.pool.connectionFactory = Noting
        return noted

    def opened(self, connection: Any) -> None:
        """Teach a new connection the function that tells the test."""
        connection.create_function("begun", 0, self._begun)

    def _begun(self) -> int:
        begun, self.begun = self.begun, Deferred()
        reactor.callFromThread(begun.callback, None)
        return 0

    async def endless(self) -> Deferred[Any]:
        """A query that runs in the database."""
        begun = self.begun
        query: Deferred[Any] = self.pool.runQuery(ENDLESS)
        await begun
        return query

    async def rows(self) -> list[tuple[Any, ...]]:
        """All rows of the table, by the pool's own next query."""
        rows: list[tuple[Any, ...]] = await self.pool.runQuery("SELECT n FROM t ORDER BY n")
        return rows


class DropInTests(DatabaseTestCase):
    """Without a cancel it does as adbapi's does."""

    def test_is_one(self) -> None:
        """It is an adbapi pool, with the same arguments."""
        self.assertIsInstance(self.pool, adbapi.ConnectionPool)
        self.assertEqual(self.pool.connargs, (self.path,))
        self.assertEqual((self.pool.min, self.pool.max), (1, 1))

    async def test_query_and_operation(self) -> None:
        """`runOperation` gives None and commits, `runQuery` gives the rows."""
        self.assertIsNone(await self.pool.runOperation("INSERT INTO t VALUES (?)", (1,)))
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
        """What fails is rolled back, and the error is the driver's."""

        def interact(transaction: Any) -> None:
            transaction.execute("INSERT INTO t VALUES (1)")
            transaction.execute("no SQL")

        with self.assertRaises(sqlite3.OperationalError):
            await self.pool.runInteraction(interact)
        self.assertEqual(await self.rows(), [])

    async def test_interrupted_by_somebody_else(self) -> None:
        """An interruption that is not the cancel's is an error like any other."""

        query = await self.endless()
        (connection,) = self.pool.connections.values()
        connection.interrupt()
        with self.assertRaisesRegex(sqlite3.OperationalError, "interrupted"):
            await query

    def test_close_before_it_was_started(self) -> None:
        """A pool that never ran can be closed."""
        ConnectionPool("sqlite3", self.path, cp_reactor=reactor).close()

    async def test_made_while_the_reactor_runs(self) -> None:
        """A pool that is made while the reactor runs is started by that, as adbapi's is."""
        await deferLater(reactor, 0)
        self.pool = ConnectionPool(
            "sqlite3", self.path, check_same_thread=False, cp_reactor=reactor
        )
        self.addCleanup(self.pool.close)
        self.assertTrue(self.pool.running)
        self.assertEqual(await self.rows(), [])

    async def test_start_twice(self) -> None:
        """To start it again does nothing."""
        self.pool.start()
        self.assertEqual(await self.rows(), [])


class CancelTests(DatabaseTestCase):
    """A query that is cancelled."""

    async def test_cpu_is_free(self) -> None:
        """A query without end is stopped, and from then on the process does nothing."""
        query = await self.endless()
        query.cancel()
        with self.assertRaises(CancelledError):
            await query
        before = cpu_seconds()
        waiting: Deferred[None] = Deferred()
        reactor.callLater(0.5, waiting.callback, None)
        await waiting
        # Half a second is what it would be with the query running on.
        self.assertLess(cpu_seconds() - before, 0.1)

    async def test_settles_when_the_thread_is_free(self) -> None:
        """The Deferred fires when all is over, the rollback too, however often it is cancelled."""
        noted = self.note_rollbacks()
        query = await self.endless()
        query.cancel()
        self.assertNoResult(query)
        query.cancel()
        self.assertNoResult(query)
        with self.assertRaises(CancelledError):
            await query
        self.assertEqual(noted, ["rolled back"])
        self.assertEqual(await self.rows(), [])

    async def test_queued(self) -> None:
        """A query that waits for a thread never begins, and fails at once."""
        running = await self.endless()
        queued = self.pool.runOperation("INSERT INTO t VALUES (1)")
        queued.cancel()
        self.failureResultOf(queued, CancelledError)
        running.cancel()
        with self.assertRaises(CancelledError):
            await running
        self.assertEqual(await self.rows(), [])

    async def test_rolled_back(self) -> None:
        """What the transaction had written is rolled back."""

        def interact(transaction: Any) -> None:
            transaction.execute("INSERT INTO t VALUES (1)")
            transaction.execute(ENDLESS)

        begun = self.begun
        interaction = self.pool.runInteraction(interact)
        await begun
        interaction.cancel()
        with self.assertRaises(CancelledError):
            await interaction
        self.assertEqual(await self.rows(), [])

    async def test_with_connection(self) -> None:
        """A function that was given the connection is stopped as well."""

        def use(connection: Any) -> None:
            connection.execute("INSERT INTO t VALUES (1)")
            connection.execute(ENDLESS)

        begun = self.begun
        using = self.pool.runWithConnection(use)
        await begun
        using.cancel()
        with self.assertRaises(CancelledError):
            await using
        self.assertEqual(await self.rows(), [])

    async def test_between_two_statements(self) -> None:
        """Cancelled between two statements, the next of a cursor that was open is interrupted."""
        go_on, between = threading.Event(), Deferred[None]()
        self.addCleanup(go_on.set)

        def use(connection: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("INSERT INTO t VALUES (1)")
            reactor.callFromThread(between.callback, None)
            go_on.wait()
            cursor.execute(ENDLESS)

        using = self.pool.runWithConnection(use)
        await between
        using.cancel()
        begun = self.begun
        go_on.set()
        await begun
        with self.assertRaises(CancelledError):
            await using
        self.assertEqual(await self.rows(), [])

    async def test_error_that_is_not_the_cancels(self) -> None:
        """What the function raises of its own is the failure."""

        def interact(transaction: Any) -> None:
            try:
                transaction.execute(ENDLESS)
            except sqlite3.OperationalError:
                raise KeyError("oh") from None

        begun = self.begun
        interaction = self.pool.runInteraction(interact)
        await begun
        interaction.cancel()
        with self.assertRaisesRegex(KeyError, "oh"):
            await interaction

    async def test_returns_all_the_same(self) -> None:
        """A function that catches the interruption and returns is rolled back, too."""

        def interact(transaction: Any) -> str:
            try:
                transaction.execute("INSERT INTO t VALUES (1)")
                transaction.execute(ENDLESS)
            except sqlite3.OperationalError:
                pass
            return "result"

        begun = self.begun
        interaction = self.pool.runInteraction(interact)
        await begun
        interaction.cancel()
        with self.assertRaises(CancelledError) as raised:
            await interaction
        self.assertNotIsInstance(raised.exception, Committed)
        self.assertEqual(await self.rows(), [])

    async def test_committed(self) -> None:
        """Cancelled during the commit, it is committed, and the error tells so."""
        go_on, committing = threading.Event(), Deferred[None]()
        self.addCleanup(go_on.set)

        class Committing(Connection):
            """Waits before it commits."""

            def commit(self) -> None:
                reactor.callFromThread(committing.callback, None)
                go_on.wait()
                self._connection.commit()  # type: ignore[union-attr]

        self.pool.connectionFactory = Committing
        operation = self.pool.runInteraction(insert_one)
        await committing
        operation.cancel()
        self.assertNoResult(operation)
        go_on.set()
        with self.assertRaises(Committed) as raised:
            await operation
        self.assertEqual(raised.exception.result, 1)
        del self.pool.connectionFactory
        self.assertEqual(await self.rows(), [(1,)])

    async def test_while_it_connects(self) -> None:
        """Cancelled while its thread connects, no statement of it begins."""
        go_on, connecting = threading.Event(), Deferred[None]()
        self.addCleanup(go_on.set)

        def opened(connection: Any) -> None:
            reactor.callFromThread(connecting.callback, None)
            go_on.wait()

        pool = self.open(cp_openfun=opened)
        operation = pool.runInteraction(self.fail)
        await connecting
        operation.cancel()
        self.assertNoResult(operation)
        go_on.set()
        with self.assertRaises(CancelledError):
            await operation

    async def test_storm(self) -> None:
        """After a storm of cancels the pool has its size, and answers."""
        self.pool = self.open(cp_max=3)
        for _ in range(20):
            queries = [self.pool.runQuery(ENDLESS) for _ in range(10)]
            for query in reversed(queries):
                query.cancel()
            results = gatherResults([each.addErrback(is_cancelled) for each in queries])
            self.assertEqual(await results, [True] * 10)
        self.assertEqual(await self.rows(), [])
        self.assertLessEqual(len(self.pool.connections), 3)
        self.assertLessEqual(self.pool.threadpool.workers, 3)

    async def test_cursors_are_closed(self) -> None:
        """No open cursor is left to the collector, which may run in the reactor's thread.

        To free one there would wait for the connection's next statement, whose cancel then cannot
        be told to anybody.
        """
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

        def use(connection: Any) -> None:
            cursor = connection.cursor()
            cursor.execute(ENDLESS)

        for run, argument in [(self.pool.runWithConnection, use), (self.pool.runQuery, ENDLESS)]:
            begun = self.begun
            query = run(argument)
            await begun
            query.cancel()
            with self.assertRaises(CancelledError):
                await query
            del query
        self.assertEqual(open_cursors(), [])
        failed = self.pool.runQuery("SELECT 1", (1,))
        with self.assertRaises(sqlite3.ProgrammingError):
            await failed
        self.assertEqual(open_cursors(), [])

    async def test_shutdown(self) -> None:
        """A pool that is closed in the turn of the cancel waits no longer than the interrupt."""
        self.pool = self.make()
        query = await self.endless()
        query.cancel()
        self.pool.close()
        with self.assertRaises(CancelledError):
            await query


class FurtherTests(DatabaseTestCase):
    """What a function does after its cancel."""

    async def test_no_further_statement(self) -> None:
        """After the cancel a transaction, and a connection, begin no statement, however short."""
        seen: list[type[BaseException]] = []

        def use(given: Any) -> None:
            with contextlib.suppress(sqlite3.OperationalError):
                given.execute(ENDLESS)
            for name in ("execute", "cursor", "fetchone"):
                try:
                    getattr(given, name)
                except BaseException as error:
                    seen.append(type(error))
            given.execute("INSERT INTO t VALUES (1)")

        for run in (self.pool.runInteraction, self.pool.runWithConnection):
            begun = self.begun
            using = run(use)
            await begun
            using.cancel()
            with self.assertRaises(CancelledError):
                await using
        self.assertEqual(seen, [CancelledError] * 6)
        self.assertEqual(await self.rows(), [])

    async def test_many_short_statements(self) -> None:
        """A loop of statements that are each too short to be hit is stopped nevertheless."""
        begun: Deferred[None] = Deferred()

        def use(connection: Any) -> None:
            cursor = connection.cursor()
            reactor.callFromThread(begun.callback, None)
            cursor.executemany("INSERT INTO t VALUES (?)", zip(count()))

        using = self.pool.runWithConnection(use)
        await begun
        using.cancel()
        with self.assertRaises(CancelledError):
            await using
        self.assertEqual(await self.rows(), [])

    async def test_half_read_cursor(self) -> None:
        """A cursor that the function has left half read keeps no lock, and hits no other query."""
        kept: list[sqlite3.Cursor] = []

        def use(connection: Any) -> None:
            connection.execute("INSERT INTO t VALUES (1)")
            kept.append(connection.execute("SELECT 1 UNION SELECT 2"))
            kept[0].fetchone()
            connection.execute(ENDLESS)

        begun = self.begun
        using = self.pool.runWithConnection(use)
        await begun
        using.cancel()
        with self.assertRaises(CancelledError):
            await using
        self.assertEqual(await self.rows(), [])
        other = sqlite3.connect(self.path, timeout=0)
        self.addCleanup(other.close)
        with other:
            other.execute("INSERT INTO t VALUES (2)")
        self.assertEqual(await self.rows(), [(2,)])


class ScopeTests(DatabaseTestCase):
    """Queries of handlers."""

    async def test_client_leaves(self) -> None:
        """The query stops, and when the scope closes it is rolled back."""
        noted = self.note_rollbacks()
        closed: Deferred[Outcome] = Deferred()

        async def handler(_: Request) -> bytes:
            await self.pool.runQuery(ENDLESS)
            return PAGE

        begun = self.begun
        decorate: Any = cancel_on_disconnect(observers=closed.callback)
        client = Client(Page(decorate(handler)), Clock())
        client.request()
        await begun
        client.disconnect()
        self.assertEqual((await closed).ended, Ended.STOPPED)
        self.assertEqual(noted, ["rolled back"])


class BrokenTests(DatabaseTestCase):
    """Connections and interrupts that fail."""

    async def test_cannot_be_rolled_back(self) -> None:
        """A connection that cannot be rolled back is closed, and the next use opens another."""

        def break_it(connection: Any) -> None:
            connection._connection.close()
            raise KeyError

        with self.assertRaises(KeyError):
            await self.pool.runWithConnection(break_it)
        self.assertEqual(len(self.flushLoggedErrors(sqlite3.ProgrammingError)), 1)
        self.assertEqual(self.pool.connections, {})
        self.assertEqual(await self.rows(), [])

    async def test_cannot_be_rolled_back_with_reconnect(self) -> None:
        """So it is with `cp_reconnect`, where adbapi closes it."""
        self.pool = self.open(cp_reconnect=True)

        def break_it(connection: Any) -> None:
            connection._connection.close()
            raise KeyError

        with self.assertRaises(KeyError):
            await self.pool.runWithConnection(break_it)
        self.flushLoggedErrors(sqlite3.ProgrammingError, adbapi.ConnectionLost)
        self.assertEqual(await self.rows(), [])

    async def test_lost_while_it_is_cancelled(self) -> None:
        """A cancel of a use whose connection is lost waits for its end."""
        go_on, lost, looked = threading.Event(), Deferred[None](), Deferred[None]()
        self.addCleanup(go_on.set)
        look = self.pool.interruptible_of

        def tell() -> None:
            if not looked.called:
                looked.callback(None)

        def looking(thread: int) -> Any:
            reactor.callFromThread(tell)
            return look(thread)

        self.patch(self.pool, "interruptible_of", looking)

        def lose(connection: Any) -> None:
            connection._pool.disconnect(connection._connection)
            reactor.callFromThread(lost.callback, None)
            go_on.wait()
            raise KeyError

        using = self.pool.runWithConnection(lose)
        await lost
        using.cancel()
        await looked
        go_on.set()
        with self.assertRaises(KeyError):
            await using
        self.flushLoggedErrors(sqlite3.ProgrammingError)
        # adbapi's own words for a connection that the pool does not have any more.
        self.flushLoggedErrors(Exception)
        self.assertEqual(await self.rows(), [])

    async def test_interrupt_fails(self) -> None:
        """An interrupt that raises is logged, and tried again."""
        failures = [OSError("the network"), OSError("the network")]
        interrupt = SQLite.interrupt

        def failing(adapter: SQLite) -> None:
            if failures:
                raise failures.pop()
            interrupt(adapter)

        query = await self.endless()
        with patch.object(SQLite, "interrupt", failing):
            query.cancel()
            with self.assertRaises(CancelledError):
                await query
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)

    async def test_next_use_waits_for_the_interrupt(self) -> None:
        """While an interrupt is under way, its connection is not even rolled back."""
        go_on, raised = threading.Event(), Deferred[None]()
        self.addCleanup(go_on.set)
        noted = self.note_rollbacks()
        interrupt = SQLite.interrupt

        def slow(adapter: SQLite) -> None:
            interrupt(adapter)
            go_on.wait()

        def interact(transaction: Any) -> None:
            try:
                transaction.execute(ENDLESS)
            finally:
                reactor.callFromThread(raised.callback, None)

        with patch.object(SQLite, "interrupt", slow):
            begun = self.begun
            interaction = self.pool.runInteraction(interact)
            following = self.rows()
            await begun
            interaction.cancel()
            await raised
            # More than enough for a rollback; and the reactor runs: it is not what waits.
            for _ in range(20):
                await deferLater(reactor, 0.002)
            self.assertEqual(noted, [])
            go_on.set()
            with self.assertRaises(CancelledError):
                await interaction
        self.assertEqual(await following, [])


class Blocker:
    """A connection of a driver that nobody knows: its statements block."""

    def __init__(self, begun: Callable[[], None]) -> None:
        self.begun = begun
        self.stopped = threading.Event()

    def execute(self, statement: str) -> None:
        """Block until it is stopped."""
        self.begun()
        self.stopped.wait()
        raise InterruptedError

    def cursor(self) -> "Blocker":
        """This is one."""
        return self

    def commit(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    rollback = fetchall = commit


class KnownBlocker(Blocker):
    """The same, but for the adapter that a user has registered for it."""


@implementer(IInterruptible)
@define
class BlockerAdapter:
    """How the user stops it."""

    connection: KnownBlocker

    def interrupt(self) -> None:
        """Have it raise."""
        self.connection.stopped.set()

    def is_interruption(self, error: Exception) -> bool:
        """What it raises."""
        return isinstance(error, InterruptedError)


registerAdapter(BlockerAdapter, KnownBlocker, IInterruptible)

# What a driver's module has.
apilevel, threadsafety = "2.0", 2


def connect(kind: type[Blocker], begun: Callable[[], None]) -> Blocker:
    """Make a connection of this kind."""
    return kind(begun)


class DriverTests(TestCase):
    """Drivers other than those that are known; this module is one."""

    timeout = 20

    def pool(self, kind: type[Blocker]) -> tuple[ConnectionPool, Deferred[None]]:
        """A pool of such connections, and what tells that a statement blocks."""
        begun: Deferred[None] = Deferred()

        def tell() -> None:
            reactor.callFromThread(begun.callback, None)

        pool = ConnectionPool(__name__, kind, tell, cp_reactor=reactor)
        pool.start()
        self.addCleanup(pool.close)
        return pool, begun

    async def test_registered(self) -> None:
        """A statement of a driver that a user has registered is stopped."""
        pool, begun = self.pool(KnownBlocker)
        query = pool.runQuery("...")
        await begun
        query.cancel()
        with self.assertRaises(CancelledError):
            await query

    async def test_unknown(self) -> None:
        """A driver that nobody has registered is refused, with what to do."""
        pool, _ = self.pool(Blocker)
        with self.assertRaisesRegex(TypeError, r"registerAdapter\(YourAdapter, tests.*Blocker, "):
            await pool.runQuery("...")


class LookUpTests(SynchronousTestCase):
    """Which adapter is used for which connection."""

    def test_subclass(self) -> None:
        """A subclass of a known connection is known."""

        class Own(sqlite3.Connection):
            pass

        connection = sqlite3.connect(":memory:", factory=Own)
        self.addCleanup(connection.close)
        self.assertIsInstance(interruptible(connection), SQLite)

    def test_old_psycopg(self) -> None:
        """Where psycopg has no `cancel_safe`, it is its `cancel` that is called."""
        called: list[str] = []

        class Old:
            def cancel(self) -> None:
                called.append("cancel")

        class New(Old):
            def cancel_safe(self) -> None:
                called.append("cancel_safe")

        PostgreSQL(Old()).interrupt()
        PostgreSQL(New()).interrupt()
        self.assertEqual(called, ["cancel", "cancel_safe"])


class MissingDriverTests(SynchronousTestCase):
    """Drivers that are not installed."""

    def test_psycopg(self) -> None:
        """Without psycopg the error names the extra that brings it."""
        with patch.dict("sys.modules", {"psycopg": None}):
            error = self.assertRaises(ImportError, ConnectionPool, "psycopg", cp_reactor=reactor)
        self.assertIn("pip install cancelweb[postgres]", str(error))

    def test_any_other(self) -> None:
        """Of any other driver it is Python's own."""
        error = self.assertRaises(ModuleNotFoundError, ConnectionPool, "no_driver")
        self.assertEqual(error.name, "no_driver")


def open_cursors() -> list[sqlite3.Cursor]:
    """All cursors of SQLite in this process that are open."""
    found = []
    for each in gc.get_objects():
        if isinstance(each, sqlite3.Cursor):
            with contextlib.suppress(sqlite3.ProgrammingError):
                each.fetchone()
                found.append(each)
    return found


def cpu_seconds() -> float:
    """The processor time of this process, over all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def insert_one(transaction: Any) -> int:
    """An interaction."""
    transaction.execute("INSERT INTO t VALUES (1)")
    return 1


def is_cancelled(failure: Any) -> bool:
    """An errback for cancelled queries."""
    return failure.check(CancelledError) is not None
