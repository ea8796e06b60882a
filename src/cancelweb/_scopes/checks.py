"""Validation: each check of a value that a user passes, as an option or as an argument.

A check raises a TypeError or ValueError that names the option, shows what was passed, and says
what to pass instead. What the values mean is for `options`.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from enum import Enum
from typing import Any, TypeGuard

from attrs import Attribute
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from ..causes import Observer
from ..interfaces import IMonitor
from .hook_index import Hook

TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
"""What the name of a method or a header is made of (RFC 9110, section 5.6.2)."""

Check = Callable[[str, object], None]
"""Takes the name of an option and the value."""


class NotGiven(Enum):
    """Stands for an option that was not given, where None means "no limit here"."""

    NOT_GIVEN = "not given"


NOT_GIVEN = NotGiven.NOT_GIVEN


def validator(check: Check) -> Callable[[object, Attribute[Any], object], None]:
    """A check as attrs wants it; None and `NOT_GIVEN` are always right."""

    def validate(_: object, attribute: Attribute[Any], value: object) -> None:
        if value is not None and value is not NOT_GIVEN:
            check(attribute.name, value)

    return validate


# --- numbers ---


def check_seconds(name: str, value: object) -> None:
    """A time that may be 0."""
    if not 0 <= _number(name, value) < math.inf:
        raise ValueError(f"{name} must be 0 or more and finite, not {value!r}")


def check_limit(name: str, value: object) -> None:
    """A time limit, which leaves some time."""
    if not 0 < _number(name, value) < math.inf:
        raise ValueError(f"{name} must be more than 0 and finite, not {value!r}")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    return value


def check_count(name: str, value: object) -> None:
    """How many of something, at least one."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, not {value!r}")


# --- other single values ---


def check_flag(name: str, value: object) -> None:
    """True or False, and nothing that only counts as one of them."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def check_clock(name: str, value: object) -> None:
    """A reactor, or anything else that tells the time and calls later."""
    if not IReactorTime.providedBy(value):
        raise TypeError(f"{name} must provide IReactorTime, as reactors do; {value!r} does not")


def check_monitor(name: str, value: object) -> None:
    """A monitor."""
    if not IMonitor.providedBy(value):
        raise TypeError(
            f"{name} must be a cancelweb.monitor.Monitor, or provide IMonitor; {value!r} does not"
        )


# --- hooks and observers ---


INSTEAD = "; to have work waited for, pass a function that returns it: lambda scope: work"


def check_callable(name: str, function: object) -> None:
    """Something to call; the commonest mistake is a hook that was called when it was passed."""
    # A LoopingCall can be called, by its clock.
    if not callable(function) or isinstance(function, LoopingCall):
        is_work = isinstance(function, Awaitable | Future | LoopingCall)
        instead = INSTEAD if is_work and name in ("on_cancel", "on_exit") else ""
        raise TypeError(f"{name} takes callables with one argument, not {function!r}{instead}")


def hooks_from(name: str, given: object) -> tuple[Hook, ...]:
    """One function, or an iterable of them, as a tuple.

    Raises:
        TypeError: something in it cannot be called with one argument, or is a generator.
    """
    if callable(given) or not _is_collection(given):
        return (_checked_hook(name, given),)
    # One after the other: the first that is wrong may come from something endless.
    return tuple(_checked_hook(name, each) for each in given)


def _is_collection(given: object) -> TypeGuard[Iterable[object]]:
    """Whether a value holds others. Deferreds and futures can be iterated, to be awaited."""
    return isinstance(given, Iterable) and not isinstance(given, str | bytes | Awaitable)


def _checked_hook(name: str, function: object) -> Hook:
    check_callable(name, function)
    assert callable(function)
    _check_signature(name, function)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{name} takes functions, not generators such as {function!r}")
    return function


def observers_from(given: object) -> tuple[Observer, ...]:
    """One observer, or an iterable of them, as a tuple.

    Raises:
        TypeError: as for `hooks_from`, or an observer is a coroutine function.
    """
    observers = hooks_from("observers", given)
    for observer in observers:
        if inspect.iscoroutinefunction(observer):
            raise TypeError(
                f"observers only watch, and cannot wait: {observer!r} is a coroutine function"
            )
    return observers


def _check_signature(name: str, function: Callable[..., object]) -> None:
    signature = _signature_unless(function, 1)
    if signature is not None:
        raise TypeError(f"{name} takes callables with one argument; {function!r} has {signature}")


def _signature_unless(function: Callable[..., object], count: int) -> inspect.Signature | None:
    """The signature of a function, if it cannot be called with so many arguments."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return None  # Some builtins do not tell.
    try:
        signature.bind(*(None,) * count)
    except TypeError:
        return signature
    return None


# --- error pages ---


def check_error_page(name: str, function: object) -> None:
    """What makes a page at once; the commonest mistake is a coroutine function."""
    if not callable(function):
        raise TypeError(f"{name} takes a function of a request and a cause, not {function!r}")
    signature = _signature_unless(function, 2)
    if signature is not None:
        raise TypeError(
            f"{name} takes a function of a request and a cause; {function!r} has {signature}"
        )
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(each(function) for each in kinds):
        raise TypeError(
            f"{name} must return its page at once: {function!r} is a coroutine or a generator"
        )


# --- names of headers and methods ---


def check_header(name: str, value: object) -> None:
    """The name of a header."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str such as 'X-Request-Timeout', not {value!r}")
    if not re.fullmatch(TOKEN, value):
        raise ValueError(f"{name} must be the name of a header, not {value!r}")


def methods_from(given: Iterable[str | bytes] | None) -> frozenset[bytes] | None:
    """Request methods as the bytes that a request has.

    Raises:
        TypeError: not an iterable of str or bytes.
        ValueError: a name that no request has, such as one in lower case.
    """
    if given is None:
        return None
    if not _is_collection(given):
        raise TypeError(f"methods must be an iterable such as ('GET', 'HEAD'), not {given!r}")
    return frozenset(_method_from(each) for each in given)


def _method_from(name: object) -> bytes:
    if not isinstance(name, str | bytes):
        raise TypeError(f"methods must hold str or bytes, not {name!r}")
    text = name if isinstance(name, str) else name.decode("latin-1")
    if not re.fullmatch(TOKEN, text) or text != text.upper():
        raise ValueError(f"methods must be names such as 'GET', not {name!r}")
    return text.encode("ascii")
