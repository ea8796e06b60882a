"""The live contexts (contextvars) in which coroutines and generators run.

Each of Twisted's drivers of a coroutine or generator runs all its steps in one context. This
module starts a coroutine in a given context, and finds the context of code that already runs. It
returns the contexts themselves, not copies.
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
    """Do what `start_in` does with public names only, for one more generator per step."""
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
"""Start a coroutine whose steps all run in a context; the context must not be entered now."""


def live_contexts_of(future: asyncio.Future[Any]) -> Iterable[Context]:
    """The context in which an asyncio task runs; empty for other futures and before Python 3.12."""
    get_context = getattr(future, "get_context", None)
    context = None if get_context is None else get_context()
    return (context,) if isinstance(context, Context) else ()


def live_contexts_below(deferred: Deferred[Any]) -> Iterator[Context]:
    """The contexts of all coroutines and generators that a Deferred waits for."""
    for each, _ in all_below(deferred, set()):
        driver = None if each.called else driver_of(each)
        if driver is not None and (context := context_of_driver(driver)) is not None:
            yield context
