"""Work on the fast path of a `RequestScope`: a plain Deferred, or a timer of Twisted.

A Deferred is watched directly; it gets a canceller only if its scope takes the general way. Each
function distinguishes the two kinds.
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
    """Call ``settled`` when the work ends.

    Returns:
        The watched work; None if it is of another kind or has already ended.
    """
    kind = type(result)
    if kind is Deferred and not result.called:
        result.addCallbacks(settled, settled)
        return result  # type: ignore[no-any-return]
    if kind is DelayedCall and TELLS_ENDS_OF_TIMERS and result.active():
        return DelayedCallCanceller(result, settled)
    return None


def unwatched(result: Any, suspended: object) -> object:
    """What the handler returned, for the general way, because the fast path does not watch it.

    Args:
        result: the handler's result; if it was a coroutine, the Deferred made from that.
        suspended: the coroutine, or None. It has been started, and must not be started again.
    """
    return result if suspended is None else DeferredCanceller(result, suspended)


def is_answer(result: object) -> bool:
    """Whether the result of work is neither a failure nor further work."""
    return result is NOT_DONE_YET or result is None or isinstance(result, bytes)


def can_stop(watched: Watched, suspended: object, may_be_below: bool) -> bool:
    """Whether the work can be stopped at once, in the context that its scope knows.

    It cannot while its own code is on the stack, or while it waits for work that other code has
    started.

    Args:
        watched: the work.
        suspended: the coroutine from which the Deferred was made, or None.
        may_be_below: see `WorkSet.is_running`.
    """
    if isinstance(watched, DelayedCallCanceller):
        return not watched.is_ending
    if suspended is None:
        return is_stoppable_leaf(watched)
    return not (is_on_stack(suspended) or (may_be_below and is_driven_now(watched, set())))


def stop(watched: Watched | None, suspended: object, context: Context | None) -> bool | None:
    """Ask the only work of a scope to stop.

    Args:
        watched: the work, for which `can_stop` is true.
        suspended: the coroutine from which the Deferred was made, or None.
        context: the context of the handler, in which cancellers run.

    Returns:
        True if the work has ended without calling ``settled``, False if ``settled`` reports its
        end. None if nothing was done: part of the work may be let go, so the scope must take the
        general way.
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
    """The canceller of watched work, for the general way.

    Args:
        watched: the work.
        suspended: the coroutine from which the Deferred was made, or None.
    """
    if isinstance(watched, Deferred):
        return DeferredCanceller(watched, suspended)
    return watched
