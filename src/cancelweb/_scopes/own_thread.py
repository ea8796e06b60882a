"""Errors for calls in another thread than the reactor's.

Twisted and this package are not thread-safe: such a call would corrupt a scope, or go unnoticed.
"""

from __future__ import annotations

from threading import current_thread, get_ident
from typing import Protocol


class HasThread(Protocol):
    """A scope, as this module sees it."""

    @property
    def thread(self) -> int:
        """The number of the thread of its reactor."""


def check_thread(scope: HasThread | None, call: str) -> None:
    """Raise a RuntimeError in another thread than that of the scope.

    Args:
        scope: the scope; without one, nothing is known, and nothing is raised.
        call: what was called, such as ``scope.track``.
    """
    if scope is not None and scope.thread != get_ident():
        raise RuntimeError(
            f"{call} was called in the thread {current_thread().name!r}, but only the reactor's "
            f"thread may call it. Write reactor.callFromThread({call}, ...)."
        )


def check_thread_to_begin(scope: HasThread | None, what: str) -> None:
    """Raise a RuntimeError in another thread than that of the scope; ``what`` is about to begin."""
    if scope is not None and scope.thread != get_ident():
        raise RuntimeError(
            f"{what} was begun in the thread {current_thread().name!r}, but only the reactor's "
            "thread may do that. Write blockingCallFromThread(reactor, function, ...), from "
            "twisted.internet.threads, which also waits for the result."
        )
