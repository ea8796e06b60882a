"""Call functions in threads (deferToThread) for requests whose clients may leave.

Like `twisted.internet.threads`, except for cancels: the thread can find out, and the Deferred
fires when the thread is free. `_stoppable.thread_calls` has the details.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorThreads
from twisted.python.threadpool import ThreadPool

from ._checks import check_function, shown
from ._scopes.finding import scope_or_none
from ._scopes.refusal import begin
from ._scopes.shield import tracker_here
from ._stoppable.reactors import reactor_for
from ._stoppable.thread_calls import ThreadCall, current_call

__all__ = ["check", "defer_to_thread", "defer_to_thread_pool"]

P = ParamSpec("P")
R = TypeVar("R")


def defer_to_thread(f: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
    """Call a function in a thread of the reactor's pool.

    The reactor is that of the current scope if it has threads, or else the global one.

    Args:
        f: the function, called in a copy of the caller's context. There, `cancelweb.current_scope`
            returns the caller's scope, whose ``check`` raises `cancelweb.ScopeCancelled` once the
            scope has been cancelled. `check` also raises if only this Deferred was cancelled.
        *args: positional arguments for ``f``.
        **kwargs: keyword arguments for ``f``.

    Returns:
        A Deferred that fires with what ``f`` returned or raised. If it is cancelled before ``f``
        has begun, ``f`` is never called, and the Deferred fails with CancelledError at once. A call
        that has begun cannot be ended from outside. The Deferred then fires when ``f`` has really
        ended, even if it is cancelled again: with whatever ``f`` raised, or with CancelledError in
        place of what ``f`` returned. In a cancelled scope the Deferred fails with
        `cancelweb.StartRefused`, except during cleanup: see `cancelweb.cleaning`.
    """
    check_function("f", f)
    reactor = reactor_for(None, IReactorThreads)
    return defer_to_thread_pool(reactor, reactor.getThreadPool(), f, *args, **kwargs)


def defer_to_thread_pool(
    reactor: IReactorFromThreads,
    threadpool: ThreadPool,
    f: Callable[P, R],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Deferred[R]:
    """Call a function in a thread of a pool of your own; otherwise like `defer_to_thread`.

    Args:
        reactor: the Deferred fires in this reactor's thread.
        threadpool: calls ``f``. A pool that has been stopped never calls it.
        f: see `defer_to_thread`.
        *args: positional arguments for ``f``.
        **kwargs: keyword arguments for ``f``.
    """
    check_function("f", f)
    if not hasattr(reactor, "callFromThread"):
        raise TypeError(f"reactor must provide IReactorFromThreads, not {shown(reactor)}")
    if not hasattr(threadpool, "callInThreadWithCallback"):
        raise TypeError(f"threadpool must be a ThreadPool of Twisted, not {shown(threadpool)}")
    start: Any = ThreadCall(reactor).start
    return begin("a call in a thread", start, threadpool, f, *args, **kwargs)


def check() -> None:
    """Raise if the result of this thread's call is no longer wanted.

    Call it in functions that `defer_to_thread` or a ``cancelweb.database.ConnectionPool`` runs;
    elsewhere it does nothing. It also works where there is no scope, as in a run of
    `cancelweb.Shared`, and where ``addTimeout``, for example, cancelled the Deferred alone.

    Raises:
        ScopeCancelled: the caller's scope has been cancelled. Work that is shielded from that
            cancel is not told.
        twisted.internet.defer.CancelledError: the Deferred of this call has been cancelled.
    """
    scope, call = scope_or_none(), current_call.get()
    if scope is not None and tracker_here() is scope:
        scope.check()
    if call is not None and call.is_cancelled:
        raise CancelledError()
