"""Describe work and where it waits, in words for logs, reports and the status page.

A coroutine or generator waits at the line of its innermost frame (`lines_of`). Everything here
only reads frames and attributes, except `place`, which sets one.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import re
from collections.abc import Iterator, Sequence
from functools import partial
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any, TypeVar

from attrs import define
from twisted.internet.defer import Deferred
from twisted.python.reflect import safe_repr

from .._log import printable
from .._twisted.access import canceller_of
from .._twisted.checks import check
from .._twisted.drivers import arguments_of_driver, driver_of
from .leaves import awaited_by, innermost

check("reports")

T = TypeVar("T")

PLACE = "_cancelweb_place"
"""The attribute in which an awaited object, such as a Deferred, may keep its `Place`."""

_SUSPENDED = (CoroutineType, GeneratorType, AsyncGeneratorType)

_awaiting: Any = Deferred().__await__()
_AWAITING_DEFERRED = getattr(_awaiting, "gi_code", None)
"""The code of the generator that awaits a Deferred, if Twisted uses a generator for it."""


@define(eq=False)
class Place:
    """The place of work that has no frames in this thread.

    Attributes:
        text: a description, such as the id of a thread or process. Any thread may set it.
    """

    text: str


def place(awaited: T, at: Place) -> T:
    """Note the place of the work behind an awaited object, such as a Deferred; returns it."""
    setattr(awaited, PLACE, at)
    return awaited


def is_on_stack(suspended: object) -> bool:
    """Whether a coroutine or async generator is running now, so that a cancel would be lost."""
    if isinstance(suspended, AsyncGeneratorType):
        return suspended.ag_running and suspended.ag_await is None
    return isinstance(suspended, CoroutineType) and suspended.cr_running


# --- names ---


def named(thing: object, otherwise: object = None) -> str:
    """The name of an object in logs: its ``repr``, unless that shows only a type and an address.

    Args:
        thing: the object.
        otherwise: another object with a better ``repr``, perhaps, such as the object's canceller.
    """
    for each in (thing, otherwise):
        text = safe_repr(each)
        if each is not None and re.fullmatch(r"<.* object at 0x[0-9a-fA-F]+>", text) is None:
            return printable(text)
    kind = type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"


def function_name(function: Any) -> str:
    """The name of a function in logs, such as ``Page.answer``."""
    plain = _plain(function)
    return str(getattr(plain, "__qualname__", None) or named(plain))


def function_at(function: Any) -> str:
    """A function and its first line, if Python knows it: ``Page.answer at page.py:12``."""
    name, code = function_name(function), getattr(_plain(function), "__code__", None)
    return name if code is None else f"{name} at {code.co_filename}:{code.co_firstlineno}"


def _plain(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


# --- where a coroutine, a generator or a Deferred waits ---


def lines_of(waits: object) -> Iterator[str]:
    """The lines at which a coroutine, generator, Deferred or task waits, the innermost last.

    A Deferred at the end gets a line of its own only if no line of code leads to it.
    """
    return map(line_of, steps_of(waits))


def line_of(step: FrameType | str) -> str:
    """A step in words; a frame as ``file:line in function``."""
    if isinstance(step, str):
        return step
    return f"{step.f_code.co_filename}:{step.f_lineno} in {step.f_code.co_qualname}"


def steps_of(waits: object) -> Iterator[FrameType | str]:
    """What `lines_of` tells, with frames that are not in words yet: there may be thousands."""
    is_told = False
    for each in _in_turn(waits):
        if isinstance(each, _SUSPENDED):
            frame, _ = _parts(each)
            if frame is None:
                # The coroutine or generator has ended.
                return
            is_told = True
            yield frame
        elif isinstance(at := getattr(each, PLACE, None), Place):
            yield at.text
            return
        elif isinstance(each, Deferred):
            below = _below(each)
            if len(below) > 1:
                is_told = False
                yield f"the first of {len(below)} in a {type(each).__name__}"
            elif not below and not is_told:
                yield _text_of(each)


def _in_turn(waits: object) -> Iterator[object]:
    """What waits, what that waits for, and so on; the first, where it waits for several."""
    seen: set[int] = set()
    behind: object = None
    while waits is not None and id(waits) not in seen:
        # Coroutines may wait for each other in a circle.
        seen.add(id(waits))
        yield waits
        if isinstance(waits, CoroutineType) and isinstance(waits.cr_await, CoroutineType):
            # The rule; most of a deep stack is of this kind.
            waits = waits.cr_await
        elif isinstance(waits, _SUSPENDED):
            _, awaited = _parts(waits)
            waits = _behind(awaited) or behind
        elif isinstance(waits, Deferred):
            behind = next(iter(_below(waits)), None)
            waits = _driven_by(driver_of(waits)) or behind
        else:
            waits = waits.get_coro() if isinstance(waits, asyncio.Task) else None


def frames(innermost: FrameType | None = None) -> Iterator[FrameType]:
    """The frames on the stack, the innermost first; or those from the given frame on."""
    frame = innermost or inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def chain_of(suspended: object) -> Iterator[object]:
    """A suspended object, what it awaits, and so on, up to the first Deferred or task."""
    while isinstance(suspended, _SUSPENDED):
        yield suspended
        _, awaited = _parts(suspended)
        suspended = _behind(awaited)


def _parts(suspended: Any) -> tuple[FrameType | None, Any]:
    if isinstance(suspended, CoroutineType):
        return suspended.cr_frame, suspended.cr_await
    if isinstance(suspended, AsyncGeneratorType):
        return suspended.ag_frame, suspended.ag_await
    return suspended.gi_frame, suspended.gi_yieldfrom


def _behind(awaited: Any) -> Any:
    """The awaited object itself, or the Deferred or task that an iterator stands for.

    The iterator refers to it, but has no attribute that names it.
    """
    is_of_deferred = isinstance(awaited, GeneratorType) and awaited.gi_code is _AWAITING_DEFERRED
    if isinstance(awaited, (*_SUSPENDED, Deferred)) and not is_of_deferred:
        return awaited
    for each in gc.get_referents(awaited):
        if isinstance(each, (*_SUSPENDED, Deferred, asyncio.Task)):
            return each
    return None


def _below(deferred: Deferred[Any]) -> Sequence[Deferred[Any]]:
    """The Deferreds that a Deferred waits for; if several, only those without a result."""
    below = awaited_by(deferred) or ()
    if len(below) > 1:
        return [each for each in below if not innermost(each).called]
    return below


def _driven_by(driver: Any) -> object:
    """The coroutine or generator that one of Twisted's drivers runs, or None."""
    return next(
        (each for each in arguments_of_driver(driver) if isinstance(each, _SUSPENDED)), None
    )


def _text_of(deferred: Deferred[Any]) -> str:
    """Describe a Deferred that waits for no other, by its canceller."""
    kind = type(deferred).__name__
    if deferred.called:
        return f"{kind} that is paused" if deferred.paused else kind
    canceller = canceller_of(deferred)
    if canceller is None:
        return f"{kind} without a canceller"
    return f"{kind} that is cancelled by {_cancelled_by(canceller)}"


def _cancelled_by(canceller: object) -> str:
    """A canceller with its place; Twisted's own go by the function that sets them.

    A line of Twisted would be the same for all callers.
    """
    module = str(getattr(_plain(canceller), "__module__", None))
    if module.partition(".")[0] != "twisted":
        return function_at(canceller)
    return f"{module}.{function_name(canceller).partition('.<locals>')[0]}"
