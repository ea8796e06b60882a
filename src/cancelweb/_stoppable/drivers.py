"""Stop a running statement of SQLite or PostgreSQL, and the interface that all adapters have.

`database` decides when, `mysql` does it for MySQL. This module imports no driver but Python's own.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from sqlite3 import SQLITE_INTERRUPT, Cursor
from typing import Any

from attrs import frozen
from zope.interface import Interface, implementer

from .cursors import checking_class
from .libpq import cancel_request

QUERY_CANCELED = "57014"
"""The SQLSTATE of a statement that was cancelled (PostgreSQL's manual, appendix A)."""


class IInterruptible(Interface):
    """A connection of a database driver whose running statement can be stopped.

    Register an adapter from the connections of your own driver with
    ``twisted.python.components.registerAdapter(factory, connection_class, IInterruptible)``; the
    factory is called with each new connection, in the thread that uses it.
    """

    def interrupt() -> None:
        """Stop the statement that the connection runs, if any; may block.

        Called in a separate thread while another thread uses the connection. Most drivers have one
        function that allows this. It is called again, after a pause, as long as the other thread
        uses the connection. The interrupt must be over when this method returns: it must not reach
        what the connection is used for next. What this method raises is logged.
        """

    def is_interruption(error: Exception) -> bool:  # noqa: N805 - of an interface
        """Whether the driver raises this error for a statement that was stopped."""


@implementer(IInterruptible)
@frozen
class SQLite:
    """A connection of `sqlite3`."""

    connection: Any

    def interrupt(self) -> None:
        """See `IInterruptible.interrupt`."""
        self.connection.interrupt()

    def is_interruption(self, error: Exception) -> bool:
        """See `IInterruptible.is_interruption`."""
        return getattr(error, "sqlite_errorcode", None) == SQLITE_INTERRUPT

    def end_statements(self) -> None:
        """After an interrupt, close all cursors if one of them still has unread rows.

        As long as one has, SQLite interrupts everything on the connection, even the rollback.
        It also keeps the file locked after the connection was closed. See sqlite3_interrupt and
        sqlite3_close_v2 in its manual.
        """
        try:
            self.connection.execute("SELECT 1").close()
        except Exception as error:
            if self.is_interruption(error):
                for each in gc.get_referrers(self.connection):
                    if isinstance(each, Cursor):
                        each.close()


@implementer(IInterruptible)
@frozen
class PostgreSQL:
    """A connection of psycopg 3 or psycopg2.

    Attributes:
        connection: the driver's connection.
        cancel: stops its statement; returns when the server has sent the signal.
    """

    connection: Any
    cancel: Callable[[], object]

    def interrupt(self) -> None:
        """See `IInterruptible.interrupt`."""
        self.cancel()

    def is_interruption(self, error: Exception) -> bool:
        """See `IInterruptible.is_interruption`."""
        sqlstate = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        return sqlstate == QUERY_CANCELED


def psycopg(connection: Any) -> PostgreSQL:
    """The adapter of a connection of psycopg 3."""
    _use_checking_cursors(connection)
    # cancel_safe, from psycopg 3.2 on, encrypts the request if the connection is encrypted.
    return PostgreSQL(connection, getattr(connection, "cancel_safe", connection.cancel))


def psycopg2(connection: Any) -> PostgreSQL:
    """The adapter of a connection of psycopg2."""
    _use_checking_cursors(connection)
    return PostgreSQL(connection, cancel_request(connection))


def _use_checking_cursors(connection: Any) -> None:
    # Cursors check for a cancel, unless a factory is given. A psycopg2 connection may have no
    # factory; some subclasses then use a class of their own.
    kind = connection.cursor_factory or type(connection.cursor())
    checks = checking_class(kind)
    if checks is not kind:
        connection.cursor_factory = checks
