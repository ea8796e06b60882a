"""What is put in place of adbapi's own connections and transactions, in a pool's threads.

The pool itself is in `database`; what each driver needs, in `drivers`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.enterprise import adbapi

from .._twisted.access import driver_connection_of, pool_of
from .._twisted.checks import check
from .cursors import asking, checking
from .drivers import SQLite, interruptible

CAN_STOP = check("database")
"""Whether a query can be stopped at all: all of this depends on names of adbapi."""


class Connection(adbapi.Connection):
    """A connection that is closed when it cannot be rolled back: the next use opens another.

    Before anything of the driver's connection is used, it asks whether this use was cancelled.
    """

    def __getattr__(self, name: str) -> Any:
        checking.get()()
        return super().__getattr__(name)

    def cursor(self, *args: Any, **kw: Any) -> Any:
        """See the driver's; one that asks also where psycopg2 is told which of its own to make."""
        checking.get()()
        if kw.get("cursor_factory") is not None:
            kw["cursor_factory"] = asking(kw["cursor_factory"])
        return super().__getattr__("cursor")(*args, **kw)

    def rollback(self) -> None:
        """Roll back, or close.

        Raises:
            Exception: whatever the driver has raised, or `adbapi.ConnectionLost`.
        """
        connection = driver_connection_of(self)
        used = interruptible(connection)
        if isinstance(used, SQLite):
            used.end_statements()
        try:
            super().rollback()
        except adbapi.ConnectionLost:
            raise
        except Exception:
            pool_of(self).disconnect(connection)
            raise


class Transaction(adbapi.Transaction):
    """A transaction: asks, before anything of the driver's cursor is used, as a connection does."""

    def __getattr__(self, name: str) -> Any:
        checking.get()()
        return super().__getattr__(name)


def interact(interaction: Callable[..., Any], transaction: Any, *args: Any, **kw: Any) -> Any:
    """Call; if it fails, close its cursor, which adbapi does only where it succeeds.

    The failure's traceback refers to the cursor. SQLite's, if it is open, takes the connection's
    mutex when it is freed, and so blocks whichever thread the garbage collector happens to run in,
    the reactor's too, for as long as the connection's next statement takes.
    """
    try:
        return interaction(transaction, *args, **kw)
    except BaseException:
        # It may have been closed before, or be lost with its connection.
        with suppress(Exception):
            transaction.close()
        raise
