"""How a pool finds out how a driver's statements are stopped.

What belongs here: adapters, users' own too, and drivers that are missing. What does not: what the
two drivers do that are known.
"""

import sqlite3
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from attrs import define
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, formatEvent
from twisted.python.components import registerAdapter
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from cancelweb._stoppable.adapters import interruptible
from cancelweb._stoppable.mysql import Control
from cancelweb._stoppable.postgresql import psycopg, psycopg2
from cancelweb._stoppable.sqlite import SQLite
from cancelweb.database import ConnectionPool, IInterruptible

from .._logs import log_events, of_cancelweb

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class Blocker:
    """A connection of a driver that is not registered, whose statements block."""

    def __init__(self, begun: Callable[[], None]) -> None:
        self.begun = begun
        self.stopped = threading.Event()

    def execute(self, statement: str) -> None:
        """Block until the connection is stopped, and raise."""
        self.begun()
        self.stopped.wait()
        raise InterruptedError

    def cursor(self) -> "Blocker":
        """Return the connection, which is its own cursor."""
        return self

    def commit(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    rollback = fetchall = commit


class KnownBlocker(Blocker):
    """A connection whose statements block, and for which an adapter is registered."""


@implementer(IInterruptible)
@define
class BlockerAdapter:
    """The user's adapter, which stops a blocking connection."""

    connection: KnownBlocker

    def interrupt(self) -> None:
        """Have the blocked statement raise."""
        self.connection.stopped.set()

    def is_interruption(self, error: Exception) -> bool:
        """Whether the error is the one that a stopped statement raises."""
        return isinstance(error, InterruptedError)


registerAdapter(BlockerAdapter, KnownBlocker, IInterruptible)

# What a driver's module has.
apilevel, threadsafety = "2.0", 2


def connect(kind: type[Blocker], begun: Callable[[], None]) -> Blocker:
    """Make a connection of this kind."""
    return kind(begun)


class DriverTests(TestCase):
    """Drivers that cancelweb does not know, such as this module."""

    timeout = 20

    def pool(self, kind: type[Blocker]) -> tuple[ConnectionPool, Deferred[None]]:
        """A pool of connections of this kind, and a Deferred that fires when a statement blocks."""
        begun: Deferred[None] = Deferred()

        def tell() -> None:
            reactor.callFromThread(begun.callback, None)

        pool = ConnectionPool(__name__, kind, tell, cp_reactor=reactor)
        pool.start()
        self.addCleanup(pool.close)
        return pool, begun

    async def test_registered(self) -> None:
        """A statement of a driver for which a user has registered an adapter is stopped."""
        pool, begun = self.pool(KnownBlocker)
        query = pool.runQuery("...")
        await begun
        query.cancel()
        with self.assertRaises(CancelledError):
            await query

    async def test_unknown(self) -> None:
        """A driver without an adapter is refused, with how to register one, and disconnected."""
        pool, _ = self.pool(Blocker)
        with self.assertRaisesRegex(TypeError, r"registerAdapter\(YourAdapter, tests.*Blocker, "):
            await pool.runQuery("...")
        self.assertEqual(pool.connections, {})


class LookUpTests(SynchronousTestCase):
    """Which adapter is used for which connection."""

    def test_subclass(self) -> None:
        """A connection of a subclass of a known class has the adapter of that class."""

        class Own(sqlite3.Connection):
            pass

        connection = sqlite3.connect(":memory:", factory=Own)
        self.addCleanup(connection.close)
        self.assertIsInstance(interruptible(connection, Control(list)), SQLite)

    def test_old_psycopg(self) -> None:
        """A psycopg connection without `cancel_safe` is interrupted with `cancel`."""
        called: list[str] = []

        class Old:
            cursor_factory = object

            def cancel(self) -> None:
                called.append("cancel")

        class New(Old):
            def cancel_safe(self) -> None:
                called.append("cancel_safe")

        psycopg(Old()).interrupt()
        psycopg(New()).interrupt()
        self.assertEqual(called, ["cancel", "cancel_safe"])

    def test_psycopg2_without_libpq(self) -> None:
        """Where psycopg2 keeps libpq to itself, its own `cancel` is used, and a warning says so."""
        connection = SimpleNamespace(cursor_factory=object, cancel=object())
        driver = SimpleNamespace(__file__=None)
        events = log_events(self)
        with patch.dict("sys.modules", {"psycopg2._psycopg": driver}):
            for _ in range(2):
                self.assertIs(psycopg2(connection).cancel, connection.cancel)
        (event,) = of_cancelweb(events, LogLevel.warn)
        self.assertIn("psycopg2 keeps libpq to itself", formatEvent(event))


class MissingDriverTests(SynchronousTestCase):
    """Drivers that are not installed."""

    def test_psycopg(self) -> None:
        """Without psycopg, the ImportError names the extra that installs it."""
        with patch.dict("sys.modules", {"psycopg": None}):
            error = self.assertRaises(ImportError, ConnectionPool, "psycopg", cp_reactor=reactor)
        self.assertIn("pip install 'cancelweb[postgres]'", str(error))

    def test_of_mysql(self) -> None:
        """Without a driver of MySQL, the ImportError names what installs it."""
        for driver, package in [("pymysql", "'cancelweb[mysql]'"), ("MySQLdb", "mysqlclient")]:
            with patch.dict("sys.modules", {driver: None}):
                error = self.assertRaises(ImportError, ConnectionPool, driver, cp_reactor=reactor)
            self.assertIn(f"pip install {package}", str(error))

    def test_any_other(self) -> None:
        """For any other missing driver, the error is Python's ModuleNotFoundError."""
        error = self.assertRaises(ModuleNotFoundError, ConnectionPool, "no_driver")
        self.assertEqual(error.name, "no_driver")
