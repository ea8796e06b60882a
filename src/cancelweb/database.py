"""A pool of database connections whose queries stop in the database when they are cancelled.

How a statement is stopped is in `_stoppable.drivers`; how none begins after the cancel, in
`cursors` there; how a call waits for its thread, in `thread_calls`; and what its function is given,
in `adbapi`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from threading import Event, Lock
from time import monotonic
from typing import Any

from attrs import define, field
from twisted.enterprise import adbapi
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.threadpool import ThreadPool

from ._log import log
from ._scopes.refusal import begin
from ._stoppable.adbapi import CAN_STOP, Connection, Transaction, interact
from ._stoppable.cursors import ask_sqlite, checking
from ._stoppable.drivers import IInterruptible, PostgreSQL, interruptible
from ._stoppable.thread_calls import ThreadCall
from ._twisted.access import in_interaction, reactor_of, with_connection

__all__ = ["Committed", "ConnectionPool", "IInterruptible"]

FIRST_PAUSE, SHORT_PAUSE, LAST_PAUSE = 0.01, 0.05, 1.0
"""Seconds from one interrupt to the next; each pause is twice the one before, up to the second of
these where an interrupt costs nothing, and up to the last where it costs most."""
SHARE = 100
"""A pause is long enough if it is so many times as long as the interrupt took. That of SQLite takes
no time; where statements are short, most of them come between two."""

EXTRAS = {"psycopg": "postgres"}


class Committed(CancelledError):
    """The cancel came too late: the transaction was being committed, or had been.

    Any other CancelledError of a query means that it was rolled back, or never begun.

    Attributes:
        result: what the query came to.
    """

    def __init__(self, result: object) -> None:
        super().__init__("cancelled after the transaction was committed")
        self.result = result


class ConnectionPool(adbapi.ConnectionPool):
    """A `twisted.enterprise.adbapi.ConnectionPool` whose queries can be stopped.

    It takes the same arguments, and has the same methods. The Deferreds of ``runQuery``,
    ``runOperation``, ``runInteraction`` and ``runWithConnection`` can be cancelled: what still
    waits for a thread never begins; a statement that runs is stopped in the database, and the
    transaction is rolled back. The Deferred fires when the thread and its connection are free
    again: with CancelledError, with `Committed` if it was too late, or with the failure, if there
    was one that is not the cancel's. A request that has been cancelled begins no more queries but
    to clean up: others fail with `cancelweb.StartRefused`, see `cancelweb.cleaning`.

    From the cancel on, the same call gets nothing more done: its transaction, the connection that
    it was given, and cursors that it has opened before raise CancelledError, ``executemany`` at the
    next row. Only a cursor of a class of your own does not: what that runs is interrupted again and
    again. The connection is not used for anything else before the cancel is over.

    Raises:
        ImportError: the driver is not installed; names the extra of cancelweb that brings it.
    """

    connectionFactory = Connection
    transactionFactory = Transaction  # noqa: N815 - Twisted's name

    _interrupters: ThreadPool | None = None
    """To stop a statement may block: psycopg opens a network connection for it. The threads of the
    pool itself may all be busy, with what is to be stopped."""

    def __init__(self, dbapiName: str, *connargs: Any, **connkw: Any) -> None:
        try:
            super().__init__(dbapiName, *connargs, **connkw)
        except ModuleNotFoundError as error:
            if error.name not in EXTRAS:
                raise
            extra = EXTRAS[error.name]
            raise ImportError(
                f"ConnectionPool({dbapiName!r}) needs {error.name}: pip install cancelweb[{extra}]",
                name=error.name,
            ) from error
        ask_sqlite(self.dbapi, self.connargs, self.connkw)

    def start(self) -> None:
        """See `adbapi.ConnectionPool.start`: the reactor calls it, maybe inside `__init__`."""
        if not self.running:
            self._interrupters = ThreadPool(0, self.max, f"{self.name or self.dbapiName}-interrupt")
            self._interrupters.start()
        super().start()

    def finalClose(self) -> None:
        """See `adbapi.ConnectionPool.finalClose`: waits for the threads, as that does."""
        super().finalClose()
        if self._interrupters is not None:
            self._interrupters.stop()

    def connect(self) -> Any:
        """See `adbapi.ConnectionPool.connect`.

        Raises:
            TypeError: cancelweb does not know how to stop the statements of such a connection;
                says how to register an adapter.
        """
        is_new = self.threadID() not in self.connections
        connection = super().connect()
        used = interruptible(connection)
        if is_new and isinstance(used, PostgreSQL):
            used.ask_first()
        return connection

    def runWithConnection(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
        """See `adbapi.ConnectionPool.runWithConnection`."""
        return self._defer(with_connection(self), func, *args, **kw)

    def runInteraction(
        self, interaction: Callable[..., Any], *args: Any, **kw: Any
    ) -> Deferred[Any]:
        """See `adbapi.ConnectionPool.runInteraction`; all queries and operations come here."""
        return self._defer(in_interaction(self), partial(interact, interaction), *args, **kw)

    def _defer(
        self, run: Callable[..., Any], function: Callable[..., Any], *args: Any, **kw: Any
    ) -> Deferred[Any]:
        use = _Use(reactor_of(self), self)
        call = partial(use.call, function)
        return begin("a query", use.start, self.threadpool, run, call, *args, **kw)

    def interrupt_in_thread(self, interrupt: Callable[[], None]) -> None:
        """Call what may block; from the reactor's thread, for something that runs."""
        assert self._interrupters is not None
        self._interrupters.callInThread(interrupt)

    def interruptible_of(self, thread: int) -> Any:
        """The `IInterruptible` of a thread's connection; None where that was lost."""
        connection = self.connections.get(thread)
        return None if connection is None else interruptible(connection)


