"""Connections and interrupts that fail: shown with SQLite, in a real file.

What belongs here: what is broken by a test. What does not: a server that is lost, which has
`real.databases.test_postgres`.
"""

import sqlite3
import threading
from typing import Any

from twisted.enterprise import adbapi
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from cancelweb._stoppable.sqlite import SQLite

from ._databases import ENDLESS, DatabaseTestCase

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


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
        """A broken connection is replaced for the next use, also with `cp_reconnect`."""
        self.pool = self.open(cp_reconnect=True)

        def break_it(connection: Any) -> None:
            connection._connection.close()
            raise KeyError

        with self.assertRaises(KeyError):
            await self.pool.runWithConnection(break_it)
        self.flushLoggedErrors(sqlite3.ProgrammingError, adbapi.ConnectionLost)
        self.assertEqual(await self.rows(), [])

    async def test_lost_while_it_is_cancelled(self) -> None:
        """A cancelled use whose connection is lost fails with its own error when it ends."""
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
        self.patch(SQLite, "interrupt", failing)
        query.cancel()
        with self.assertRaises(CancelledError):
            await query
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)

    async def test_next_use_waits_for_the_interrupt(self) -> None:
        """A connection is not rolled back while it is being interrupted."""
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

        self.patch(SQLite, "interrupt", slow)
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
