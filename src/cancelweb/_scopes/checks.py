"""Validation of options and arguments that users pass.

A check raises a TypeError or ValueError that names the option, shows what was passed, and says
what to pass instead. `options` defines the options.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import Any, TypeGuard

from attrs import Attribute
from twisted.internet.interfaces import IReactorTime

from .._kinds.places import place_of, short_name_of, shown, signature_of
from ..causes import Cause
from ..interfaces import IMonitor

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


# --- shared by several checks ---


def is_collection(given: object) -> TypeGuard[Iterable[object]]:
    """Whether a value is an iterable of others; Deferreds and futures only iterate to await."""
    return isinstance(given, Iterable) and not isinstance(given, str | bytes | Awaitable)


def signature_unless(function: Callable[..., object], count: int) -> inspect.Signature | None:
    """The signature of a function if it cannot take this number of arguments, else None."""
    try:
        signature = signature_of(function)
    except ValueError:
        return None  # Some builtins have no signature.
    try:
        signature.bind(*(None,) * count)
    except TypeError:
        return signature
    return None


# --- causes ---


def check_cause(cause: object) -> None:
    """Raise unless the value is an instance of `Cause`."""
    if isinstance(cause, Cause):
        return
    if isinstance(cause, type) and issubclass(cause, Cause):
        name = short_name_of(cause)
        raise TypeError(f"cause must be an instance, not the class {name}. Pass {name}().")
    raise TypeError(
        f"cause must be a cancelweb.Cause, not {shown(cause)}. Define a subclass of Cause, and "
        "pass an instance."
    )


# --- error pages ---

_PAGE_MUST = "{} must be a function that takes a request and a cause"


def check_error_page(name: str, function: object) -> None:
    """Raise unless the value is a plain function of two arguments."""
    if not callable(function):
        raise TypeError(f"{_PAGE_MUST.format(name)}, not {shown(function)}")
    signature = signature_unless(function, 2)
    if signature is not None:
        raise TypeError(f"{_PAGE_MUST.format(name)}, but {place_of(function)} takes {signature}")
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(each(function) for each in kinds):
        raise TypeError(
            f"{name} must return its page at once, but {place_of(function)} is a coroutine "
            "function or a generator. Make it a plain function."
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
    if not is_collection(given):
        raise TypeError(f"methods must be an iterable such as ('GET', 'HEAD'), not {given!r}")
    return frozenset(_method_from(each) for each in given)


def _method_from(name: object) -> bytes:
    if not isinstance(name, str | bytes):
        raise TypeError(f"methods must hold str or bytes, not {name!r}")
    text = name if isinstance(name, str) else name.decode("latin-1")
    if not re.fullmatch(TOKEN, text) or text != text.upper():
        raise ValueError(f"methods must be names such as 'GET', not {name!r}")
    return text.encode("ascii")
