"""Find the current scope (`current_scope`), or the scope of a request (`scope_of`)."""

from __future__ import annotations

from threading import current_thread, main_thread
from typing import Any

from twisted.python.threadable import isInIOThread

from .._checks import shown
from .context import current
from .scope import Scope

SCOPE = "_cancelweb_scope"
"""The attribute in which a request keeps its scope."""


def scope_or_none() -> Scope | None:
    """The scope of the request that the calling code works for, or None."""
    scope = current.get()
    return scope if isinstance(scope, Scope) else None


def current_scope() -> Scope:
    """The scope of the request that the calling code works for.

    Call it in handlers, in coroutines that they await, in cleanup hooks and in cancellers; use
    `scope_of` elsewhere. Twisted renders a pipelined request inside the context of the one before.
    If no entry point serves the second request, this is the scope of the first.

    Raises:
        LookupError: the code works for no request. Or it is in a callback, a timer or a thread:
            Twisted keeps no context for these.
    """
    scope = scope_or_none()
    if scope is None:
        raise LookupError(f"there is no current scope here. {_where_to_call()}")
    return scope


def scope_of(request: Any) -> Scope:
    """The scope of a request. Call it from anywhere, also in callbacks and timers.

    Args:
        request: a request that an entry point serves.

    Raises:
        LookupError: no entry point of cancelweb has served this request.
    """
    scope = getattr(request, SCOPE, None)
    if isinstance(scope, Scope):
        return scope
    if not hasattr(request, "notifyFinish"):
        raise LookupError(f"scope_of takes a request, not {shown(request)}")
    raise LookupError(
        f"{request!r} has no scope. Decorate its handler with @cancel_on_disconnect, or wrap its "
        "resource in CancellingResource."
    )


def _where_to_call() -> str:
    if not isInIOThread() and current_thread() is not main_thread():
        return (
            "A thread has one only if it was started with the context of a request: start it with "
            "cancelweb.threads.defer_to_thread, or pass it the scope."
        )
    return (
        "Call this in a handler that is decorated with @cancel_on_disconnect or wrapped in "
        "CancellingResource, or in a coroutine that the handler awaits. In callbacks and timers, "
        "use cancelweb.scope_of(request)."
    )
