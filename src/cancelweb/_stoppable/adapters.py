"""What differs between drivers: which adapter stops a connection's statements, what to install.

What stops a statement is in `sqlite`, `postgresql` and `mysql`. This module imports no driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from attrs import define, field

from .interruptible import IInterruptible
from .mysql import Control, MySQL, mysql
from .postgresql import psycopg, psycopg2
from .sqlite import SQLite

# By name, so that an unused driver is not imported.
OURS: dict[str, Callable[[Any, Control], Any]] = {
    "sqlite3.Connection": lambda connection, _: SQLite(connection),
    "psycopg.Connection": lambda connection, _: psycopg(connection),
    "psycopg2.extensions.connection": lambda connection, _: psycopg2(connection),
    "pymysql.connections.Connection": partial(mysql, "pymysql"),
    "MySQLdb.connections.Connection": partial(mysql, "MySQLdb"),
}

MISSING = {
    "MySQLdb": "mysqlclient",
    "psycopg": "'cancelweb[postgres]'",
    "pymysql": "'cancelweb[mysql]'",
}
"""What to install if a driver's module is missing."""


@contextmanager
def naming_what_is_missing(driver: str) -> Iterator[None]:
    """If a known driver is missing, raise an ImportError that says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in MISSING:
            raise
        install = f"pip install {MISSING[error.name]}"
        raise ImportError(
            f"ConnectionPool({driver!r}) needs {error.name}: {install}", name=error.name
        ) from error


def interruptible(connection: object, control: Control) -> Any:
    """Make the `IInterruptible` of a new connection, in the thread that uses it.

    An adapter registered by the user comes first. The cursors of a known driver check for a cancel
    from now on.

    Raises:
        TypeError: this kind of connection is unknown. The message says how to register an adapter.
    """
    found = IInterruptible(connection, None)
    if found is not None:
        return found
    for name in _names(connection):
        if name in OURS:
            return OURS[name](connection, control)
    kind = next(_names(connection))
    raise TypeError(
        f"cancelweb cannot stop the statements of a {kind}: no adapter is registered for it. "
        f"Register one: twisted.python.components.registerAdapter(YourAdapter, {kind}, "
        "cancelweb.database.IInterruptible)"
    )


def _names(connection: object) -> Iterator[str]:
    return (f"{each.__module__}.{each.__qualname__}" for each in type(connection).__mro__)


@define(eq=False)
class Adapters:
    """The `IInterruptible` of each connection of a pool, made once in the connection's thread."""

    _control: Control
    _by_thread: dict[int, Any] = field(factory=dict, init=False)

    def begin_use(self, thread: int, connection: Any) -> None:
        """Make the adapter of this thread's connection, unless there is one.

        Raises:
            TypeError: this kind of connection is unknown.
        """
        if thread not in self._by_thread:
            self._by_thread[thread] = interruptible(connection, self._control)
        adapter = self._by_thread[thread]
        if isinstance(adapter, MySQL):
            adapter.begin_use()

    def of(self, thread: int) -> Any:
        """The adapter of this thread's connection, or None if that connection was lost."""
        return self._by_thread.get(thread)

    def forget(self, thread: int) -> None:
        """The connection of this thread was closed."""
        self._by_thread.pop(thread, None)

    def close(self) -> None:
        """All connections of the pool were closed."""
        self._by_thread.clear()
        self._control.close()
