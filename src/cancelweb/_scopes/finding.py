"""Which scope belongs to the code that runs, and which to a request."""

from __future__ import annotations

from typing import Any

from .context import current
from .scope import Scope

SCOPE = "_cancelweb_scope"
"""Where a request keeps its scope."""


def scope_or_none() -> Scope | None:
    """The scope of the request for which the code runs, or None."""
    scope = current.get()
    return scope if isinstance(scope, Scope) else None


def current_scope() -> Scope:
    """The scope of the request for which the code runs.

    For handlers, what they await, cleanup hooks and cancellers; use `scope_of` elsewhere. Twisted
    renders a pipelined request inside the context of the one before: where no entry point has met
    the second one, this is the scope of the first.

    Raises:
        LookupError: the code runs for no request, or in a callback or timer, where Twisted keeps
            no context.
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
    """The scope of a request, from anywhere.

    Raises:
        LookupError: no entry point of cancelweb has met this request.
    """
    scope = getattr(request, SCOPE, None)
    if not isinstance(scope, Scope):
        raise LookupError(
            f"{request!r} has no scope: decorate its handler with @cancel_on_disconnect, or wrap "
            "its resource in CancellingResource"
        )
    return scope
