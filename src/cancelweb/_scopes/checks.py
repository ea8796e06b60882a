"""Validation of options and arguments that users pass.

A check raises a TypeError or ValueError that names the option, shows what was passed, and says
what to pass instead. `options` defines the options.
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
"""The characters of the name of a method or a header (RFC 9110, section 5.6.2)."""

Check = Callable[[str, object], object]
"""A check; it takes the name of an option and the value."""


class NotGiven(Enum):
    """The default of options for which None means "no limit here"."""

    NOT_GIVEN = "not given"


NOT_GIVEN = NotGiven.NOT_GIVEN


def validator(check: Check) -> Callable[[object, Attribute[Any], object], None]:
    """Turn a check into an attrs validator, which accepts None and `NOT_GIVEN`, too."""

    def validate(_: object, attribute: Attribute[Any], value: object) -> None:
        if value is not None and value is not NOT_GIVEN:
            check(attribute.name, value)

    return validate


# --- numbers ---


def check_seconds(name: str, value: object) -> None:
    """Raise unless the value is a finite number of seconds, 0 or more."""
    if not 0 <= _number(name, value) < math.inf:
        raise ValueError(f"{name} must be 0 or more and finite, not {value!r}")


def check_limit(name: str, value: object) -> None:
    """Raise unless the value is a finite number of seconds, more than 0."""
    if not 0 < _number(name, value) < math.inf:
        raise ValueError(f"{name} must be more than 0 and finite, not {value!r}")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    return value


def check_count(name: str, value: object) -> None:
    """Raise unless the value is an int, 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, not {value!r}")


# --- other single values ---


def check_flag(name: str, value: object) -> None:
    """Raise unless the value is True or False itself."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def check_clock(name: str, value: object) -> IReactorTime:
    """Raise unless the value provides IReactorTime."""
    if not IReactorTime.providedBy(value):
        raise TypeError(f"{name} must provide IReactorTime, as reactors do; {value!r} does not")
    return IReactorTime(value)


def check_monitor(name: str, value: object) -> IMonitor:
    """Raise unless the value provides `IMonitor`."""
    if not IMonitor.providedBy(value):
        raise TypeError(
            f"{name} must be a cancelweb.monitor.Monitor, or provide IMonitor; {value!r} does not"
        )
    return IMonitor(value)


# --- hooks and observers ---


INSTEAD = "; to have work waited for, pass a function that returns it: lambda scope: work"


def check_callable(name: str, function: object) -> None:
    """Raise unless the value is a callable; the hint is for a hook that was called when passed."""
    # A LoopingCall is callable only for its clock.
    if not callable(function) or isinstance(function, LoopingCall):
        is_work = isinstance(function, Awaitable | Future | LoopingCall)
        instead = INSTEAD if is_work and name in ("on_cancel", "on_exit") else ""
        raise TypeError(f"{name} takes callables with one argument, not {function!r}{instead}")


def hooks_from(name: str, given: object) -> tuple[Hook, ...]:
    """Check one hook, or an iterable of hooks, and return a tuple of them.

    Raises:
        TypeError: one of them cannot be called with one argument, or is a generator function.
    """
    if callable(given) or not _is_collection(given):
        return (_checked_hook(name, given),)
    # Each is checked before the next is taken, because the iterable may be endless.
    return tuple(_checked_hook(name, each) for each in given)


def _is_collection(given: object) -> TypeGuard[Iterable[object]]:
    """Whether a value is an iterable of others; Deferreds and futures only iterate to await."""
    return isinstance(given, Iterable) and not isinstance(given, str | bytes | Awaitable)


def _checked_hook(name: str, function: object) -> Hook:
    check_callable(name, function)
    assert callable(function)
    _check_signature(name, function)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{name} takes functions, not generators such as {function!r}")
    return function


def observers_from(given: object) -> tuple[Observer, ...]:
    """Check one observer, or an iterable of observers, and return a tuple of them.

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
    """The signature of a function if it cannot take this number of arguments, else None."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return None  # Some builtins have no signature.
    try:
        signature.bind(*(None,) * count)
    except TypeError:
        return signature
    return None


# --- error pages ---


def check_error_page(name: str, function: object) -> None:
    """Raise unless the value is a plain function of two arguments."""
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
    """Raise unless the value is the name of a header."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str such as 'X-Request-Timeout', not {value!r}")
    if not re.fullmatch(TOKEN, value):
        raise ValueError(f"{name} must be the name of a header, not {value!r}")


def methods_from(given: Iterable[str | bytes] | None) -> frozenset[bytes] | None:
    """Check the names of request methods, and return them as bytes, as requests have them.

    Raises:
        TypeError: the value is not an iterable of str or bytes.
        ValueError: a name is not a method's, for example because it is in lower case.
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
