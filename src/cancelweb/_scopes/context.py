"""Which scope the code that runs belongs to.

One context variable, and how to call something as if the handler did.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from .parts import Subject

R = TypeVar("R")

current: ContextVar[Subject | None] = ContextVar("cancelweb_scope", default=None)
"""The scope in whose handler, hook or canceller the code runs."""


def call_in(
    scope: Subject | None, context: Context | None, function: Callable[..., R], *args: Any
) -> R:
    """Call in a copy of the context, or of the caller's: no context can be entered twice.

    In the handler's context the scope is current already.
    """
    if context is not None:
        return context.copy().run(function, *args)
    copy = copy_context()
    copy.run(current.set, scope)
    return copy.run(function, *args)


def in_copy(scope: Subject, function: Callable[..., R], *args: Any) -> R:
    """Call so that the handler's context variables are seen; what is set is not seen elsewhere."""
    return call_in(scope, scope.context, function, *args)


def in_context(scope: Subject, function: Callable[..., R], *args: Any) -> R:
    """The same, or as it is where the handler's code runs already."""
    return function(*args) if current.get() is scope else in_copy(scope, function, *args)
