"""The lines at which coroutines and generators wait, read from Python's own objects.

Independent of Deferreds. Changes nothing.
"""

from __future__ import annotations

import gc
import linecache
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any

from attrs import frozen
from twisted.python.failure import Failure

from ..._kinds.cancellations import is_cancellation

SUSPENDABLE = (CoroutineType, GeneratorType, AsyncGeneratorType)


@frozen
class Line:
    """A line of code.

    Attributes:
        path: the path of its file.
        number: its number in the file.
        function: the function that it is in.
    """

    path: str
    number: int
    function: str

    def __str__(self) -> str:
        source = linecache.getline(self.path, self.number).strip()
        return f"{PurePath(self.path).name}:{self.number} in {self.function}: {source}"


def is_foreign(frame: FrameType, *packages: str) -> bool:
    """Whether the code belongs to one of these packages."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] in packages


def line_of(waiting: Any) -> Line | None:
    """The innermost line, outside of libraries, at which a coroutine or generator waits.

    Returns:
        For a stream whose client is slow, the line of its ``yield``. If all lines are Twisted's,
        the innermost of these. None for cancelweb's own code, and if it does not wait.
    """
    frames = list(_with_streams(_frames(waiting)))
    users = [each for each in frames if not is_foreign(each, "twisted", "cancelweb")]
    is_ours = any(is_foreign(each, "cancelweb") for each in frames)
    chosen = users[-1:] or ([] if is_ours else frames[-1:])
    return _line(chosen[0]) if chosen else None


def _with_streams(frames: Iterable[FrameType]) -> Iterator[FrameType]:
    """These frames, each of cancelweb's followed by that of the stream it writes, if it does."""
    for each in frames:
        yield each
        if is_foreign(each, "cancelweb"):
            yield from _with_streams(_frames(each.f_locals.get("chunks")))


def _line(frame: FrameType) -> Line:
    return Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)


def position_of(waiting: Any) -> list[tuple[int, int]]:
    """A value that changes whenever the coroutine or generator goes on; empty when it has ended."""
    return [(id(each), each.f_lasti) for each in _frames(waiting)]


def is_being_cancelled(waiting: Any) -> bool:
    """Whether it waits in a ``finally`` or ``except`` block that a cancellation led to.

    CPython keeps the exception that a generator handles inside the generator, where only the
    garbage collector sees it.
    """
    for each in _chain(waiting):
        for referent in gc.get_referents(each):
            if isinstance(referent, BaseException) and is_cancellation(Failure(referent)):
                return True
    return False


def _frames(waiting: Any) -> Iterator[FrameType]:
    for each in _chain(waiting):
        for name in ("cr_frame", "gi_frame", "ag_frame"):
            frame = getattr(each, name, None)
            if frame is not None:
                yield frame


def _chain(waiting: Any) -> Iterator[Any]:
    """A coroutine or generator, what it awaits, and so on, from the outside in."""
    while isinstance(waiting, SUSPENDABLE):
        yield waiting
        waiting = _awaited(waiting)


def _awaited(waiting: Any) -> Any:
    for name in ("cr_await", "gi_yieldfrom", "ag_await"):
        inner = getattr(waiting, name, None)
        if inner is not None:
            return inner if isinstance(inner, SUSPENDABLE) else _wrapped(inner)
    return None


def _wrapped(inner: object) -> Any:
    """What is behind a step of an async generator, or behind a coroutine's ``__await__``."""
    found = [each for each in gc.get_referents(inner) if isinstance(each, SUSPENDABLE)]
    return found[0] if found else None
