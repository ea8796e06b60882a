"""Validation of options and arguments that users pass.

A check raises a TypeError or ValueError that names the option, shows what was passed, and says
what to pass instead. `options` defines the options.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from enum import Enum
from typing import Any

from attrs import Attribute
from twisted.internet.interfaces import IReactorTime

from .._checks import Check, check_instance, is_several, shown, validated
from .._kinds.places import place_of, signature_of
from ..causes import Cause
from ..interfaces import IMonitor

TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
"""The characters of the name of a method or a header (RFC 9110, section 5.6.2)."""


class NotGiven(Enum):
    """The default of options for which None means "no limit here"."""

    NOT_GIVEN = "not given"


NOT_GIVEN = NotGiven.NOT_GIVEN


def validator(check: Check) -> Callable[[object, Attribute[Any], object], None]:
    """Turn a check into an attrs validator, which accepts None and `NOT_GIVEN`, too."""
    validate = validated(check)

    def validate_given(owner: object, attribute: Attribute[Any], value: object) -> None:
        if value is not None and value is not NOT_GIVEN:
            validate(owner, attribute, value)

    return validate_given


# --- single values ---


def check_clock(name: str, value: object) -> IReactorTime:
    """Raise unless the value provides IReactorTime."""
    if not IReactorTime.providedBy(value):
        raise TypeError(f"{name} must provide IReactorTime, as reactors do, not {shown(value)}")
    return IReactorTime(value)


def check_cause(cause: object) -> None:
    """Raise unless the value is an instance of `Cause`."""
    advice = "Define a subclass of Cause, and pass an instance."
    check_instance("cause", cause, Cause, "a cancelweb.Cause", advice)


def check_monitor(name: str, value: object) -> IMonitor:
    """Raise unless the value provides `IMonitor`."""
    if not IMonitor.providedBy(value):
        raise TypeError(
            f"{name} must be a cancelweb.monitor.Monitor, or provide IMonitor, not {shown(value)}"
        )
    return IMonitor(value)


# --- functions ---


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
        raise TypeError(f"{name} must be a str such as 'X-Request-Timeout', not {shown(value)}")
    if not re.fullmatch(TOKEN, value):
        raise ValueError(f"{name} must be the name of a header, not {shown(value)}")


def methods_from(given: object) -> frozenset[bytes] | None:
    """Check the names of request methods, and return them as bytes, as requests have them.

    Raises:
        TypeError: the value is not a list, tuple or set of str or bytes.
        ValueError: a name is not a method's, for example because it is in lower case.
    """
    if given is None:
        return None
    if not is_several(given):
        raise TypeError(f"methods must be a list, tuple or set of names, not {shown(given)}")
    return frozenset(_method_from(each) for each in given)


def _method_from(name: object) -> bytes:
    if not isinstance(name, str | bytes):
        raise TypeError(f"methods must hold str or bytes, not {shown(name)}")
    text = name if isinstance(name, str) else name.decode("latin-1")
    if not re.fullmatch(TOKEN, text) or text != text.upper():
        raise ValueError(f"methods must be names such as 'GET', not {shown(name)}")
    return text.encode("ascii")
