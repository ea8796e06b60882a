"""The contexts in which coroutines and generators run, and what is set in them: live, not copies.

Each of Twisted's drivers of a coroutine or generator runs all its steps in one context. This starts
a coroutine in a given one, and finds that of one which other code has started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Iterable, Iterator
from contextvars import Context
from typing import Any

from twisted.internet.defer import Deferred

from .._twisted.checks import check
from .._twisted.drivers import context_of_driver, driver_of, start_in
from .leaves import all_below


def _start_stepwise(context: Context, coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """The same as `start_in`, in public terms: one more generator in each step."""
    return Deferred.fromCoroutine(_steps(context, coroutine))


def _steps(context: Context, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    step, value = coroutine.send, None
    while True:
        try:
            awaited = context.run(step, value)
        except StopIteration as end:
            return end.value
        try:
            step, value = coroutine.send, (yield awaited)
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:
            step, value = coroutine.throw, error


start = start_in if check("contexts") else _start_stepwise
"""Start a coroutine all of whose steps run in a context; that must not be entered just now."""


def live_contexts_of(future: asyncio.Future[Any]) -> Iterable[Context]:
    """The context in which an asyncio task runs; it tells from Python 3.12 on."""
    get_context = getattr(future, "get_context", None)
    context = None if get_context is None else get_context()
    return (context,) if isinstance(context, Context) else ()


def live_contexts_below(deferred: Deferred[Any]) -> Iterator[Context]:
    """The contexts of all coroutines and generators for which a Deferred waits."""
    for each, _ in all_below(deferred, set()):
        driver = None if each.called else driver_of(each)
        if driver is not None and (context := context_of_driver(driver)) is not None:
            yield context
