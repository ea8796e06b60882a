"""A pool of database connections (adbapi) whose queries stop in the database when cancelled.

In `_stoppable`, `drivers` stops a statement, `cursors` keeps the next one from starting,
`thread_calls` waits for the thread, and `adbapi` has the connections and transactions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from threading import Event, Lock
from time import monotonic
from typing import Any, Concatenate, ParamSpec, TypeVar

from attrs import define, field
from twisted.enterprise import adbapi
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.threadpool import ThreadPool

from ._log import log
from ._scopes.refusal import begin
from ._stoppable.adbapi import CAN_STOP, Connection, Transaction, interact
from ._stoppable.cursors import checking, use_checking_cursors
from ._stoppable.drivers import IInterruptible, PostgreSQL, interruptible
from ._stoppable.thread_calls import ThreadCall
from ._twisted.access import in_interaction, reactor_of, with_connection

__all__ = ["Committed", "ConnectionPool", "IInterruptible"]

FIRST_PAUSE, SHORT_PAUSE, LAST_PAUSE = 0.01, 0.05, 1.0
"""Seconds between two interrupts. Each pause is twice the one before: up to the second value if an
interrupt costs nothing, and up to the third if it costs most."""
SHARE = 100
"""A pause need not be longer than this many times the duration of the interrupt. SQLite's takes no
time, and most of them come between two statements where these are short."""

EXTRAS = {"psycopg": "postgres"}

P = ParamSpec("P")
R = TypeVar("R")


class Committed(CancelledError):
    """The cancel came too late: the transaction was being committed, or already had been.

    Any other CancelledError of a query means that it was rolled back, or never begun.

    Attributes:
        result: the result of the query.
    """

    def __init__(self, result: object) -> None:
        super().__init__("cancelled after the transaction was committed")
        self.result = result


class ConnectionPool(adbapi.ConnectionPool):
    """A `twisted.enterprise.adbapi.ConnectionPool` whose queries can be stopped.

    It takes the same arguments and has the same methods. You can cancel the Deferreds of
    ``runQuery``, ``runOperation``, ``runInteraction`` and ``runWithConnection``. A query that
    waits for a thread then never begins. A statement that runs is stopped in the database, and its
    transaction is rolled back. The Deferred fires when the thread and its connection are free
    again: with CancelledError, with `Committed` if the cancel came too late, or with a failure that
    the cancel did not cause. A cancelled request may begin queries for cleanup only. Others fail
    with `cancelweb.StartRefused`, see `cancelweb.cleaning`.

    After the cancel, the same call gets nothing more done. Its transaction, its connection and the
    cursors it opened before raise CancelledError, ``executemany`` at the next row. A cursor of a
    class of your own does not raise; its statements are interrupted again and again. The connection
    serves nothing else until the cancel is over.

    Raises:
        ImportError: the driver is not installed. The message names the extra that installs it.
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
        use_checking_cursors(self.dbapi, self.connargs, self.connkw)

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

    def connect(self) -> Any:
        """See `adbapi.ConnectionPool.connect`.

        Raises:
            TypeError: cancelweb does not know how to stop the statements of this kind of
                connection. The message says how to register an adapter.
        """
        is_new = self.threadID() not in self.connections
        connection = super().connect()
        used = interruptible(connection)
        if is_new and isinstance(used, PostgreSQL):
            used.use_checking_cursors()
        return connection

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
        use = _Use(reactor_of(self), self)
        call = partial(use.call, function)
        return begin("a query", use.start, self.threadpool, run, call, *args, **kw)

    def interrupt_in_thread(self, interrupt: Callable[[], None]) -> None:
        """Call an interrupt, which may block, in another thread; from the reactor's thread."""
        assert self._interrupters is not None
        self._interrupters.callInThread(interrupt)

    def interruptible_of(self, thread: int) -> Any:
        """The `IInterruptible` of a thread's connection, or None if that connection was lost."""
        connection = self.connections.get(thread)
        return None if connection is None else interruptible(connection)


@define(eq=False)
class _Use(ThreadCall):
    """One use of a connection, in one of the pool's threads.

    Attributes:
        pool: the pool that the connection belongs to.
    """

    pool: ConnectionPool
    _thread: int | None = field(default=None, init=False)
    """The thread that uses the connection, while the connection may be interrupted; else None."""
    _interrupting: Lock = field(factory=Lock, init=False)
    """Held during an interrupt, and to begin and end the time in which one may come."""
    _over: Event = field(factory=Event, init=False)

    def call(self, function: Callable[..., Any], used: Any, *args: Any, **kw: Any) -> Any:
        """Call the user's function, and raise CancelledError if it was cancelled meanwhile.

        adbapi calls this in the thread, and commits or rolls back afterwards.
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
            # Outside the `except` block: inside, this would refer to the driver's error and frames.
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
        # The lock waits for an interrupt that is under way: it must not hit what comes next, such
        # as the rollback.
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
        # An interrupt that comes before the first statement, or between two, stops nothing.
        pause = FIRST_PAUSE
        while (took := self._interrupt_once()) is not None and not self._over.wait(pause):
            pause = min(2 * pause, max(SHORT_PAUSE, SHARE * took), LAST_PAUSE)

    def _interrupt_once(self) -> float | None:
        """Interrupt, and return the seconds that took; None if there is nothing to interrupt."""
        with self._interrupting:
            if self._thread is None:
                # The call has not begun, and now never will; or it is about to end.
                return None
            used = self.pool.interruptible_of(self._thread)
            began = monotonic()
            try:
                if used is not None:
                    used.interrupt()
            except Exception:
                log.failure("could not stop the statement of {connection}", connection=used)
                return inf
            return monotonic() - began

    def late(self, result: object) -> Exception:
        """See `ThreadCall.late`."""
        return Committed(result)


if not CAN_STOP:
    # Twisted lacks a name that stopping needs. Queries still run, but cannot be stopped.
    ConnectionPool = adbapi.ConnectionPool  # type: ignore[assignment,misc]
