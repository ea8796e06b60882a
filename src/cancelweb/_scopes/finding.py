"""Find the current scope (`current_scope`), or the scope of a request (`scope_of`)."""

from __future__ import annotations

from typing import Any

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
        LookupError: the code works for no request, or it is in a callback or timer, for which
            Twisted keeps no context.
    """
    scope = scope_or_none()
    if scope is None:
        raise LookupError(
            "there is no current scope here: call this in a handler that is decorated with "
            "@cancel_on_disconnect or wrapped in CancellingResource, or in what it awaits; in "
            "callbacks, timers and threads use cancelweb.scope_of(request)"
        )
    return scope


def scope_of(request: Any) -> Scope:
    """The scope of a request. Call it from anywhere, also in callbacks and timers.

    Args:
        request: a request that an entry point serves.

    Raises:
        LookupError: no entry point of cancelweb has served this request.
    """
    scope = getattr(request, SCOPE, None)
    if not isinstance(scope, Scope):
        raise LookupError(
            f"{request!r} has no scope: decorate its handler with @cancel_on_disconnect, or wrap "
            "its resource in CancellingResource"
        )
    return scope
