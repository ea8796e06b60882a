"""What is a cancellation, in whatever disguise, and whether it is a scope's own.

Also what is awaitable, and which failures are forgiven; nothing here cancels anything.
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
"""Starts a coroutine; such as ``Deferred.fromCoroutine``."""


def as_deferred(awaitable: object, start: Start = Deferred.fromCoroutine) -> Deferred[Any] | None:
    """The Deferred of an awaitable with Twisted semantics, else None.

    Awaitables are recognised here because ABCs do not register as adapters. Native coroutines do.
    """
    match awaitable:
        case Deferred():
            return awaitable
        case GeneratorType():
            # Made by types.coroutine, or else a stream and no awaitable at all.
            is_coroutine = awaitable.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE
            return start(awaitable) if is_coroutine else None
        case Awaitable():
            return start(_awaiting(awaitable))
    return None


async def _awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def is_cancellation(failure: Failure) -> bool:
    """Whether a failure says that work was cancelled, by whomever and in whatever disguise."""
    return says_cancelled(failure.value)


def is_our_cancellation(result: object, has_asked: bool) -> TypeGuard[Failure]:
    """Whether a result is a cancellation that counts as a scope's own.

    Args:
        result: what work has come to.
        has_asked: whether the scope has asked any of its work to stop; then all of them count.
    """
    return has_asked and isinstance(result, Failure) and is_cancellation(result)


def says_cancelled(error: object) -> bool:
    """Whether an exception says that work was cancelled, in whatever disguise."""
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
    # What twisted.web.client raises; it is not imported for this alone.
    match getattr(error, "reasons", None):
        case [Failure() as reason, *_]:
            return is_cancellation(reason)
    return False


def is_fault_if_unanswered(failure: Failure) -> bool:
    """Whether a failure is one only if nobody answers the request.

    Whoever has cancelled the work, or was told of a process's exit status, may well answer.
    """
    return is_cancellation(failure) or failure.check(ProcessTerminated) is not None


def clean(failure: Failure) -> None:
    """Drop what a failure of no further use refers to.

    An abandoned coroutine would otherwise leave a cycle of failure, traceback and frames. Unlike
    ``cleanFailure`` this keeps no account of them either, which takes longer than all the rest.
    """
    error: Any = failure.value
    failure.tb = error.__traceback__ = None


class _Forgiving(DebugInfo):  # type: ignore[misc]
    """Has Twisted log failures that nobody has handled by the end, but for cancellations."""

    failResult: Failure | None  # noqa: N815 - Twisted's name

    def __del__(self) -> None:
        if self.failResult is not None and is_cancellation(self.failResult):
            self.failResult = None
        super().__del__()


def forgive(deferred: Deferred[Any]) -> None:
    """Have it be no error that nobody handles a cancellation; whoever still asks is told of it.

    An errback at the end of its chain would hide it from who comes later: ``await`` gave None.
    """
    if _CAN_FORGIVE:
        replace_debug_info(deferred, _Forgiving())
    result = getattr(deferred, "result", None)
    if isinstance(result, Failure) and is_cancellation(result):
        clean(result)
