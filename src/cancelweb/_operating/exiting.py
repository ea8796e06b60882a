"""End a process that does not exit in time (``exit_after``), after telling what holds it up.

Needs neither the reactor nor the main thread: either may be what does not end. `holding_up` finds
what there is to tell.
"""

from __future__ import annotations

import os
import sys
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Callable, Iterable
from contextlib import suppress
from faulthandler import cancel_dump_traceback_later, dump_traceback_later
from itertools import islice
from signal import Signals
from threading import TIMEOUT_MAX
from typing import NoReturn

from .._log import log
from .._twisted.process import exit_at_once
from .holding_up import Holder

TELL = 1.0
"""Seconds to write the log, which may be a pipe that nothing reads, and for Python to get to it."""

MOST = 50
"""How many lines about what holds the process up are written at most."""

UNKNOWN = Holder(
    "something that cancelweb does not know",
    "a trigger before the shutdown of the reactor, or a service that does not stop",
)


class ExitLimit:
    """The time in which a process must have ended, and what happens when it has not.

    Args:
        holders: returns what holds the process up. Called in a thread of its own.
        signal: returns the number of the signal by which the process ends.
    """

    def __init__(self, holders: Callable[[], Iterable[Holder]], signal: Callable[[], int]) -> None:
        self._holders, self._signal = holders, signal
        self._waits: list[LockType] = []

    def within(self, seconds: float) -> None:
        """Let the process go on for this many seconds from now, in place of the former limit.

        A signal handler may call it.
        """
        self.withdraw()
        # A thread cannot wait for longer than some centuries, nor for less than nothing.
        seconds = min(max(seconds, 0.0), TIMEOUT_MAX - 2 * TELL)
        self._waits = [
            _later(seconds, self._run_out),
            # The other thread may be stuck while it writes the log.
            _later(seconds + TELL, self._end),
        ]
        # This needs no thread of Python. A driver that waits for its network without letting go of
        # Python's global lock blocks them all.
        dump_traceback_later(seconds + 2 * TELL, exit=True, file=_standard_error())

    def withdraw(self) -> None:
        """Let the process go on without a limit."""
        waits, self._waits = self._waits, []
        for wait in waits:
            wait.release()
        cancel_dump_traceback_later()

    def _run_out(self) -> None:
        try:
            self._tell()
        except BaseException:
            # The reactor's thread may have changed what was being read.
            log.failure("cannot tell what holds the process up")
        finally:
            self._end()

    def _tell(self) -> None:
        found = list(self._holders()) or [UNKNOWN]
        log.warn(
            "the process has not ended in time and is ended by {name}; {count} still running:",
            name=Signals(self._signal()).name,
            count=len(found),
        )
        for holder in islice(found, MOST):
            log.warn("still running: {what}: {where}", what=holder.what, where=holder.where)

    def _end(self) -> None:
        end_by(self._signal())


def _later(seconds: float, act: Callable[[], object]) -> LockType:
    """Call a function in a thread after so many seconds, unless the returned lock is released.

    The locks of `threading` are not reentrant, so a signal handler must not take them: the code
    that it interrupts may hold them.
    """
    wait = allocate_lock()
    wait.acquire()
    start_new_thread(_wait, (wait, seconds, act))
    return wait


def _wait(wait: LockType, seconds: float, act: Callable[[], object]) -> None:
    if not wait.acquire(timeout=seconds):
        act()


def _standard_error() -> int:
    """The file descriptor for tracebacks. Log observers may have replaced `sys.stderr`."""
    with suppress(AttributeError, OSError, ValueError):
        return sys.__stderr__.fileno()  # type: ignore[union-attr]
    return os.open(os.devnull, os.O_WRONLY)


def end_by(number: int) -> NoReturn:
    """End this process by a signal, so that its exit status says so; from any thread."""
    # Python's own `signal.signal` works in the main thread alone. None stands for SIG_DFL.
    with suppress(Exception):
        from ctypes import CDLL  # which not every build of Python has

        CDLL(None).signal(number, None)
        os.kill(os.getpid(), number)
    # The kernel ignores this signal if the process is the first of a container. A shell shows the
    # same status for both ends.
    exit_at_once(128 + number)