@define(eq=False)
class _Use(ThreadCall):
    """One use of a connection, by one of the pool's threads.

    Attributes:
        pool: whose connection it is.
    """

    pool: ConnectionPool
    _thread: int | None = field(default=None, init=False)
    """While the connection may be interrupted: which thread uses it."""
    _interrupting: Lock = field(factory=Lock, init=False)
    """Held while an interrupt is under way, and to begin and end what may be interrupted."""
    _over: Event = field(factory=Event, init=False)

    def call(self, function: Callable[..., Any], used: Any, *args: Any, **kw: Any) -> Any:
        """Call the user's function; if it is cancelled meanwhile, raise CancelledError.

        It is adbapi that calls this, in the thread, and commits or rolls back afterwards.
        """
        self._begin()
        checking.set(self._check)
        try:
            result = function(used, *args, **kw)
        except Exception as error:
            if not self._is_interruption(error):
                raise
        finally:
            self._end()
        if self.is_cancelled:
            # Not from inside the `except`: this would refer to the driver's error and its frames.
            raise CancelledError()
        return result

    def _begin(self) -> None:
        with self._interrupting:
            if self.is_cancelled:
                raise CancelledError()
            self._thread = self.pool.threadID()

    def _check(self) -> None:
        if self.is_cancelled and self._thread is not None:
            raise CancelledError()

    def _end(self) -> None:
        # Waits for an interrupt that is under way: it is not to hit what comes next, not even the
        # rollback.
        with self._interrupting:
            self._thread = None
        self._over.set()

    def _is_interruption(self, error: Exception) -> bool:
        if not self.is_cancelled:
            return False
        used = self.pool.interruptible_of(self.pool.threadID())
        is_drivers = used is not None and used.is_interruption(error)
        return is_drivers or isinstance(error, CancelledError)

    def stop(self) -> None:
        """See `ThreadCall.stop`."""
        self.pool.interrupt_in_thread(self._interrupt)

    def _interrupt(self) -> None:
        # One that comes before the database has begun a statement, or between two, stops nothing.
        pause = FIRST_PAUSE
        while (took := self._interrupt_once()) is not None and not self._over.wait(pause):
            pause = min(2 * pause, max(SHORT_PAUSE, SHARE * took), LAST_PAUSE)

    def _interrupt_once(self) -> float | None:
        """Returns the seconds that it took, or else None: there is nothing to interrupt."""
        with self._interrupting:
            if self._thread is None:
                # Not begun: then it never will. Or at its end already.
                return None
            used = self.pool.interruptible_of(self._thread)
            began = monotonic()
            try:
                if used is not None:
                    used.interrupt()
            except Exception:
                log.failure("the statement of {connection} was not stopped", connection=used)
                return inf
            return monotonic() - began

    def late(self, result: object) -> Exception:
        """See `ThreadCall.late`."""
        return Committed(result)


if not CAN_STOP:
    # Queries run, at least.
    ConnectionPool = adbapi.ConnectionPool  # type: ignore[assignment,misc]
