"""Errors for calls in another thread than the reactor's.

Twisted and this package are not thread-safe: such a call would corrupt a scope, or go unnoticed.
"""

from __future__ import annotations

from threading import current_thread, get_ident
from typing import Protocol

from twisted.internet.interfaces import IReactorThreads, IReactorTime
from twisted.python import threadable

from .._kinds.where import frames


class HasClock(Protocol):
    """A scope, as this module sees it."""

    @property
    def clock(self) -> IReactorTime:
        """The clock of the scope, which is its reactor in production."""


def check_thread(scope: HasClock | None, call: str) -> None:
    """Raise a RuntimeError in another thread than that of the scope's reactor.

    Args:
        scope: the scope; without one, nothing is known, and nothing is raised.
        call: what was called, such as ``scope.track``.
    """
    if scope is not None:
        check_clocks_thread(scope.clock, call)


def check_clocks_thread(clock: IReactorTime, call: str) -> None:
    """Raise a RuntimeError as `check_thread` does, unless this is the thread of the clock."""
    if is_elsewhere(clock):
        raise RuntimeError(
            f"{call} was called in the thread {current_thread().name!r}, but only the reactor's "
            f"thread may call it. Write reactor.callFromThread({call}, ...)."
        )


def check_thread_to_begin(scope: HasClock | None, what: str) -> None:
    """Raise a RuntimeError as `check_thread` does; ``what`` is about to begin."""
    if scope is not None and is_elsewhere(scope.clock):
        raise RuntimeError(
            f"{what} was begun in the thread {current_thread().name!r}, but only the reactor's "
            "thread may do that. Write blockingCallFromThread(reactor, function, ...), from "
            "twisted.internet.threads, which also waits for the result."
        )


def is_elsewhere(clock: object) -> bool:
    """Whether this certainly is another thread than that of a reactor that runs."""
    thread = threadable.ioThread
    if thread is None or thread == get_ident() or not IReactorThreads.providedBy(clock):
        # No reactor has run yet, this is its thread, or a test has a clock of its own.
        return False
    # Of several reactors, Twisted knows only the thread of the one that was started last.
    is_reactors = any(frame.f_locals.get("self") is clock for frame in frames())
    return bool(getattr(clock, "running", False)) and not is_reactors
