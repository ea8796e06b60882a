"""Cursors that ask, before each statement and each row, whether their use was cancelled.

An interrupt hits nothing but a statement that runs. In a loop of short ones nearly all interrupts
come between two, with SQLite and with PostgreSQL; so the loop itself is to find out.

They are the driver's own cursors, subclassed: what looks at their type, in C too, finds it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from functools import cache
from typing import Any

DRIVERS = {"psycopg", "psycopg2"}
ROWS = {"params_seq", "vars_list"}
"""What the second argument of ``executemany`` is named in the one and in the other."""


def _nothing() -> None:
    pass


checking: ContextVar[Callable[[], object]] = ContextVar("cancelweb_checking", default=_nothing)
"""What raises if the use of a connection that runs in this thread was cancelled."""


class Asking:
    """Put before a driver's class of cursors: begins no statement, and no row, after a cancel.

    It asks when it has got the row: to get that may have taken long.
    """

    __slots__ = ()

    def execute(self, *args: Any, **kw: Any) -> Any:
        """See the driver's."""
        checking.get()()
        following: Any = super()
        return following.execute(*args, **kw)

    def executemany(self, *args: Any, **kw: Any) -> Any:
        """See the driver's."""
        checking.get()()
        following: Any = super()
        named = {name: _asking_rows(kw[name]) for name in ROWS & kw.keys()}
        return following.executemany(*args[:1], *map(_asking_rows, args[1:]), **{**kw, **named})


def _asking_rows(rows: Iterable[Any]) -> Iterator[Any]:
    check = checking.get()

    def asked(row: Any) -> Any:
        check()
        return row

    return map(asked, rows)


class SQLiteCursor(Asking, sqlite3.Cursor):
    """A cursor of `sqlite3` that asks."""

    __slots__ = ()

    def executescript(self, *args: Any) -> Any:
        """See `sqlite3.Cursor.executescript`."""
        checking.get()()
        return super().executescript(*args)


class SQLiteConnection(sqlite3.Connection):
    """A connection of `sqlite3` whose cursors ask, unless they are made by a factory of the user's.

    Its shortcuts are written out: those of `sqlite3` make a cursor without calling ``cursor``.
    """

    __slots__ = ()

    def cursor(self, factory: Any = SQLiteCursor) -> Any:
        """See `sqlite3.Connection.cursor`."""
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


def ask_sqlite(dbapi: Any, args: Sequence[Any], options: dict[str, Any]) -> None:
    """Add to what `sqlite3.connect` is called with, unless a factory is in it; else do nothing."""
    # It may have come without a name, as the sixth.
    if getattr(dbapi, "connect", None) is sqlite3.connect and len(args) < 6:
        options.setdefault("factory", SQLiteConnection)


def asking(kind: Any) -> Any:
    """The same class of cursors, but asking; if it is no class of psycopg's own, as it is.

    A class of the user's may want more of its rows than to iterate over them: their number, say.
    """
    is_drivers = str(kind.__module__).partition(".")[0] in DRIVERS
    return _subclass(kind) if is_drivers else kind


@cache
def _subclass(kind: Any) -> Any:
    return type(kind.__name__, (Asking, kind), {"__slots__": (), "__module__": __name__})
