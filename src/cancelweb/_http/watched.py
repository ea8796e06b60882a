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
from .._kinds.deferred_kinds import DeferredCanceller, cancel_leaf, cancel_simply
from .._kinds.leaves import is_driven_now
from .._kinds.let_go import is_stoppable_leaf
from .._kinds.timers import TELLS_ENDS_OF_TIMERS, DelayedCallCanceller
from .._kinds.where import is_on_stack
from .._log import log
from .._scopes.telling import log_in

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


def unwatched(result: Any, suspended: object) -> object:
    """What a handler returned, and the fast path does not watch: for the general way.

    Args:
        result: what it is.
        suspended: the coroutine that it is the Deferred of, which must not be started once more.
    """
    return result if suspended is None else DeferredCanceller(result, suspended)


def is_answer(result: object) -> bool:
    """Whether the work has come to something that is not to be waited for, and is no failure."""
    return result is NOT_DONE_YET or result is None or isinstance(result, bytes)


def can_stop(watched: Watched, suspended: object, may_be_below: bool) -> bool:
    """Whether it can be stopped at once, and in the context that its scope knows.

    Not where code of it is on the stack, nor where it waits for what other code has started.

    Args:
        watched: what it is.
        suspended: the coroutine that the Deferred was made of, or None.
        may_be_below: see `WorkSet.is_running`.
    """
    if isinstance(watched, DelayedCallCanceller):
        return not watched.is_ending
    if suspended is None:
        return is_stoppable_leaf(watched)
    return not (is_on_stack(suspended) or (may_be_below and is_driven_now(watched, set())))


def stop(watched: Watched | None, suspended: object, context: Context | None) -> bool | None:
    """Ask it to stop, as the only work of its scope.

    Args:
        watched: what it is; it can be stopped.
        suspended: the coroutine that the Deferred was made of, or None.
        context: that of the handler, in which cancellers run.

    Returns:
        Whether it has ended, and does not tell so. None if nothing was done: it has to take the
        general way, since a part of it may be let go.
    """
    assert context is not None
    if isinstance(watched, Deferred):
        if suspended is None:
            context.copy().run(cancel_leaf, watched)
            return False
        return False if context.copy().run(cancel_simply, watched) else None
    assert watched is not None
    try:
        context.copy().run(watched.cancel_unheard)
    except BaseException:
        text, name = "the canceller {canceller} failed", watched.describe()
        log_in(context, log.failure, text, canceller=name)
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
