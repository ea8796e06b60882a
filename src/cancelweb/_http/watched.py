"""What the fast path of a `RequestScope` watches: a plain Deferred, or a timer of Twisted.

A Deferred is watched as it is; a canceller for it is made only where the scope takes the general
way. Each function asks which of the two it is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.web.server import NOT_DONE_YET

from .._kinds.cancellers import Canceller
from .._kinds.deferred_kinds import DeferredCanceller, cancel_deferred
from .._kinds.timers import TELLS_ENDS_OF_TIMERS, DelayedCallCanceller
from .._kinds.where import is_on_stack
from .._log import log

Watched = Deferred[Any] | DelayedCallCanceller


def watch(result: Any, settled: Callable[[object], object]) -> Watched | None:
    """Have ``settled`` called with the end of the work; None if it is of another kind, or over."""
    kind = type(result)
    if kind is Deferred and not result.called:
        result.addCallbacks(settled, settled)
        return result  # type: ignore[no-any-return]
    if kind is DelayedCall and TELLS_ENDS_OF_TIMERS and result.active():
        return DelayedCallCanceller(result, settled)
    return None


def is_answer(result: object) -> bool:
    """Whether the work has come to something that is not to be waited for, and is no failure."""
    return result is NOT_DONE_YET or result is None or isinstance(result, bytes)


def is_running(watched: Watched, suspended: object) -> bool:
    """Whether its own code is on the stack, so that it cannot be stopped at once.

    Args:
        watched: what it is.
        suspended: the coroutine that the Deferred was made of, or None.
    """
    if suspended is None:
        return type(watched) is DelayedCallCanceller and watched.is_ending
    return is_on_stack(suspended)


def stop(watched: Watched, context: Context | None) -> bool:
    """Ask it to stop, as the only work of its scope.

    Args:
        watched: what it is; not running.
        context: that of the handler, in which cancellers run.

    Returns:
        Whether it has ended, and does not tell so.
    """
    assert context is not None
    if isinstance(watched, Deferred):
        context.copy().run(cancel_deferred, watched)
        return False
    try:
        context.copy().run(watched.cancel_unheard)
    except BaseException:
        log.failure("the canceller {canceller} failed", canceller=watched.describe())
        return False
    return True


def canceller_of(watched: Watched, suspended: object) -> Canceller:
    """What stops it in the general way.

    Args:
        watched: is watched already.
        suspended: the coroutine that the Deferred was made of, or None.
    """
    if isinstance(watched, Deferred):
        return DeferredCanceller(watched, suspended)
    return watched
