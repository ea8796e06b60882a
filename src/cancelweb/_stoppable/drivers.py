"""How a statement is stopped in the database: one adapter for each kind of connection.

When it is stopped, and what follows, is for `database`. No driver is imported here.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from sqlite3 import SQLITE_INTERRUPT, Cursor
from typing import Any

from attrs import frozen
from zope.interface import Interface, implementer

from .cursors import asking

QUERY_CANCELED = "57014"
"""The SQLSTATE of a statement that was cancelled (PostgreSQL's manual, appendix A)."""


class IInterruptible(Interface):
    """A connection of a database driver whose running statement can be stopped.

    Register an adapter from the connections of your own driver with
    ``twisted.python.components.registerAdapter(factory, connection_class, IInterruptible)``; the
    factory is called with the connection.
    """

    def interrupt() -> None:
        """Stop the statement that the connection runs, if it runs one; may block.

        Called in a thread of its own, while the connection is in use in another: most drivers have
        one function that may be called so. Called again, after a pause, for as long as what uses
        the connection goes on. When it returns, it must be over: nothing of it may reach what the
        connection is used for next. What it raises is logged.
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
        """After an interrupt, end what is half read by cursors that somebody still has.

        For as long as there is one, SQLite interrupts all that is run on the connection, the
        rollback too, and keeps the file locked even when the connection has been closed
        (sqlite3_interrupt and sqlite3_close_v2 in its manual).
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
    """A connection of psycopg 3 or psycopg2."""

    connection: Any

    def ask_first(self) -> None:
        """Have all cursors ask that the connection makes from now on, if it is given no factory."""
        # That of psycopg2 has none of its own, and some kinds of it make a kind of their own then.
        kind = self.connection.cursor_factory or type(self.connection.cursor())
        asks = asking(kind)
        if asks is not kind:
            self.connection.cursor_factory = asks

    def interrupt(self) -> None:
        """See `IInterruptible.interrupt`: returns when the server has sent the signal."""
        # From psycopg 3.2 on there is one that is encrypted where the connection is.
        getattr(self.connection, "cancel_safe", self.connection.cancel)()

    def is_interruption(self, error: Exception) -> bool:
        """See `IInterruptible.is_interruption`."""
        sqlstate = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        return sqlstate == QUERY_CANCELED


# By name: a driver that nobody uses is not imported.
OURS: dict[str, Callable[[Any], Any]] = {
    "sqlite3.Connection": SQLite,
    "psycopg.Connection": PostgreSQL,
    "psycopg2.extensions.connection": PostgreSQL,
}


def interruptible(connection: object) -> Any:
    """The `IInterruptible` of a connection; one that a user has registered comes first.

    Raises:
        TypeError: nothing is known of this kind of connection; says how to register it.
    """
    found = IInterruptible(connection, None)
    if found is not None:
        return found
    for name in _names(connection):
        if name in OURS:
            return OURS[name](connection)
    kind = next(_names(connection))
    raise TypeError(
        f"cancelweb cannot stop the statements of a {kind}: no adapter is registered for it. "
        f"Register one: twisted.python.components.registerAdapter(YourAdapter, {kind}, "
        "cancelweb.database.IInterruptible)"
    )


def _names(connection: object) -> Iterator[str]:
    return (f"{each.__module__}.{each.__qualname__}" for each in type(connection).__mro__)
