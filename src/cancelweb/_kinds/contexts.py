"""The contexts in which coroutines and generators run, and what is set in them: live, not copies.

Each of Twisted's drivers of a coroutine or generator runs all its steps in one context, which it
copies when it starts. To find one changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import Context
from typing import Any

from twisted.internet.defer import Deferred

from .._twisted.access import context_of_driver, driver_of
from .._twisted.checks import check
from .leaves import awaited_by

check("contexts")


def live_context_of(deferred: Deferred[Any]) -> Context | None:
    """The context of the coroutine or generator for which a Deferred waits, the outermost.

    None if there is no such thing, or if it cannot be told.
    """
    return next(live_contexts_below(deferred), None)


def live_contexts_below(deferred: Deferred[Any]) -> Iterator[Context]:
    """The contexts of all coroutines and generators for which a Deferred waits."""
    seen: set[int] = set()
    todo = [deferred]
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        driver = None if each.called else driver_of(each)
        if driver is not None and (context := context_of_driver(driver)) is not None:
            yield context
        todo.extend(reversed(awaited_by(each) or ()))
