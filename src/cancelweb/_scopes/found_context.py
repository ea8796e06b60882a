"""Finding the context in which a handler's code runs, where it is not the one of its scope.

An ``inlineCallbacks`` handler, or a coroutine that the handler has started itself, runs in a copy
that Twisted has made; what it sets is seen there alone.
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

NOTHING_BEGAN = (None, None)

CALLERS: set[int] = set()
"""The ids of the codes that call handlers: what is on the stack behind these is not theirs."""


def find_context(scope: Subject, frame: FrameType | None = None) -> None:
    """Have the context of a scope be the one in which its handler runs.

    Called when there is something to see it: a hook that is added, or a canceller.

    Args:
        scope: the scope.
        frame: that of the code which adds a hook.
    """
    if scope.has_own_context:
        return
    if scope.is_in_call:
        if frame is not None and _is_called_by_handler(frame):
            return
        # The outermost driver is all that tells of a generator that comes to its end in the call.
        for driver, context in drivers_on_stack(frame, CALLERS):
            if context.get(current) is scope:
                scope.began = driver, context
    else:
        returned = scope.life.returned
        if isinstance(returned, Deferred):
            _find_context_of(scope, returned)


def _is_called_by_handler(frame: FrameType) -> bool:
    """Whether a function was called by a plain one that is the handler itself, as most are."""
    caller = frame.f_back
    if caller is None or caller.f_code.co_flags & CO_GENERATOR or caller.f_back is None:
        return False
    return id(caller.f_back.f_code) in CALLERS


def find_context_of(scope: Subject, returned: object) -> None:
    """The same, for what the handler has returned; called as soon as it has.

    When it has come to its end, its context is not to be found any more.
    """
    if type(returned) is Deferred and not returned.called and driver_of(returned) is None:
        # As most are. None waits for what runs in a context of the handler's.
        return
    if isinstance(returned, Deferred) and not scope.has_own_context:
        _find_context_of(scope, returned)


def find_context_at_end(scope: Subject) -> None:
    """The same, for what is coming to its end just now: what drives it is on the stack."""
    if scope.has_own_context:
        return
    for _, context in drivers_on_stack(None, CALLERS):
        if context.get(current) is scope:
            scope.context = context


def _find_context_of(scope: Subject, returned: Deferred[Any]) -> None:
    (driver, began), scope.began = scope.began, NOTHING_BEGAN
    if deferred_of_driver(driver) is returned:
        scope.context = began
        return
    for context in live_contexts_below(returned):
        if context.get(current) is scope:
            scope.context, scope.has_own_context = context, True
            return
