"""Where work waits, as far as Python can tell without a look into anybody's private parts.

Reads frames; changes nothing.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.reflect import safe_repr

from ._deferreds import innermost

ATTRIBUTE = "cancelweb_where"
"""Where a Deferred keeps a function that tells what it waits for."""

_SUSPENDED = (CoroutineType, GeneratorType, AsyncGeneratorType)

_DEFERRED: Any = Deferred
_OF_DEFERREDS = _DEFERRED.__await__.__code__


def where(work: Any) -> str:
    """The chain of awaits of a `Work`, innermost last, or else what kind of work it is."""
    return "\n".join(_lines(work)) or safe_repr(work.canceller)


def innermost_line(work: Any) -> str:
    """The last of these lines."""
    return where(work).rpartition("\n")[2]


def _lines(work: Any) -> list[str]:
    waits: Any = work.canceller if work.coroutine is None else work.coroutine
    lines = []
    for frame, awaited in _chain(waits):
        lines.append(_line(frame))
        waits = awaited
    lines += _told_by(waits)
    return lines


def _chain(waits: Any) -> Iterator[tuple[FrameType, Any]]:
    """Each frame, and what it awaits."""
    while True:
        waits = _suspended(waits)
        if waits is None:
            return
        frame, awaited = _parts(waits)
        if frame is None or frame.f_code is _OF_DEFERREDS:
            return
        yield frame, awaited
        waits = awaited


def _suspended(awaited: Any) -> Any:
    """What has a frame: the thing itself, or, as for ``anext()``, what it stands for."""
    if awaited is None or isinstance(awaited, _SUSPENDED):
        return awaited
    if isinstance(awaited, Deferred):
        return None
    return next((each for each in gc.get_referents(awaited) if isinstance(each, _SUSPENDED)), None)


def _parts(suspended: Any) -> tuple[Any, Any]:
    if isinstance(suspended, CoroutineType):
        return suspended.cr_frame, suspended.cr_await
    if isinstance(suspended, AsyncGeneratorType):
        return suspended.ag_frame, suspended.ag_await
    return suspended.gi_frame, suspended.gi_yieldfrom


def _line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def _told_by(waits: Any) -> list[str]:
    """What the end of the chain says of itself."""
    if isinstance(waits, asyncio.Task):
        return [_line(frame) for frame in waits.get_stack()]
    if isinstance(waits, GeneratorType):
        # A Deferred's own, which refers to it.
        waits = next((d for d in gc.get_referents(waits) if isinstance(d, Deferred)), waits)
    if isinstance(waits, Deferred):
        waits = innermost(waits)
    tell = getattr(waits, ATTRIBUTE, None)
    return [] if tell is None else [tell()]
