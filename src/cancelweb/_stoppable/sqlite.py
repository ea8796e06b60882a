"""Stop a running statement of SQLite, and check for a cancel, also in a wait for a lock.

SQLite cannot interrupt a statement that waits for another connection's lock. It looks for the lock
ever more rarely, in the end each 0.1 s, so that others, which look more often, may take it again
and again: "database is locked". So these wait in short pieces, each of which begins anew.
"""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from attrs import frozen
from zope.interface import implementer

from .commits import is_in_autocommit_mode, watching
from .cursors import Checking, checking
from .interruptible import IInterruptible

PIECE = 0.05
"""Seconds that a statement waits for a lock before it checks for a cancel."""

T = TypeVar("T")


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
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT

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
                    if isinstance(each, sqlite3.Cursor):
                        each.close()


class SQLiteCursor(Checking, sqlite3.Cursor):
    """A cursor of `sqlite3` that checks for a cancel."""

    __slots__ = ()

    def execute(self, *args: Any) -> Any:
        """See `sqlite3.Cursor.execute`."""
        return _in_pieces(self.connection, partial(super().execute, *args))

    def executemany(self, *args: Any) -> Any:
        """See `sqlite3.Cursor.executemany`.

        The first row waits for the lock, or in autocommit mode each row does.
        """
        if is_in_autocommit_mode(self.connection):
            with _in_one_piece(self.connection):
                return super().executemany(*args)
        rows = [_Rows(each) for each in args[1:2]]
        run = partial(super().executemany, *args[:1], *rows, *args[2:])
        return _in_pieces(self.connection, run, lambda: all(each.can_repeat for each in rows))

    def executescript(self, *args: Any) -> Any:
        """See `sqlite3.Cursor.executescript`."""
        checking.get()()
        watching.get().unseen()
        with _in_one_piece(self.connection):
            return super().executescript(*args)


class SQLiteConnection(sqlite3.Connection):
    """A connection of `sqlite3` whose cursors check for a cancel, unless a user's factory is given.

    The shortcuts are overridden because those of `sqlite3` make a cursor without ``cursor``.

    Attributes:
        patience: the seconds to wait for a lock, or None if SQLite does all the waiting.
    """

    __slots__ = ("patience",)

    patience: float | None

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        [(milliseconds,)] = sqlite3.Cursor(self).execute("PRAGMA busy_timeout")
        self.patience = milliseconds / 1000
        _set_timeout(self, min(self.patience, PIECE))

    def cursor(self, factory: Any = SQLiteCursor) -> Any:
        """See `sqlite3.Connection.cursor`."""
        if factory is not SQLiteCursor and self.patience is not None:
            # Its statements wait for locks as SQLite does.
            _set_timeout(self, self.patience)
            self.patience = None
        return super().cursor(factory)

    def execute(self, *args: Any) -> Any:
        """See `sqlite3.Connection.execute`."""
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> Any:
        """See `sqlite3.Connection.executemany`."""
        return self.cursor().executemany(*args)

    def executescript(self, *args: Any) -> Any:
        """See `sqlite3.Connection.executescript`."""
        return self.cursor().executescript(*args)

    def commit(self) -> None:
        """See `sqlite3.Connection.commit`."""
        watching.get().unseen()
        _in_pieces(self, super().commit)

    def __exit__(self, *error: Any) -> Any:
        """See `sqlite3.Connection`, which does not call `commit`."""
        watching.get().unseen()
        with _in_one_piece(self):
            return super().__exit__(*error)

    def blobopen(self, *args: Any, **kw: Any) -> Any:
        """See `sqlite3.Connection.blobopen`."""
        watching.get().unseen()
        with _in_one_piece(self):
            return super().blobopen(*args, **kw)


def use_checking_cursors(dbapi: Any, args: Sequence[Any], options: dict[str, Any]) -> None:
    """Add `SQLiteConnection` to the arguments of `sqlite3.connect`, unless they name a factory."""
    # A factory may also be given as the sixth positional argument.
    if getattr(dbapi, "connect", None) is sqlite3.connect and len(args) < 6:
        options.setdefault("factory", SQLiteConnection)


class _Rows:
    """The rows of an ``executemany``, which begins again if its first row could not be written."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._given: list[Any] = []
        self._following = iter(rows)

    @property
    def can_repeat(self) -> bool:
        """Whether only the first row was given."""
        return len(self._given) < 2

    def __iter__(self) -> Iterator[Any]:
        yield from self._given[:1]
        for row in self._following:
            if self.can_repeat:
                self._given.append(row)
            yield row


def _in_pieces(
    connection: Any, run: Callable[[], T], can_repeat: Callable[[], bool] = lambda: True
) -> T:
    """Run a statement, and again as long as it waits for a lock in vain and was not cancelled."""
    began = monotonic()
    patience = getattr(connection, "patience", None) or 0
    while True:
        try:
            return _piece(run, can_repeat, last=monotonic() >= began + patience - PIECE)
        except _Waited:
            checking.get()()
            # When it is prepared, a statement waits no second time until the timeout was set again.
            _set_timeout(connection, PIECE)


class _Waited(Exception):
    """The statement has waited for a lock, and may wait again."""


def _piece(run: Callable[[], T], can_repeat: Callable[[], bool], last: bool) -> T:
    began = monotonic()
    try:
        return run()
    except sqlite3.OperationalError as error:
        # If waiting could lead to a deadlock, SQLite does not wait, and neither do we.
        has_waited = monotonic() - began >= PIECE / 2
        if last or not has_waited or not _is_busy(error) or not can_repeat():
            raise
    raise _Waited


def _is_busy(error: sqlite3.OperationalError) -> bool:
    # The higher bits say more about it.
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


@contextmanager
def _in_one_piece(connection: Any) -> Iterator[None]:
    """In this block, the connection waits for a lock as long as it was told to, in one piece."""
    patience = getattr(connection, "patience", None)
    if patience is None:
        yield
        return
    _set_timeout(connection, patience)
    try:
        yield
    finally:
        _set_timeout(connection, min(patience, PIECE))


def _set_timeout(connection: Any, seconds: float) -> None:
    sqlite3.Cursor(connection).execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}").close()
