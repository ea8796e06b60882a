"""Twisted's drivers of coroutines and generators: what they wait for, and the context they run in.

A driver is what ``inlineCallbacks`` and ``Deferred.fromCoroutine`` keep of each: a private object,
which works without one of its names, too. What follows from what is read is for the modules that
call these.
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
    """What Twisted's driver of a coroutine or generator keeps of it, or None."""
    canceller = getattr(deferred, "_canceller", None)
    return driver_behind(canceller) if type(canceller) is FunctionType else None


def driver_behind(canceller: object) -> Any:
    """The same, by the canceller that the driver gives its Deferred: it is in the closure."""
    if type(canceller) is not FunctionType:
        return None
    for cell in canceller.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:
            # A variable of the user's own that has no value yet.
            continue
        if type(content) is _DRIVER and hasattr(content, "waitingOn"):
            return content
    return None


def deferred_of_driver(driver: Any) -> Any:
    """The Deferred that a driver fires in the end, also when it has; None if it is no driver."""
    return getattr(driver, "deferred", None) if type(driver) is _DRIVER else None


def awaited_by_driver(driver: Any) -> Any:
    """The Deferred that a coroutine or generator awaited last, or None; None without a driver."""
    return getattr(driver, "waitingOn", None)


def callbacks_of(deferred: Any) -> Iterable[Any]:
    """The callbacks that a Deferred has still to call, with their arguments."""
    callbacks = getattr(deferred, "_callbacks", None)
    # Twisted 24.7 has the other name, which later ones warn of.
    return getattr(deferred, "callbacks", ()) if callbacks is None else callbacks


def arguments_of_driver(driver: Any) -> Sequence[Any]:
    """What a driver is to be called with when what it waits for has come; none while it runs.

    Among these are the coroutine or generator that it drives, and the context of that.
    """
    for (_, arguments, _), _ in callbacks_of(awaited_by_driver(driver)):
        if arguments and any(each is driver for each in arguments):
            return arguments  # type: ignore[no-any-return]
    return ()


_DRIVE: Any = getattr(defer, "_inlineCallbacks", None)
DRIVING: CodeType | None = getattr(_DRIVE, "__code__", None)
"""The code of all drivers, from which coroutines and generators are resumed."""

_CANCEL: Any = getattr(defer, "_addCancelCallbackToDeferred", None)


def start_in(context: Context, coroutine: Any) -> Any:
    """The Deferred of a coroutine all of whose steps run in this context, which is not entered.

    As ``Deferred.fromCoroutine``, which copies the context that it is called in.
    """
    started: Deferred[Any] = Deferred(lambda deferred: _CANCEL(deferred, driver))
    driver = _DRIVER(started)
    _DRIVE(None, coroutine, driver, context)
    return started


def context_of_driver(driver: Any) -> Context | None:
    """The context in which a driver runs its coroutine or generator, which may be on the stack."""
    found = (each for each in arguments_of_driver(driver) if isinstance(each, Context))
    on_stack = (context for each, context in drivers_on_stack() if each is driver)
    return next(chain(found, on_stack), None)


def drivers_on_stack(
    frame: FrameType | None = None, above: Collection[int] = ()
) -> Iterator[tuple[Any, Context]]:
    """The drivers that run just now, each with its context, the innermost first.

    Args:
        frame: where to begin; unless given, with the caller. Each frame behind it takes long.
        above: the ids of the codes of functions behind which they are no longer looked for. To hash
            or compare codes takes long, too.
    """
    frame = frame or sys._getframe()
    while frame is not None and id(frame.f_code) not in above:
        if frame.f_code is DRIVING:
            context = frame.f_locals.get("context")
            if isinstance(context, Context):
                yield frame.f_locals.get("status"), context
        frame = frame.f_back
