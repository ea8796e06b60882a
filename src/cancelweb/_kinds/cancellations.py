"""Recognise cancellations in all their forms, and tell which belong to a scope.

Also recognises awaitables and forgives unhandled cancellations. Nothing here cancels anything.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import Awaitable, Callable
from types import GeneratorType
from typing import Any, TypeGuard

from twisted.internet.defer import CancelledError, Deferred, FirstError
from twisted.internet.error import ConnectingCancelledError, ProcessTerminated
from twisted.internet.task import TaskStopped
from twisted.python.failure import Failure
from twisted.web.error import FlattenerError

from .._twisted.access import DebugInfo, failures_of_race, replace_debug_info
from .._twisted.checks import check

_CAN_FORGIVE = check("forgiving")
check("races")


Start = Callable[[Any], Deferred[Any]]
"""Starts a coroutine, as ``Deferred.fromCoroutine`` does."""


def as_deferred(awaitable: object, start: Start = Deferred.fromCoroutine) -> Deferred[Any] | None:
    """The Deferred for an awaitable with Twisted semantics, or None for anything else.

    ABCs cannot be registered as adapters, so awaitables are recognised here. Native coroutines
    can be registered.
    """
    match awaitable:
        case Deferred():
            return awaitable
        case GeneratorType():
            # A generator made by types.coroutine is awaitable. Any other is a stream.
            is_coroutine = awaitable.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE
            return start(awaitable) if is_coroutine else None
        case Awaitable():
            return start(_awaiting(awaitable))
    return None


async def _awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def is_cancellation(failure: Failure) -> bool:
    """Whether a failure says that work was cancelled, by any code and in any form."""
    return says_cancelled(failure.value)


def is_our_cancellation(result: object, has_asked: bool) -> TypeGuard[Failure]:
    """Whether a result is a cancellation that counts as the scope's own.

    Args:
        result: the result of some work.
        has_asked: whether the scope has asked any of its work to stop. If so, every cancellation
            counts as its own.
    """
    return has_asked and isinstance(result, Failure) and is_cancellation(result)


def says_cancelled(error: object) -> bool:
    """Whether an exception says that work was cancelled, in any form."""
    match error:
        case CancelledError() | TaskStopped() | ConnectingCancelledError():
            return True
        case asyncio.CancelledError() | concurrent.futures.CancelledError():
            return True
        case FirstError():
            return is_cancellation(error.subFailure)
        case FlattenerError():
            return says_cancelled(error.args[0])
        case BaseExceptionGroup():
            return all(says_cancelled(each) for each in error.exceptions)
    if failures := failures_of_race(error):
        return all(is_cancellation(each) for each in failures)
    # twisted.web.client raises this; importing it only for the class would cost too much.
    match getattr(error, "reasons", None):
        case [Failure() as reason, *_]:
            return is_cancellation(reason)
    return False


def is_fault_if_unanswered(failure: Failure) -> bool:
    """Whether a failure is an error only if the request gets no answer.

    Code that cancelled the work, or that was told a process's exit status, may still answer.
    """
    return is_cancellation(failure) or failure.check(ProcessTerminated) is not None


def clean(failure: Failure) -> None:
    """Drop the traceback of a failure that is no longer needed.

    An abandoned coroutine would otherwise leave a reference cycle of failure, traceback and
    frames. ``cleanFailure`` also renders the frames as text, which takes most of its time.
    """
    error: Any = failure.value
    failure.tb = error.__traceback__ = None


class _Forgiving(DebugInfo):  # type: ignore[misc]
    """Makes Twisted log an unhandled failure unless the failure is a cancellation."""

    failResult: Failure | None  # noqa: N815 - Twisted's name

    def __del__(self) -> None:
        if self.failResult is not None and is_cancellation(self.failResult):
            self.failResult = None
        super().__del__()


def forgive(deferred: Deferred[Any]) -> None:
    """Keep an unhandled cancellation of a Deferred out of the log; later callbacks still get it.

    An errback that drops it would hide it from code that awaits the Deferred later: ``await``
    would return None.
    """
    if _CAN_FORGIVE:
        replace_debug_info(deferred, _Forgiving())
    result = getattr(deferred, "result", None)
    if isinstance(result, Failure) and is_cancellation(result):
        clean(result)
