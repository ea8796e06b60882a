"""Find the context in which a handler's code runs, if it is not the context of its scope.

An ``inlineCallbacks`` handler, or a coroutine that the handler started itself, runs in a copy of
the context that Twisted has made. Variables that it sets are visible only in that copy.
"""

from __future__ import annotations

from inspect import CO_GENERATOR
from types import FrameType
from typing import Any

from twisted.internet.defer import Deferred

from .._kinds.contexts import live_contexts_below
from .._twisted.drivers import deferred_of_driver, driver_of, drivers_on_stack
from .context import current
from .parts import Subject
from .rare import NOTHING_BEGAN

CALLERS: set[int] = set()
"""The ids of the code objects that call handlers. Frames outside theirs are not the handler's."""


def find_context(scope: Subject, frame: FrameType | None = None) -> None:
    """Make the context in which the handler runs the context of its scope.

    Called before hooks or cancellers can see that context.

    Args:
        scope: the scope.
        frame: the frame of the method that adds a hook.
    """
    if scope.has_own_context:
        return
    if scope.is_in_call:
        if frame is not None and _is_called_by_handler(frame):
            return
        # A generator that ends during the call leaves no other trace than its outermost driver.
        for driver, context in drivers_on_stack(frame, CALLERS):
            if context.get(current) is scope:
                scope.own_rare().began = driver, context
    else:
        returned = scope.life.returned
        if isinstance(returned, Deferred):
            _find_context_of(scope, returned)


def _is_called_by_handler(frame: FrameType) -> bool:
    """Whether the caller of this frame is the handler itself and a plain function, as usual."""
    caller = frame.f_back
    if caller is None or caller.f_code.co_flags & CO_GENERATOR or caller.f_back is None:
        return False
    return id(caller.f_back.f_code) in CALLERS


def find_context_of(scope: Subject, returned: object) -> None:
    """Find the context of work that the handler returned.

    Called as soon as the handler has returned, because the context of ended work cannot be found.
    """
    if type(returned) is Deferred and not returned.called and driver_of(returned) is None:
        # Most handlers return such a plain Deferred, which runs no code in a context.
        return
    if isinstance(returned, Deferred) and not scope.has_own_context:
        _find_context_of(scope, returned)


def find_context_at_end(scope: Subject) -> None:
    """Find the context of work that is ending now, so that its driver is on the stack."""
    if scope.has_own_context:
        return
    for _, context in drivers_on_stack(None, CALLERS):
        if context.get(current) is scope:
            scope.context = context


def _find_context_of(scope: Subject, returned: Deferred[Any]) -> None:
    driver, began = scope.rare.began
    if began is not None:
        scope.rare.began = NOTHING_BEGAN
    if deferred_of_driver(driver) is returned:
        scope.context = began
        return
    for context in live_contexts_below(returned):
        if context.get(current) is scope:
            scope.context, scope.has_own_context = context, True
            return
