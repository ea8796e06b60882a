"""Finding the context in which a handler's code runs, where it is not the one of its scope.

An ``inlineCallbacks`` handler, or a coroutine that the handler has started itself, runs in a copy
that Twisted has made; what it sets is seen there alone.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from .._kinds.contexts import live_contexts_below
from .._kinds.leaves import is_leaf
from .._twisted.drivers import deferred_of_driver, drivers_on_stack
from .context import current
from .parts import Subject

NOTHING_BEGAN = (None, None)

CALLERS: set[int] = set()
"""The ids of the codes that call handlers: what is on the stack behind these is not theirs."""


def find_context(scope: Subject) -> None:
    """Have the context of a scope be the one in which its handler runs.

    Called when there is something to see it: a hook that is added, or a canceller.
    """
    if scope.is_in_call:
        # The outermost driver is all that tells of a generator that comes to its end in the call.
        for driver, context in drivers_on_stack(CALLERS):
            if context.get(current) is scope:
                scope.began = driver, context
    else:
        returned = scope.life.returned
        if isinstance(returned, Deferred):
            _find_context_of(scope, returned)


def find_context_of(scope: Subject, returned: object) -> None:
    """The same, for what the handler has returned; called as soon as it has.

    It looks only where there is something to see what is set there: hooks, observers, monitors.
    """
    if isinstance(returned, Deferred) and not is_leaf(returned) and scope.life.is_looked_at:
        _find_context_of(scope, returned)


def _find_context_of(scope: Subject, returned: Deferred[Any]) -> None:
    (driver, began), scope.began = scope.began, NOTHING_BEGAN
    if deferred_of_driver(driver) is returned:
        scope.context = began
        return
    for context in live_contexts_below(returned):
        if context.get(current) is scope:
            scope.context = context
            return
