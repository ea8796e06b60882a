"""Tell whether code is handling a cancellation in an ``except`` or ``finally`` block.

Reads the exceptions that Python keeps for running and for suspended code.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from .._twisted.checks import check
from .._twisted.drivers import DRIVING, callbacks_of, deferred_of_driver
from .._twisted.variables import fired_by
from .cancellations import says_cancelled
from .where import chain_of, frames

check("contexts")

_ERRBACK = Deferred.errback.__code__


def is_for_cancellation(error: BaseException | None) -> bool:
    """Whether an exception is a cancellation, or was raised while one was being handled.

    GeneratorExit counts: Python raises it in a generator that is closed.
    """
    return any(isinstance(each, GeneratorExit) or says_cancelled(each) for each in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, the exception during whose handling it was raised, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__context__


def sees_cancellation() -> bool:
    """Whether the running code, or a caller of it, is handling a cancellation."""
    return is_for_cancellation(sys.exception())


def may_be_of_driver() -> bool:
    """Whether `sees_cancellation` may have seen an exception that Twisted is handling.

    Twisted fires a coroutine's Deferred while it handles the coroutine's failure. Code that this
    resumes sees the exception even after leaving its own ``except`` block.
    """
    return any(
        below.f_code is DRIVING and frame.f_code is _ERRBACK for frame, below in pairwise(frames())
    )


def is_awaited_by_handler(deferred: Deferred[Any]) -> bool | None:
    """Whether code that waits for a Deferred, directly or not, is handling a cancellation.

    Returns:
        None if no coroutine or generator waits for it.
    """
    is_awaited = False
    for waiting in all_waiting_for(deferred):
        for suspended in chain_of(waiting):
            is_awaited = True
            if _handles_cancellation(suspended):
                return True
    return False if is_awaited else None


def all_waiting_for(deferred: Deferred[Any]) -> Iterator[object]:
    """What waits for a Deferred, directly or not: the owners of its callbacks."""
    seen, todo = set[int](), [deferred]
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        for waiting in _waiting_for(each):
            yield waiting
            above = waiting if isinstance(waiting, Deferred) else deferred_of_driver(waiting)
            if above is not None:
                todo.append(above)


def _waiting_for(deferred: Deferred[Any]) -> Iterable[object]:
    """What a Deferred's callbacks belong to or are called with: chains, lists, drivers."""
    for (callback, arguments, _), _ in callbacks_of(deferred):
        yield getattr(callback, "__self__", None)
        yield fired_by(callback)
        yield from arguments or ()


def _handles_cancellation(suspended: object) -> bool:
    # gc lists the exception that a frame handles last, after the frame's variables. It lists None
    # once the frame has left the block, and no exception if the frame never handled one.
    last = next(reversed(gc.get_referents(suspended)), None)
    return isinstance(last, BaseException) and is_for_cancellation(last)


def in_place_of_cancellation(failure: Failure) -> Failure:
    """Make code that handles this failure count as handling the cancellation it replaced."""
    if not is_for_cancellation(failure.value):
        *_, first = _chain(failure.value)
        first.__context__ = CancelledError()
    return failure
