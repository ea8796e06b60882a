"""Context variables: the current scope, and whether the current work was asked to stop.

This module also makes the context of each request, and calls functions in the context of a handler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar
from weakref import ref

from twisted.internet.defer import Deferred

from .._kinds.cancellers import Canceller
from .._kinds.contexts import start
from .parts import Subject
from .telling import NOWHERE, Telling

R = TypeVar("R")

current: ContextVar[Subject | None] = ContextVar("cancelweb_scope", default=None)
"""The scope whose handler, hook or canceller is running."""

set_current = current.set
"""Looked up once: each request calls this."""


def never_asked() -> bool:
    """The default of `was_asked`: the current work was not asked to stop."""
    return False


def _asked() -> bool:
    return True


was_asked: ContextVar[Callable[[], bool]] = ContextVar("cancelweb_asked", default=never_asked)
"""Tells, in any thread, whether the current piece of work was asked to stop as leftover work.

The cause of the scope tells that for all of its work, if the request was cancelled."""


def contexts_of(scope: Subject | None, canceller: Canceller) -> Iterator[Context]:
    """The live contexts in which coroutines and generators of a scope (or of none) do this work.

    The work may wait for work of other requests, whose contexts are left out.
    """
    return (each for each in canceller.live_contexts() if each.get(current) is scope)


def mark_asked(scope: Subject, canceller: Canceller) -> None:
    """Set `was_asked` in a piece of work that is about to be asked to stop."""
    for context in contexts_of(scope, canceller):
        # A context that is entered belongs to code on the stack, which a cancel cannot reach.
        with suppress(RuntimeError):
            context.run(was_asked.set, _asked)


def telling_of(scope: Subject | None, canceller: Canceller) -> Telling:
    """A `Telling` for log lines about work, which may come after its scope has closed.

    Args:
        scope: the scope, which has not closed yet; None for work outside a scope.
        canceller: the canceller of the work. The context of the work's coroutine or generator is
            preferred to that of the scope.
    """
    context = next(contexts_of(scope, canceller), None if scope is None else scope.context)
    return NOWHERE if context is None else Telling(ref(context))


def base_here() -> Context:
    """A copy of the current context for a new request, without variables of another handler.

    Twisted renders a pipelined request inside the ``finish`` of the one before, in that one's
    context.
    """
    other = current.get()
    if other is None:
        return copy_context()
    return Context() if other.rare.base is None else other.rare.base.copy()


def begin(scope: Subject) -> None:
    """Give a scope a context of its own, and keep a copy from before the handler as its base."""
    base = scope.own_rare().base = base_here()
    scope.context = base.copy()
    scope.context.run(set_current, scope)


def context_to_enter(scope: Subject) -> Context:
    """A context for code of the handler, which becomes the context of its scope.

    It is a copy if the current one is entered now, because the handler's call is on the stack. It
    is also a copy if a coroutine of the handler owns the current one, and may enter it at any time.
    """
    context = base_here() if scope.context is None else scope.context
    if scope.has_own_context or _is_entered(context):
        context = copy_context() if current.get() is scope else context.copy()
    scope.context = context
    return context


def start_for(scope: Subject, coroutine: Any) -> Deferred[Any]:
    """Start a coroutine of the handler in a context that becomes the context of its scope."""
    context = context_to_enter(scope)
    scope.has_own_context = True
    return start(context, coroutine)


def _is_entered(context: Context) -> bool:
    try:
        context.run(int)
    except RuntimeError:
        return True
    return False


def call_in(
    scope: Subject | None, context: Context | None, function: Callable[..., R], *args: Any
) -> R:
    """Call a function in a copy of the context, because no context can be entered twice.

    Without a context this copies the caller's, and makes the scope current there.
    """
    if context is not None:
        return context.copy().run(function, *args)
    copy = copy_context()
    copy.run(set_current, scope)
    return copy.run(function, *args)


def in_copy(scope: Subject, function: Callable[..., R], *args: Any) -> R:
    """Call a function that sees the handler's context variables; variables it sets are lost."""
    return call_in(scope, scope.context, function, *args)


def in_context(scope: Subject, function: Callable[..., R], *args: Any) -> R:
    """Call a function in the handler's context: directly if that is current, else in a copy."""
    return function(*args) if current.get() is scope else in_copy(scope, function, *args)
