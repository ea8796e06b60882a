"""Which scope the code that runs belongs to, and whether its own piece of work was asked to stop.

Two context variables, the context that a request has of its own, and how to call something as if
the handler did.
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
"""The scope in whose handler, hook or canceller the code runs."""


def never_asked() -> bool:
    """Stands in the code of what the handler returned, until that is asked."""
    return False


def _asked() -> bool:
    return True


was_asked: ContextVar[Callable[[], bool]] = ContextVar("cancelweb_asked", default=never_asked)
"""Tells whether the piece of work that the code belongs to was asked to stop; from any thread.

Only what is known without asking the scope, whose cause tells of all its work: leftover work."""


def contexts_of(scope: Subject | None, canceller: Canceller) -> Iterator[Context]:
    """The live contexts in which coroutines and generators of a scope, or of none, run for work.

    The work may wait for what other requests have begun; the contexts of those are left out.
    """
    return (each for each in canceller.live_contexts() if each.get(current) is scope)


def mark_asked(scope: Subject, canceller: Canceller) -> None:
    """A piece of work is about to be asked to stop."""
    for context in contexts_of(scope, canceller):
        # One that is entered belongs to code on the stack, which no cancel reaches either.
        with suppress(RuntimeError):
            context.run(was_asked.set, _asked)


def telling_of(scope: Subject | None, canceller: Canceller) -> Telling:
    """For what is logged of a piece of work whose scope may have closed by then.

    Args:
        scope: the scope, which has not closed yet; None for work outside of one.
        canceller: that of the work. A coroutine or generator of the scope runs in a context that
            counts more than the scope's own.
    """
    context = next(contexts_of(scope, canceller), None if scope is None else scope.context)
    return NOWHERE if context is None else Telling(ref(context))


def base_here() -> Context:
    """A copy of the context for a request that is about to be handled.

    It may be handled inside another's ``finish``, in the context of that; what the handler of that
    has set is left out.
    """
    other = current.get()
    if other is None:
        return copy_context()
    return Context() if other.base is None else other.base.copy()


def begin(scope: Subject) -> None:
    """Give a scope a context of its own; its base is as it was before the handler ran."""
    scope.base = base_here()
    scope.context = scope.base.copy()
    scope.context.run(current.set, scope)


def context_to_enter(scope: Subject) -> Context:
    """A context that can be entered, for code of the handler; that of its scope from now on.

    It is a copy where the former one is entered just now: the handler's call may be on the stack;
    or where code of the handler goes on in it, maybe while this code has it entered.
    """
    context = base_here() if scope.context is None else scope.context
    if scope.has_own_context or _is_entered(context):
        context = copy_context() if current.get() is scope else context.copy()
    scope.context = context
    return context


def start_for(scope: Subject, coroutine: Any) -> Deferred[Any]:
    """Start a coroutine of the handler's; its context is that of its scope from now on."""
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
