"""How a pool finds out how a driver's statements are stopped.

What belongs here: adapters, users' own too, and drivers that are missing. What does not: what the
two drivers do that are known.
"""

import sqlite3
import threading
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from attrs import define
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.components import registerAdapter
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from cancelweb._stoppable.drivers import PostgreSQL, SQLite, interruptible
from cancelweb.database import ConnectionPool, IInterruptible

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


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
