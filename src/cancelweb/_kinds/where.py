"""Where work waits, as far as Python can tell without a look into anybody's private parts.

Reads frames; changes nothing.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any, TypeVar

from attrs import define
from twisted.internet.defer import Deferred
from twisted.python.reflect import safe_repr

from .deferreds import innermost

T = TypeVar("T")

ATTRIBUTE = "_cancelweb_place"
"""Where a Deferred, or another thing that is awaited, may keep the `Place` of its work."""

_SUSPENDED = (CoroutineType, GeneratorType, AsyncGeneratorType)

_DEFERRED: Any = Deferred
_AWAITING_DEFERRED = _DEFERRED.__await__.__code__


@define(eq=False)
class Place:
    """Where work is done that has no frames in this thread.

    Attributes:
        text: such as the id of a thread or a process; may be set in any thread.
    """

    text: str


def place(awaited: T, at: Place) -> T:
    """Note where the work is done for which a Deferred, say, waits."""
    setattr(awaited, ATTRIBUTE, at)
    return awaited


def where(work: Any) -> str:
    """The chain of awaits of a `Work`, innermost last, or else what kind of work it is."""
    waits = work.canceller if work.coroutine is None else work.coroutine
    if isinstance(waits, asyncio.Task):
        waits = waits.get_coro()
    return "\n".join(_chain(waits)) or safe_repr(work.canceller)


def is_on_stack(suspended: Any) -> bool:
    """Whether a coroutine or async generator runs in this moment: a cancel would be lost on it."""
    if isinstance(suspended, AsyncGeneratorType):
        return suspended.ag_running and suspended.ag_await is None
    return isinstance(suspended, CoroutineType) and suspended.cr_running


def innermost_line(work: Any) -> str:
    """The last of these lines."""
    return where(work).rpartition("\n")[2]


def _chain(waits: Any) -> Iterator[str]:
    while isinstance(waits, _SUSPENDED):
        frame, awaited = _parts(waits)
        if frame is None:
            # It has ended.
            return
        yield f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
        waits = _behind(awaited)
    at = getattr(waits, ATTRIBUTE, None)
    if at is None and isinstance(waits, Deferred):
        at = getattr(innermost(waits), ATTRIBUTE, None)
    if isinstance(at, Place):
        yield at.text


def _parts(suspended: Any) -> tuple[FrameType | None, Any]:
    if isinstance(suspended, CoroutineType):
        return suspended.cr_frame, suspended.cr_await
    if isinstance(suspended, AsyncGeneratorType):
        return suspended.ag_frame, suspended.ag_await
    return suspended.gi_frame, suspended.gi_yieldfrom


def _behind(awaited: Any) -> Any:
    """What an awaited thing is, or what it stands for, as the iterator of a Deferred or a task.

    These refer to it, and have no attribute that tells.
    """
    is_of_deferred = isinstance(awaited, GeneratorType) and awaited.gi_code is _AWAITING_DEFERRED
    if isinstance(awaited, (*_SUSPENDED, Deferred)) and not is_of_deferred:
        return awaited
    for each in gc.get_referents(awaited):
        if isinstance(each, asyncio.Task):
            return each.get_coro()
        if isinstance(each, (*_SUSPENDED, Deferred)):
            return each
    return None
