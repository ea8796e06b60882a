"""What a function may have committed itself, as far as its statements and its calls tell.

A pool commits after the function has returned. So if a function is cancelled before, nothing was
committed, unless it did that itself. In doubt, it did.
"""

from __future__ import annotations

import re
import sqlite3
from contextvars import ContextVar
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError

HARMLESS = re.compile(
    r"\s*(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|VALUES|SAVEPOINT"
    # sqlite3 opens no transaction for an INSERT behind a common table expression.
    r"|WITH(?!.*\b(?:INSERT|UPDATE|DELETE|REPLACE|MERGE)\b))\b[^;]*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
"""One statement that commits in none of the databases. Many others commit in one of them: CREATE in
SQLite and MySQL, SET in MySQL, CALL in PostgreSQL."""

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

    def begin(self, statement: object) -> None:
        """See `Commits.begin`."""

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

    def begin(self, statement: object) -> None:
        """Such a statement is about to begin."""
        if not self._is_over:
            self._look()
            self._has_begun = True
            self._in_doubt = self._in_doubt or not _is_harmless(statement)

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
        if self._has_begun and _commits_each_statement(self.connection):
            self._in_doubt = True
        self._is_over = True

    def cancelled(self) -> CancelledError:
        """The error of a cancelled use; what its function was refused, while that runs."""
        return MaybeCommitted() if self._in_doubt and self._is_over else CancelledError()

    def _look(self) -> None:
        # The status is known here without asking the server. After a statement the connection is
        # in a transaction, or that has ended, for instance by a `commit` that was not seen.
        if self._has_begun and _is_idle(self.connection):
            self._in_doubt = self._in_doubt or not self._is_over


watching: ContextVar[Unwatched] = ContextVar("cancelweb_watching", default=Unwatched())  # noqa: B039 - it has no state
"""Watches the use of a connection that runs in this thread."""


def _is_harmless(statement: object) -> bool:
    text = statement.decode("latin-1") if isinstance(statement, bytes) else statement
    return isinstance(text, str) and HARMLESS.fullmatch(text) is not None


def _is_idle(connection: Any) -> bool:
    status: object = getattr(getattr(connection, "info", None), "transaction_status", None)
    return status == IDLE


def _commits_each_statement(connection: Any) -> bool:
    try:
        if isinstance(connection, sqlite3.Connection):
            return _is_in_autocommit_mode(connection)
        ask = getattr(connection, "get_autocommit", None)
        return ask is not None and bool(ask())
    except Exception:
        # A connection that the function has closed does not tell.
        return True


def _is_in_autocommit_mode(connection: sqlite3.Connection) -> bool:
    # Before Python 3.12, isolation_level alone decides.
    mode = getattr(connection, "autocommit", LEGACY)
    return mode is True or (mode == LEGACY and connection.isolation_level is None)
