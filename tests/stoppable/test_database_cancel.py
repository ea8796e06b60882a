"""Queries that stop in the database: shown with SQLite, in a real file.

What belongs here: a cancel at every moment that does not depend on the driver. What does not:
PostgreSQL, and what goes wrong.
"""

import contextlib
import gc
import resource
import sqlite3
import threading
from types import SimpleNamespace
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cancelweb._stoppable import uses
from cancelweb._stoppable.adbapi import Connection
from cancelweb.database import Committed

from ._databases import ENDLESS, DatabaseTestCase, insert_one

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class CancelTests(DatabaseTestCase):
    """Queries that are cancelled."""

    async def test_cpu_is_free(self) -> None:
        """A query without end that is cancelled leaves the process idle."""
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
        """A cancelled query fires after its rollback, however often it is cancelled."""
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
        """A query that is cancelled while it waits for a thread fails at once, and never begins."""
        running = await self.endless()
        queued = self.pool.runOperation("INSERT INTO t VALUES (1)")
        queued.cancel()
        self.failureResultOf(queued, CancelledError)
        running.cancel()
        with self.assertRaises(CancelledError):
            await running
        self.assertEqual(await self.rows(), [])

    async def test_rolled_back(self) -> None:
        """What a cancelled interaction has written is rolled back."""

        def interact(transaction: Any) -> None:
            transaction.execute("INSERT INTO t VALUES (1)")
            transaction.execute(ENDLESS)

        begun = self.begun
        interaction = self.pool.runInteraction(interact)
        await self.assert_rolled_back(interaction, begun)

    async def test_with_connection(self) -> None:
        """What a cancelled `runWithConnection` has written is rolled back."""

        def use(connection: Any) -> None:
            connection.execute("INSERT INTO t VALUES (1)")
            connection.execute(ENDLESS)

        begun = self.begun
        using = self.pool.runWithConnection(use)
        await self.assert_rolled_back(using, begun)

    async def test_between_two_statements(self) -> None:
        """After a cancel between statements, the next of a cursor of sqlite3 is interrupted."""
        go_on, between = threading.Event(), Deferred[None]()
        self.addCleanup(go_on.set)

        def use(connection: Any) -> None:
            cursor = connection.cursor(sqlite3.Cursor)
            cursor.execute("INSERT INTO t VALUES (1)")
            reactor.callFromThread(between.callback, None)
            go_on.wait()
            cursor.execute(ENDLESS)

        using = self.pool.runWithConnection(use)
        await between
        using.cancel()
        go_on.set()
        # Not when the statement tells that it has begun: an interrupt may come before that.
        with self.assertRaises(CancelledError):
            await using
        self.assertEqual(await self.rows(), [])

    async def test_error_that_is_not_the_cancels(self) -> None:
        """An error that a cancelled function raises itself is the failure."""

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
        """A cancelled function that catches the interruption and returns is rolled back."""

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
        """An interaction cancelled during its commit is committed, and fails with Committed."""
        go_on, committing = threading.Event(), Deferred[None]()
        self.addCleanup(go_on.set)

        class Committing(Connection):
            """A connection that waits before it commits."""

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
        """An interaction that is cancelled while its thread connects never begins."""
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
        """After a storm of cancels, the pool answers and has not outgrown its size."""
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
        """A cancelled query and a failed one leave no open cursor to the garbage collector."""
        # Freeing one there would wait for the connection's next statement, and the reactor could
        # not cancel that statement meanwhile.
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
        """A query that is cancelled in the turn in which its pool is closed is stopped."""
        self.pool = self.make()
        query = await self.endless()
        query.cancel()
        self.pool.close()
        with self.assertRaises(CancelledError):
            await query


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


def is_cancelled(failure: Any) -> bool:
    """An errback for cancelled queries."""
    return failure.check(CancelledError) is not None


class PauseTests(SynchronousTestCase):
    """The pauses between two interrupts of a use."""

    def pauses(self, *durations: float) -> list[float]:
        """The pauses after interrupts that take so many seconds each."""
        clock, waited, left = Clock(), list[float](), list(durations)

        def wait(seconds: float) -> bool:
            waited.append(seconds)
            return not left

        connection = SimpleNamespace(interrupt=lambda: clock.advance(left.pop(0)))
        use = uses.Use(None, SimpleNamespace(interruptible_of=lambda thread: connection))
        use._thread = 1
        self.patch(use, "_over", SimpleNamespace(wait=wait))
        self.patch(uses, "monotonic", clock.seconds)
        use._interrupt()
        return waited

    def test_fast(self) -> None:
        """After an interrupt that costs nothing, the next one comes soon."""
        self.assertEqual(self.pauses(0, 0, 0, 0, 0), [0.01, 0.02, 0.04, 0.05, 0.05])

    def test_slow(self) -> None:
        """A pause is as long as the interrupt before it took, or as long as is reasonable."""
        self.assertEqual(self.pauses(0.125, 0, 4, 0), [0.125, 0.02, 0.25, 0.08])
