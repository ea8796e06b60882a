"""The connections and transactions that replace adbapi's own in a pool's threads.

`database` has the pool; `adapters` tells what stops the statements of each driver.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from twisted.enterprise import adbapi

from .._twisted.access import driver_connection_of, pool_of
from .._twisted.checks import check
from .commits import watching
from .cursors import Checking, checking, checking_class, nothing
from .mysql import MySQL
from .sqlite import SQLite

CAN_STOP = check("database")
"""Whether queries can be stopped at all: that depends on private names of adbapi."""

SEEN = {"execute", "executemany", "in_transaction", "info", "status", "total_changes"}
"""Attributes of a driver's connection that commit nothing, or that its cursors notice."""

READING = {
    *("arraysize", "description", "fetchall", "fetchmany", "fetchone", "lastrowid", "mogrify"),
    *("nextset", "rowcount", "rownumber", "statusmessage"),
}
"""Attributes of a driver's cursor that begin nothing."""


class Connection(adbapi.Connection):
    """A connection that is closed if it cannot be rolled back; the next use opens another.

    Each access to the driver's connection first checks whether this use was cancelled.
    """

    def __getattr__(self, name: str) -> Any:
        checking.get()()
        if name not in SEEN:
            watching.get().unseen()
        return super().__getattr__(name)

    def cursor(self, *args: Any, **kw: Any) -> Any:
        """See the driver's ``cursor``. A class that is given to it is checked, too."""
        checking.get()()
        named = {name: _checked(value) for name, value in kw.items()}
        cursor = super().__getattr__("cursor")(*map(_checked, args), **named)
        used = self._adapter()
        if isinstance(used, MySQL):
            used.cursors.add(cursor)
        if not isinstance(cursor, Checking):
            watching.get().unseen()
        return cursor

    def rollback(self) -> None:
        """Roll back, or close the connection if that fails.

        Raises:
            Exception: whatever the driver raised, or `adbapi.ConnectionLost`.
        """
        used = self._adapter()
        watching.get().roll_back()
        checked = checking.set(nothing)
        try:
            if isinstance(used, (MySQL, SQLite)):
                used.end_statements()
            super().rollback()
        except adbapi.ConnectionLost:
            raise
        except Exception:
            pool_of(self).disconnect(driver_connection_of(self))
            raise
        finally:
            checking.reset(checked)

    def _adapter(self) -> Any:
        pool = pool_of(self)
        return pool.interruptible_of(pool.threadID())


def _checked(value: Any) -> Any:
    is_cursor_class = isinstance(value, type) and hasattr(value, "executemany")
    return checking_class(value) if is_cursor_class else value


class Transaction(adbapi.Transaction):
    """A transaction whose every access to the driver's cursor checks for a cancel first."""

    _has_closed = False

    def close(self) -> None:
        """Close the cursor once: `interact` does that before adbapi."""
        if not self._has_closed:
            self._has_closed = True
            super().close()

    def __getattr__(self, name: str) -> Any:
        checking.get()()
        value = super().__getattr__(name)
        if name in ("execute", "executemany"):
            return value if isinstance(value.__self__, Checking) else partial(_watched, value)
        if name not in READING:
            watching.get().unseen()
        return value


def _watched(execute: Callable[..., Any], *args: Any, **kw: Any) -> Any:
    with watching.get().statement(args[0] if args else None):
        return execute(*args, **kw)


def interact(interaction: Callable[..., Any], transaction: Any, *args: Any, **kw: Any) -> Any:
    """Call an interaction, and close its cursor, while the use of the connection can be stopped.

    adbapi closes it only later, when the use is over, and only on success. Closing it may take
    long: MySQL's drivers then read all rows that are left. After a failure, the traceback refers to
    the cursor. When an open SQLite cursor is freed, it takes the connection's mutex. The garbage
    collector may free it in any thread, the reactor's included, and would block that thread for as
    long as the connection's next statement takes.
    """
    try:
        result = interaction(transaction, *args, **kw)
        checking.get()()
        transaction.close()
        return result
    except BaseException:
        # The cursor may already be closed, or lost with its connection.
        with suppress(Exception):
            transaction.close()
        raise
