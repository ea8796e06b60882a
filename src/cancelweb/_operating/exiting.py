"""End a process that does not exit in time (``exit_after``), after telling what holds it up.

Needs neither the reactor nor the main thread: either may be what does not end. `holding_up` finds
what there is to tell.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from faulthandler import dump_traceback_later
from itertools import islice
from signal import Signals
from threading import Timer
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
        self._timers: list[Timer] = []

    def within(self, seconds: float) -> None:
        """Let the process go on for this many seconds from now, in place of the former limit."""
        for timer in self._timers:
            timer.cancel()
        self._timers = [
            _started(Timer(seconds, self._run_out)),
            # The other thread may be stuck while it writes the log.
            _started(Timer(seconds + TELL, self._end)),
        ]
        exit_in_any_case(seconds + 2 * TELL)

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


def exit_in_any_case(seconds: float) -> None:
    """Have the process write tracebacks and exit with status 1 after so many seconds.

    This needs no thread of Python. A driver that waits for its network without letting go of
    Python's global lock blocks them all. A signal handler may call it.
    """
    dump_traceback_later(seconds, exit=True, file=_standard_error())


def _started(timer: Timer) -> Timer:
    timer.name = "cancelweb-exit-limit"
    timer.daemon = True
    timer.start()
    return timer


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
