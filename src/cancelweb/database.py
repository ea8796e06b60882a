"""A pool of database connections (adbapi) whose queries stop in the database when cancelled.

In `_stoppable`, `adbapi` has the connections and transactions. `uses` decides when a statement is
stopped, and `adapters` finds what stops it: `sqlite`, `postgresql` or `mysql`. `cursors` keeps the
next one from starting, `commits` tells what was committed, and `thread_calls` waits for the thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred
from twisted.python.threadpool import ThreadPool

from ._scopes.refusal import begin
from ._stoppable.adapters import Adapters, naming_what_is_missing
from ._stoppable.adbapi import CAN_STOP, Connection, Transaction, interact
from ._stoppable.commits import Committed, MaybeCommitted
from ._stoppable.interruptible import IInterruptible
from ._stoppable.mysql import Control
from ._stoppable.sqlite import use_checking_cursors
from ._stoppable.uses import Use
from ._twisted.access import in_interaction, reactor_of, with_connection

__all__ = ["Committed", "ConnectionPool", "IInterruptible", "MaybeCommitted"]

P = ParamSpec("P")
R = TypeVar("R")


class ConnectionPool(adbapi.ConnectionPool):
    """A `twisted.enterprise.adbapi.ConnectionPool` whose queries can be stopped.

    It takes the same arguments and has the same methods. You can cancel the Deferreds of
    ``runQuery``, ``runOperation``, ``runInteraction`` and ``runWithConnection``. A query that
    waits for a thread then never begins. A statement that runs is stopped in the database, and its
    transaction is rolled back. The Deferred fires when the thread and its connection are free
    again: with CancelledError, with `Committed` if the cancel came too late, with `MaybeCommitted`
    if your function may have committed itself, or with a failure that the cancel did not cause. A
    cancelled request may begin queries for cleanup only. Others fail with `cancelweb.StartRefused`,
    see `cancelweb.cleaning`.

    After the cancel, the same call gets nothing more done. Its transaction, its connection and the
    cursors it opened before raise CancelledError, ``executemany`` at the next row. A cursor of a
    class of your own does not raise; its statements are interrupted again and again. The connection
    serves nothing else until the cancel is over.

    Raises:
        ImportError: the driver is not installed. The message names what installs it.
    """

    connectionFactory = Connection
    transactionFactory = Transaction  # noqa: N815 - Twisted's name
    # For type checkers alone: both methods are adbapi's own, which have no types.
    runQuery: Callable[..., Deferred[list[Any]]]  # noqa: N815
    runOperation: Callable[..., Deferred[None]]  # noqa: N815

    _interrupters: ThreadPool | None = None
    """Threads for interrupts, which may block: psycopg opens a network connection for each. The
    pool's own threads may all be busy with the statements that are to stop."""

    def __init__(self, dbapiName: str, *connargs: Any, **connkw: Any) -> None:
        with naming_what_is_missing(dbapiName):
            super().__init__(dbapiName, *connargs, **connkw)
        use_checking_cursors(self.dbapi, self.connargs, self.connkw)
        connect = partial(self.dbapi.connect, *self.connargs, **self.connkw)
        self._adapters = Adapters(Control(connect))

    def start(self) -> None:
        """See `adbapi.ConnectionPool.start`. The reactor may call this inside `__init__`."""
        if not self.running:
            self._interrupters = ThreadPool(0, self.max, f"{self.name or self.dbapiName}-interrupt")
            self._interrupters.start()
        super().start()

    def finalClose(self) -> None:
        """See `adbapi.ConnectionPool.finalClose`. This also waits for the interrupting threads."""
        super().finalClose()
        if self._interrupters is not None:
            self._interrupters.stop()
        self._adapters.close()

    def connect(self) -> Any:
        """See `adbapi.ConnectionPool.connect`.

        Raises:
            TypeError: cancelweb does not know how to stop the statements of this kind of
                connection. The message says how to register an adapter.
        """
        connection = super().connect()
        try:
            self._adapters.begin_use(self.threadID(), connection)
        except BaseException:
            # The next use tries again, with another connection.
            self.disconnect(connection)
            raise
        return connection

    def disconnect(self, connection: Any) -> None:
        """See `adbapi.ConnectionPool.disconnect`."""
        super().disconnect(connection)
        self._adapters.forget(self.threadID())

    def runWithConnection(
        self, func: Callable[Concatenate[Any, P], R], *args: P.args, **kw: P.kwargs
    ) -> Deferred[R]:
        """See `adbapi.ConnectionPool.runWithConnection`."""
        return self._defer(with_connection(self), func, *args, **kw)

    def runInteraction(
        self, interaction: Callable[Concatenate[Any, P], R], *args: P.args, **kw: P.kwargs
    ) -> Deferred[R]:
        """See `adbapi.ConnectionPool.runInteraction`. Queries and operations come here, too."""
        return self._defer(in_interaction(self), partial(interact, interaction), *args, **kw)

    def _defer(
        self, run: Callable[..., Any], function: Callable[..., Any], *args: Any, **kw: Any
    ) -> Deferred[Any]:
        use = Use(reactor_of(self), self)
        call = partial(use.call, function)
        return begin("a query", use.start, self.threadpool, run, call, *args, **kw)

    def interrupt_in_thread(self, interrupt: Callable[[], None]) -> None:
        """Call an interrupt, which may block, in another thread; from the reactor's thread."""
        assert self._interrupters is not None
        self._interrupters.callInThread(interrupt)

    def interruptible_of(self, thread: int) -> Any:
        """The `IInterruptible` of a thread's connection, or None if that connection was lost."""
        return self._adapters.of(thread)


if not CAN_STOP:
    # Twisted lacks a name that stopping needs. Queries still run, but cannot be stopped.
    ConnectionPool = adbapi.ConnectionPool  # type: ignore[assignment,misc]
