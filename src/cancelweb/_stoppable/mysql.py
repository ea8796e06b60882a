"""Stop a running statement of MySQL or MariaDB: from a second connection to the server.

What is said here of MySQL holds for MariaDB. This module imports no driver.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache
from threading import Lock
from time import monotonic
from typing import Any
from weakref import WeakSet

from attrs import define, field
from zope.interface import implementer

from .commits import unseen
from .cursors import checking_class
from .interruptible import IInterruptible

QUERY_INTERRUPTED = 1317
"""The number of the error of a statement that was killed."""

FRESH = 20.0
"""Seconds for which an idle `Control` is used again. Later, a firewall may have dropped it."""

COMMITTING = ("autocommit", "begin", "commit")
"""Methods of a connection that commit."""


@define(eq=False)
class Control:
    """One more connection to a pool's server, opened when the first statement must be stopped.

    Any thread may use it, one at a time. It stays open, because some drivers take long to connect.
    """

    _connect: Callable[[], Any]
    _connection: Any = field(default=None, init=False)
    _used: float = field(default=0, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def use(self, function: Callable[[Any], object]) -> None:
        """Call a function with the connection, which is closed if that raises."""
        with self._lock:
            if monotonic() - self._used > FRESH:
                self.close()
            try:
                self._connection = self._connection or self._connect()
                function(self._connection)
            except BaseException:
                self.close()
                raise
            self._used = monotonic()

    def close(self) -> None:
        """Close the connection, if it is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()


@implementer(IInterruptible)
@define(eq=False)
class MySQL:
    """A connection of PyMySQL or mysqlclient, to MySQL or MariaDB.

    ``KILL QUERY`` on another connection stops its statement. That takes a number, which another
    server or a server that was restarted may have given to another client. So the client's address
    and port are compared first.

    Attributes:
        connection: the driver's connection.
        cursors: those that a function has opened, and that still exist.
    """

    connection: Any
    _control: Control
    _cursors: Any
    """The driver's module of cursors."""
    _session: tuple[int, Any] = field(default=(0, None), init=False)
    """The number of the connection on the server, and where it comes from."""
    _seen_by: Any = field(default=None, init=False)
    """The second connection whose server is known to be the right one."""
    _was_interrupted: bool = field(default=False, init=False)
    cursors: WeakSet[Any] = field(factory=WeakSet, init=False)

    def begin_use(self) -> None:
        """Ask for the number, which changes if a function has the driver connect again."""
        # mysqlclient allows no other thread to ask.
        number = self.connection.thread_id()
        if number != self._session[0]:
            self._session = number, self._client(self.connection, number)
            self._seen_by = None

    def interrupt(self) -> None:
        """See `IInterruptible.interrupt`."""
        self._was_interrupted = True
        self._control.use(self._kill)

    def is_interruption(self, error: Exception) -> bool:
        """See `IInterruptible.is_interruption`."""
        return error.args[:1] == (QUERY_INTERRUPTED,)

    def end_statements(self) -> None:
        """Stop what still runs, or would hinder the rollback.

        That is a statement with unread rows: the driver would read them all first, or refuse. And a
        server may keep a KILL QUERY that came between two statements for the next one, so after an
        interrupt the next one does nothing.
        """
        unread = [each for each in self.cursors if self._may_have_unread(each)]
        if unread:
            self.interrupt()
        for cursor in unread:
            with suppress(Exception):
                cursor.close()
        if self._was_interrupted:
            self._was_interrupted = False
            with suppress(Exception):
                self._execute(self.connection, "DO 0")

    def _may_have_unread(self, cursor: Any) -> bool:
        kinds = (self._cursors.SSCursor, self._cursors.SSDictCursor)
        return isinstance(cursor, kinds) and cursor.connection is not None

    def _kill(self, control: Any) -> None:
        if control is not self._seen_by:
            self._look_for_session(control)
        self._execute(control, f"KILL QUERY {self._session[0]}")

    def _look_for_session(self, control: Any) -> None:
        number, client = self._session
        if self._client(control, number) != client:
            raise LookupError(
                f"the server that answers has no connection {number} from {client}, or the account "
                "may not see it, as in a procedure that has another account's rights"
            )
        self._seen_by = control

    def _client(self, connection: Any, number: int) -> Any:
        where = f"FROM information_schema.PROCESSLIST WHERE ID = {number}"
        rows = self._execute(connection, f"SELECT HOST {where}")
        return rows[0][0] if rows else None

    def _execute(self, connection: Any, statement: str) -> Any:
        with closing(connection.cursor(self._cursors.Cursor)) as cursor:
            cursor.execute(statement)
            return cursor.fetchall()


def mysql(driver: str, connection: Any, control: Control) -> MySQL:
    """The adapter of a connection of PyMySQL or mysqlclient."""
    connection.cursorclass = checking_class(connection.cursorclass)
    kind: Any = type(connection)
    connection.__class__ = _watched(kind)
    return MySQL(connection, control, sys.modules[f"{driver}.cursors"])


@cache
def _watched(kind: Any) -> Any:
    """A subclass of a connection's class, whose commits are noticed if a cursor leads to them."""
    methods = {name: unseen(getattr(kind, name)) for name in COMMITTING}
    return type(kind.__name__, (kind,), {"__slots__": (), "__module__": __name__, **methods})
