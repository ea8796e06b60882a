"""Functions in threads, for requests whose clients may leave.

As `twisted.internet.threads`, but for the cancelling: what the thread is told, and when the
Deferred fires. How, stands in `_stoppable.thread_calls`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorThreads
from twisted.python.threadpool import ThreadPool

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

    The reactor is that of the current scope, where it has threads, or else the global one.

    Args:
        f: called in a copy of the caller's context: `cancelweb.current_scope` gives the caller's,
            whose ``check`` raises `cancelweb.ScopeCancelled` once it has been cancelled. `check`
            tells also of a cancel of this Deferred alone.
        *args: what it is called with.
        **kwargs: and by name.

    Returns:
        A Deferred that fires with what ``f`` returned or raised. When it is cancelled and ``f``
        has not begun, ``f`` is never called, and the Deferred fails with CancelledError at once.
        A call that has begun cannot be ended from outside: the Deferred fires when ``f`` has
        really come to its end, be it cancelled once or twice. What it returns then is dropped for
        CancelledError; what it raises is the failure, whatever it is. In a scope that has been
        cancelled it fails with `cancelweb.StartRefused`, unless this is cleanup: see
        `cancelweb.cleaning`.
    """
    reactor = reactor_for(None, IReactorThreads)
    return defer_to_thread_pool(reactor, reactor.getThreadPool(), f, *args, **kwargs)


def defer_to_thread_pool(
    reactor: IReactorFromThreads,
    threadpool: ThreadPool,
    f: Callable[P, R],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Deferred[R]:
    """Call a function in a thread of a pool of your own; the rest is as in `defer_to_thread`.

    Args:
        reactor: in whose thread the Deferred fires.
        threadpool: where ``f`` is called; one that has been stopped never calls it.
        f: as in `defer_to_thread`.
        *args: what it is called with.
        **kwargs: and by name.
    """
    start: Any = ThreadCall(reactor).start
    return begin("a call in a thread", start, threadpool, f, *args, **kwargs)


def check() -> None:
    """Ask, in a thread, whether anybody still wants the result; elsewhere this does nothing.

    For what `defer_to_thread` calls, or a ``cancelweb.database.ConnectionPool``, also where there
    is no scope, as in a run of `cancelweb.Shared`, and where it is not the scope that has
    cancelled, but ``addTimeout``, say.

    Raises:
        ScopeCancelled: the scope of the caller has been cancelled. Work that is shielded from it is
            not told.
        twisted.internet.defer.CancelledError: the Deferred of this call has been.
    """
    scope, call = scope_or_none(), current_call.get()
    if scope is not None and tracker_here() is scope:
        scope.check()
    if call is not None and call.is_cancelled:
        raise CancelledError()
