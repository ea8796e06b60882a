"""One use of a connection by a function in a pool's thread, and the interrupts that end it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from threading import Event, Lock
from time import monotonic
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError

from .._log import log
from .commits import Commits, Committed, watching
from .cursors import checking
from .thread_calls import ThreadCall

FIRST_PAUSE, SHORT_PAUSE, LAST_PAUSE = 0.01, 0.05, 0.25
"""Seconds between two interrupts. Each pause is twice the one before: up to the second value if an
interrupt costs nothing, and up to the third if it costs most."""
SHARE = 100
"""A pause need not be longer than this many times the duration of the interrupt. SQLite's takes no
time, and most of them come between two statements where these are short.

A pause is at least as long as the interrupt took. On a slow network the use ends in that time, and
its end would have to wait for the next interrupt.
"""


@define(eq=False)
class Use(ThreadCall):
    """One use of a connection, in one of the pool's threads.

    Attributes:
        pool: the `cancelweb.database.ConnectionPool` that the connection belongs to.
    """

    pool: Any
    _thread: int | None = field(default=None, init=False)
    """The thread that uses the connection, while the connection may be interrupted; else None."""
    _interrupting: Lock = field(factory=Lock, init=False)
    """Held during an interrupt, and to begin and end the time in which one may come."""
    _over: Event = field(factory=Event, init=False)
    _commits: Commits = field(init=False)

    def call(self, function: Callable[..., Any], used: Any, *args: Any, **kw: Any) -> Any:
        """Call the user's function, and raise CancelledError if it was cancelled meanwhile.

        adbapi calls this in the thread, and commits or rolls back afterwards.
        """
        self._begin()
        checking.set(self._check)
        watching.set(self._commits)
        try:
            result = function(used, *args, **kw)
        except Exception as error:
            if not self._is_interruption(error):
                raise
        finally:
            self._end()
        # Outside the `except` block: inside, the new error would refer to the driver's and to its
        # frames. From now on, the pool's commit checks for a cancel until it begins.
        self._check()
        return result

    def _begin(self) -> None:
        with self._interrupting:
            if self.is_cancelled:
                raise CancelledError()
            self._thread = self.pool.threadID()
        self._commits = Commits(self.pool.connections.get(self._thread))

    def _check(self) -> None:
        if self.is_cancelled:
            raise self._commits.cancelled()

    def _end(self) -> None:
        # The lock waits for an interrupt that is under way: it must not hit what comes next, such
        # as the rollback.
        with self._interrupting:
            self._thread = None
        self._over.set()
        self._commits.end()

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
        while (took := self._interrupt_once()) is not None:
            if self._over.wait(max(pause, min(took, LAST_PAUSE))):
                return
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
