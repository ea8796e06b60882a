"""Whether code handles a cancellation: it is inside an ``except`` or ``finally`` block for one.

Reads the exceptions that Python keeps for what runs and for what is suspended; changes nothing.
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
    """Whether an exception is a cancellation, or was raised while one was handled.

    A generator that is closed is told so with GeneratorExit.
    """
    return any(isinstance(each, GeneratorExit) or says_cancelled(each) for each in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and those during whose handling it was raised."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__context__


def sees_cancellation() -> bool:
    """Whether the code that runs sees a cancellation that is being handled, by it or below it."""
    return is_for_cancellation(sys.exception())


def may_be_of_driver() -> bool:
    """Whether what is seen may not be the caller's own.

    Twisted tells a Deferred of its coroutine's failure while it handles that failure itself. Code
    that is resumed by this sees the exception even when it has left its own ``except`` block.
    """
    return any(
        below.f_code is DRIVING and frame.f_code is _ERRBACK for frame, below in pairwise(frames())
    )


def is_awaited_by_handler(deferred: Deferred[Any]) -> bool | None:
    """Whether code that waits for a Deferred, directly or not, handles a cancellation meanwhile.

    Returns:
        None if no coroutine and no generator waits for it.
    """
    is_awaited = False
    for waiting in all_waiting_for(deferred):
        for suspended in chain_of(waiting):
            is_awaited = True
            if _handles_cancellation(suspended):
                return True
    return False if is_awaited else None


def all_waiting_for(deferred: Deferred[Any]) -> Iterator[object]:
    """What waits for a Deferred, directly or not: whatever its callbacks belong to."""
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
    """What the callbacks of a Deferred belong to and are called with: chains, lists, drivers."""
    for (callback, arguments, _), _ in callbacks_of(deferred):
        yield getattr(callback, "__self__", None)
        yield fired_by(callback)
        yield from arguments or ()


def _handles_cancellation(suspended: object) -> bool:
    # What Python names last is the exception that the frame handles, or None behind the block;
    # nothing if it has never handled any. What its variables refer to comes before.
    last = next(reversed(gc.get_referents(suspended)), None)
    return isinstance(last, BaseException) and is_for_cancellation(last)


def in_place_of_cancellation(failure: Failure) -> Failure:
    """Have code that handles a failure, which came in place of a cancellation, count as above."""
    if not is_for_cancellation(failure.value):
        *_, first = _chain(failure.value)
        first.__context__ = CancelledError()
    return failure
