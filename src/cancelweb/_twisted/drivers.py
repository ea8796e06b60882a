"""Twisted's drivers of coroutines and generators: what they wait for, and their contexts.

A driver is the private object that ``inlineCallbacks`` and ``Deferred.fromCoroutine`` keep for each
coroutine or generator. Each function here also works if a name is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextvars import Context
from itertools import chain
from types import CodeType, FrameType, FunctionType
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import Deferred

_DRIVER: Any = getattr(defer, "_CancellationStatus", None)


def driver_of(deferred: Any) -> Any:
    """Twisted's driver of the coroutine or generator behind a Deferred, or None."""
    canceller = getattr(deferred, "_canceller", None)
    return driver_behind(canceller) if type(canceller) is FunctionType else None


def driver_behind(canceller: object) -> Any:
    """The driver in the closure of this canceller, which it gave to its Deferred; or None."""
    if type(canceller) is not FunctionType:
        return None
    for cell in canceller.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:
            # A variable of the user's own function, which has no value yet.
            continue
        if type(content) is _DRIVER and hasattr(content, "waitingOn"):
            return content
    return None


def deferred_of_driver(driver: Any) -> Any:
    """The Deferred that a driver fires in the end, or has fired; None for any other object."""
    return getattr(driver, "deferred", None) if type(driver) is _DRIVER else None


def awaited_by_driver(driver: Any) -> Any:
    """The Deferred that a driver's coroutine or generator awaited last; None without a driver."""
    return getattr(driver, "waitingOn", None)


def callbacks_of(deferred: Any) -> Iterable[Any]:
    """The callbacks that a Deferred has yet to call, with their arguments."""
    callbacks = getattr(deferred, "_callbacks", None)
    # Twisted 24.7 has only the other name; later releases warn of its use.
    return getattr(deferred, "callbacks", ()) if callbacks is None else callbacks


def arguments_of_driver(driver: Any) -> Sequence[Any]:
    """What a driver will be called with when what it waits for arrives; empty while it runs.

    This includes the coroutine or generator that it drives, and its context.
    """
    for (_, arguments, _), _ in callbacks_of(awaited_by_driver(driver)):
        if arguments and any(each is driver for each in arguments):
            return arguments  # type: ignore[no-any-return]
    return ()


_DRIVE: Any = getattr(defer, "_inlineCallbacks", None)
DRIVING: CodeType | None = getattr(_DRIVE, "__code__", None)
"""The code of every driver, which resumes coroutines and generators."""

_CANCEL: Any = getattr(defer, "_addCancelCallbackToDeferred", None)


def start_in(context: Context, coroutine: Any) -> Any:
    """The Deferred of a coroutine whose steps all run in this context, which is not entered now.

    Like ``Deferred.fromCoroutine``, which runs them in a copy of the current context.
    """
    started: Deferred[Any] = Deferred(lambda deferred: _CANCEL(deferred, driver))
    driver = _DRIVER(started)
    _DRIVE(None, coroutine, driver, context)
    return started


def context_of_driver(driver: Any) -> Context | None:
    """The context in which a driver runs its coroutine or generator, even if it runs now."""
    found = (each for each in arguments_of_driver(driver) if isinstance(each, Context))
    on_stack = (context for each, context in drivers_on_stack() if each is driver)
    return next(chain(found, on_stack), None)


def drivers_on_stack(
    frame: FrameType | None = None, above: Collection[int] = ()
) -> Iterator[tuple[Any, Context]]:
    """The drivers that run now, each with its context, the innermost first.

    Args:
        frame: where to begin; by default with the caller. Looking at each frame takes long.
        above: the ids of code objects at which the search ends. Ids, because hashing or comparing
            code objects takes long.
    """
    frame = frame or sys._getframe()
    while frame is not None and id(frame.f_code) not in above:
        if frame.f_code is DRIVING:
            context = frame.f_locals.get("context")
            if isinstance(context, Context):
                yield frame.f_locals.get("status"), context
        frame = frame.f_back
