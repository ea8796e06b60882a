"""Database cursors that check for a cancel before each statement and each row.

An interrupt stops only a statement that is running. In a loop of short statements, nearly all
interrupts come between two of them, with SQLite and with PostgreSQL. So the loop itself must find
out, from its next use of the cursor.

These cursors are subclasses of the driver's own, so that type checks accept them, even in C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any

from .commits import unseen, watching

DRIVERS = {"MySQLdb", "psycopg", "psycopg2", "pymysql"}
UNSEEN = ("callproc", "copy", "copy_expert", "copy_from", "stream")
"""Methods of some drivers' cursors that run statements without ``execute``."""
ROWS = {"args", "params_seq", "vars_list"}
"""The names of the second argument of ``executemany``: of MySQL's drivers, psycopg and psycopg2."""


def nothing() -> None:
    """Check for nothing."""


checking: ContextVar[Callable[[], object]] = ContextVar("cancelweb_checking", default=nothing)
"""Raises if the use of a connection that runs in this thread was cancelled."""


class Checking:
    """Mixed into a driver's cursor class: starts no statement, and no row, after a cancel.

    Each row is checked after it was produced, because producing it may have taken long.
    """

    __slots__ = ()

    def execute(self, *args: Any, **kw: Any) -> Any:
        """See the driver's ``execute``."""
        checking.get()()
        following: Any = super()
        with watching.get().statement(args[0] if args else None):
            return following.execute(*args, **kw)

    def executemany(self, *args: Any, **kw: Any) -> Any:
        """See the driver's ``executemany``."""
        checking.get()()
        following: Any = super()
        named = {name: _checked_rows(kw[name]) for name in ROWS & kw.keys()}
        rows = map(_checked_rows, args[1:])
        with watching.get().statement(args[0] if args else None):
            return following.executemany(*args[:1], *rows, **{**kw, **named})


def _checked_rows(rows: Iterable[Any]) -> Iterable[Any]:
    if isinstance(rows, Sized) and not len(rows):
        # MySQL's drivers look whether there are any.
        return rows
    check = checking.get()

    def checked(row: Any) -> Any:
        check()
        return row

    return map(checked, rows)


def checking_class(kind: Any) -> Any:
    """A subclass of a driver's cursor class that checks for a cancel; other classes as they are.

    A user's class may need more of its rows than iteration: their number, for example.
    """
    is_drivers = str(kind.__module__).partition(".")[0] in DRIVERS
    return _subclass(kind) if is_drivers else kind


@cache
def _subclass(kind: Any) -> Any:
    methods = {name: _checked(getattr(kind, name)) for name in UNSEEN if hasattr(kind, name)}
    namespace = {"__slots__": (), "__module__": __name__, **methods}
    return type(kind.__name__, (Checking, kind), namespace)


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    call = unseen(method)

    @wraps(method)
    def checked(*args: Any, **kw: Any) -> Any:
        checking.get()()
        return call(*args, **kw)

    return checked
