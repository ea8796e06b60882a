"""Database cursors that check for a cancel before each statement and each row.

An interrupt stops only a statement that is running. In a loop of short statements, nearly all
interrupts come between two of them, with SQLite and with PostgreSQL. So the loop itself must find
out, from its next use of the cursor.

These cursors are subclasses of the driver's own, so that type checks accept them, even in C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import cache
from typing import Any

from .commits import watching

DRIVERS = {"psycopg", "psycopg2"}
ROWS = {"params_seq", "vars_list"}
"""The names of the second argument of ``executemany``, in psycopg and in psycopg2."""


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
        watching.get().begin(args[0] if args else None)
        following: Any = super()
        return following.execute(*args, **kw)

    def executemany(self, *args: Any, **kw: Any) -> Any:
        """See the driver's ``executemany``."""
        checking.get()()
        watching.get().begin(args[0] if args else None)
        following: Any = super()
        named = {name: _checked_rows(kw[name]) for name in ROWS & kw.keys()}
        return following.executemany(*args[:1], *map(_checked_rows, args[1:]), **{**kw, **named})


def _checked_rows(rows: Iterable[Any]) -> Iterator[Any]:
    check = checking.get()

    def checked(row: Any) -> Any:
        check()
        return row

    return map(checked, rows)


def checking_class(kind: Any) -> Any:
    """A subclass of psycopg's cursor class that checks for a cancel; other classes as they are.

    A user's class may need more of its rows than iteration: their number, for example.
    """
    is_drivers = str(kind.__module__).partition(".")[0] in DRIVERS
    return _subclass(kind) if is_drivers else kind


@cache
def _subclass(kind: Any) -> Any:
    return type(kind.__name__, (Checking, kind), {"__slots__": (), "__module__": __name__})
