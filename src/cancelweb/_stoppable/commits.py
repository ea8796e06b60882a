"""What a function may have committed itself, as far as its statements and its calls tell.

A pool commits after the function has returned. So if a function is cancelled before, nothing was
committed, unless it did that itself. In doubt, it did.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError

T = TypeVar("T")

HARMLESS = re.compile(
    r"\s*(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|VALUES|SAVEPOINT"
    # sqlite3 opens no transaction for an INSERT behind a common table expression.
    r"|WITH(?!.*\b(?:INSERT|UPDATE|DELETE|REPLACE|MERGE)\b))\b[^;]*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
"""One statement that commits in none of the databases. Many others commit in one of them: CREATE in
SQLite and MySQL, SET in MySQL, CALL in PostgreSQL."""

BATCH = re.compile(rb"\s*(?:INSERT|REPLACE)\b", re.IGNORECASE)

LEGACY = -1
"""sqlite3.LEGACY_TRANSACTION_CONTROL, which Python 3.11 lacks."""

IDLE = 0
"""The transaction status of a libpq connection that is in no transaction."""


class MaybeCommitted(CancelledError):
    """The query was cancelled, and some or all of its changes may have been committed.

    Your function committed, or cancelweb cannot rule out that it did. So find out what was done
    before you do it again.
    """

    # Where users import it from, which logs show.
    __module__ = "cancelweb.database"

    def __init__(self, message: str = "cancelled, but it may have committed before") -> None:
        super().__init__(message)


class Committed(MaybeCommitted):
    """The cancel came too late: the transaction was being committed, or already had been.

    This is certain, unlike a mere `MaybeCommitted`. Any other CancelledError of a query means that
    it was rolled back, or never begun.

    Attributes:
        result: the result of the query.
    """

    __module__ = "cancelweb.database"

    def __init__(self, result: object) -> None:
        super().__init__("cancelled after the transaction was committed")
        self.result = result


class Unwatched:
    """Code outside any use of a connection: its commits are not watched."""

    def statement(self, text: object) -> AbstractContextManager[None]:
        """See `Commits.statement`."""
        return nullcontext()

    def unseen(self) -> None:
        """See `Commits.unseen`."""

    def roll_back(self) -> None:
        """See `Commits.roll_back`."""


@define(eq=False)
class Commits(Unwatched):
    """Watches one use of a connection, in its thread.

    Attributes:
        connection: the driver's.
    """

    connection: Any
    _has_begun: bool = field(default=False, init=False)
    """Whether there were statements since the use began, or rolled back."""
    _in_doubt: bool = field(default=False, init=False)
    _is_over: bool = field(default=False, init=False)

    @contextmanager
    def statement(self, text: object) -> Iterator[None]:
        """In this block, such a statement runs."""
        self._look()
        if not _is_harmless(text, self.connection) or _commits_each_statement(self.connection):
            self.unseen()
        self._has_begun = True
        try:
            yield
        except BaseException:
            # It may have failed before a transaction was begun, as if cancelled during the BEGIN
            # that the driver sends ahead.
            if _is_idle(self.connection):
                self._has_begun = False
            raise

    def unseen(self) -> None:
        """What is done from now on cannot be seen."""
        self._in_doubt = self._in_doubt or not self._is_over

    def roll_back(self) -> None:
        """What the use has done since its last commit, if any, is about to be undone."""
        self._look()
        self._has_begun = False

    def end(self) -> None:
        """The function has ended: the commit that follows is the pool's."""
        self._look()
        self._is_over = True

    def cancelled(self) -> CancelledError:
        """The error of a cancelled use; what its function was refused, while that runs."""
        return MaybeCommitted() if self._in_doubt and self._is_over else CancelledError()

    def _look(self) -> None:
        # The status is known here without asking the server. After a statement the connection is
        # in a transaction, or that has ended, for instance by a `commit` that was not seen. To turn
        # autocommit on is such a commit, too.
        is_idle = _is_idle(self.connection)
        if self._has_begun and (is_idle or _commits_each_statement(self.connection)):
            self.unseen()


watching: ContextVar[Unwatched] = ContextVar("cancelweb_watching", default=Unwatched())  # noqa: B039 - it has no state
"""Watches the use of a connection that runs in this thread."""


def unseen(method: Callable[..., T]) -> Callable[..., T]:
    """A driver's method that may commit; the use that calls it is watched."""

    @wraps(method)
    def watched(*args: Any, **kw: Any) -> T:
        watching.get().unseen()
        return method(*args, **kw)

    return watched


def _is_harmless(statement: object, connection: Any) -> bool:
    if isinstance(statement, bytearray):
        # MySQL's drivers make it of the rows of an `executemany`, whose statement came before.
        return BATCH.match(statement) is not None
    text = statement
    if hasattr(text, "as_string"):
        # It was composed with `psycopg.sql` or `psycopg2.sql`.
        text = text.as_string(connection)
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return isinstance(text, str) and HARMLESS.fullmatch(text) is not None


def _is_idle(connection: Any) -> bool:
    status: object = getattr(getattr(connection, "info", None), "transaction_status", None)
    return status == IDLE


def _commits_each_statement(connection: Any) -> bool:
    try:
        if isinstance(connection, sqlite3.Connection):
            return is_in_autocommit_mode(connection)
        if hasattr(connection, "get_autocommit"):
            # Of MySQL's drivers, `autocommit` is a method that sets the mode.
            return bool(connection.get_autocommit())
        return getattr(connection, "autocommit", None) is True
    except Exception:
        # A connection that the function has closed does not tell.
        return True


def is_in_autocommit_mode(connection: sqlite3.Connection) -> bool:
    """Whether a connection of `sqlite3` begins no transactions, so that each statement commits."""
    # Before Python 3.12, isolation_level alone decides.
    mode = getattr(connection, "autocommit", LEGACY)
    return mode is True or (mode == LEGACY and connection.isolation_level is None)
