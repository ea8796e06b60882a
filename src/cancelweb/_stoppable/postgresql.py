"""Stop a running statement of PostgreSQL, with psycopg 3 or psycopg2: by a cancel request.

`libpq` sends those of psycopg2. This module imports no driver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from zope.interface import implementer

from .cursors import checking_class
from .interruptible import IInterruptible
from .libpq import cancel_request

QUERY_CANCELED = "57014"
"""The SQLSTATE of a statement that was cancelled (PostgreSQL's manual, appendix A)."""


@implementer(IInterruptible)
@frozen
class PostgreSQL:
    """A connection of psycopg 3 or psycopg2.

    Attributes:
        connection: the driver's connection.
        cancel: stops its statement; returns when the server has sent the signal.
    """

    connection: Any
    cancel: Callable[[], object]

    def interrupt(self) -> None:
        """See `IInterruptible.interrupt`."""
        self.cancel()

    def is_interruption(self, error: Exception) -> bool:
        """See `IInterruptible.is_interruption`."""
        sqlstate = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        return sqlstate == QUERY_CANCELED


def psycopg(connection: Any) -> PostgreSQL:
    """The adapter of a connection of psycopg 3."""
    _use_checking_cursors(connection)
    # cancel_safe, from psycopg 3.2 on, encrypts the request if the connection is encrypted.
    return PostgreSQL(connection, getattr(connection, "cancel_safe", connection.cancel))


def psycopg2(connection: Any) -> PostgreSQL:
    """The adapter of a connection of psycopg2."""
    _use_checking_cursors(connection)
    return PostgreSQL(connection, cancel_request(connection))


def _use_checking_cursors(connection: Any) -> None:
    # Cursors check for a cancel, unless a factory is given. A psycopg2 connection may have no
    # factory; some subclasses then use a class of their own.
    kind = connection.cursor_factory or type(connection.cursor())
    checks = checking_class(kind)
    if checks is not kind:
        connection.cursor_factory = checks
