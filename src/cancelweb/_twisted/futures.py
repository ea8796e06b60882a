"""What asyncio's futures and tasks pass a cancel on to, and which future is behind a Deferred.

Reads private names of asyncio, and the closures of the callbacks that pass a cancel on. Each
function here also works if a name is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import FunctionType
from typing import Any

_PASSING_ON = {
    "_chain_future.<locals>._call_check_cancel": ("asyncio.futures", "source"),
    "Deferred.asFuture.<locals>.checkCancel": ("twisted.internet.defer", "self"),
}
"""Callbacks that pass a cancel on, by name: their module, and the variable that they cancel."""


def future_behind(canceller: Any) -> asyncio.Future[Any] | None:
    """The future that ``Deferred.fromFuture`` made a Deferred with this canceller from, or None."""
    if getattr(canceller, "__qualname__", None) != "Deferred.fromFuture.<locals>.cancel":
        return None
    found = (cell.cell_contents for cell in canceller.__closure__ or ())
    return next((each for each in found if asyncio.isfuture(each)), None)


def cancelled_with(future: asyncio.Future[Any]) -> Iterator[Any]:
    """The futures and Deferreds that an asyncio future passes a cancel on to, one step down.

    These are what a task awaits, the members of a ``gather``, the tasks of a ``TaskGroup``, what
    ``wait_for`` waits for, the future of an executor, and the Deferred of ``asFuture``.
    """
    if future.done():
        return
    yield from getattr(future, "_children", ())
    if isinstance(future, asyncio.Task):
        awaited = getattr(future, "_fut_waiter", None)
        if awaited is not None:
            yield awaited
            yield from _cancelled_in(future.get_coro())
    for callback, *_ in getattr(future, "_callbacks", None) or ():
        yield from _cancelled_by(callback)


def _cancelled_by(callback: Any) -> Iterator[Any]:
    if type(callback) is not FunctionType:
        return
    module, variable = _PASSING_ON.get(callback.__qualname__, ("", ""))
    names = callback.__code__.co_freevars
    if callback.__module__ == module and variable in names:
        yield (callback.__closure__ or ())[names.index(variable)].cell_contents


def _cancelled_in(coroutine: Any) -> Iterator[Any]:
    """What asyncio's functions that a coroutine awaits cancel when they are cancelled."""
    coroutine = getattr(coroutine, "cr_await", None)
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        module, variables = frame.f_globals.get("__name__"), frame.f_locals
        if module == "asyncio.taskgroups":
            yield from tuple(getattr(variables.get("self"), "_tasks", ()))
        elif module == "asyncio.tasks" and asyncio.isfuture(variables.get("fut")):
            # `wait_for` of Python 3.11. Later versions await the future themselves.
            yield variables["fut"]
        coroutine = coroutine.cr_await
