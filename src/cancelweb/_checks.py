"""Validation of plain values: numbers, flags and instances.

A check raises a TypeError or ValueError that names the argument, shows what was passed, and says
what to pass instead. `_scopes.checks` has the checks of options.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Set
from functools import partial
from typing import Any, TypeGuard

from attrs import Attribute
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr

Check = Callable[[str, object], object]
"""A check; it takes the name of an argument and the value."""

LONGEST = 60
"""How many characters of a value a message shows."""


def shown(value: object) -> str:
    """The ``repr`` of a value, cut short if it is long."""
    text = safe_repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def validated(check: Check) -> Callable[[object, Attribute[Any], object], None]:
    """Turn a check into an attrs validator."""

    def validate(_: object, attribute: Attribute[Any], value: object) -> None:
        check(attribute.name, value)

    return validate


def check_seconds(name: str, value: object, otherwise: str = "") -> None:
    """Raise unless the value is a finite number of seconds, 0 or more.

    Args:
        name: the name of the argument.
        value: what was passed.
        otherwise: a text about what else may be passed.
    """
    if not 0 <= _number(name, value) < math.inf:
        raise ValueError(f"{name} must be 0 or more and finite, not {value!r}{otherwise}")


def check_limit(name: str, value: object) -> None:
    """Raise unless the value is a finite number of seconds, more than 0."""
    if not 0 < _number(name, value) < math.inf:
        raise ValueError(f"{name} must be more than 0 and finite, not {value!r}")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} must be finite, not {shown(value)}") from None


def check_count(name: str, value: object, least: int = 1) -> None:
    """Raise unless the value is an int, ``least`` or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {shown(value)}")
    if value < least:
        raise ValueError(f"{name} must be {least} or more, not {value!r}")


def check_status(name: str, value: object) -> None:
    """Raise a TypeError or ValueError unless the value is the status of an error page."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int such as 503, not {shown(value)}")
    if not 400 <= value <= 599:
        raise ValueError(f"{name} must be from 400 to 599, not {shown(value)}")


def check_flag(name: str, value: object) -> None:
    """Raise unless the value is True or False itself."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {shown(value)}")


def check_instance(name: str, value: object, kind: type, what: str, advice: str = "") -> None:
    """Raise unless the value is an instance of this class.

    Args:
        name: the name of the argument.
        value: the value.
        kind: the class.
        what: what it must be, such as ``a twisted.python.failure.Failure``.
        advice: a sentence that says more.
    """
    if isinstance(value, kind):
        return
    if isinstance(value, type) and issubclass(value, kind):
        called = value.__name__
        raise TypeError(f"{name} must be an instance, not the class {called}. Pass {called}().")
    raise TypeError(f"{name} must be {what}, not {shown(value)}{advice and f'. {advice}'}")


def is_several(value: object) -> TypeGuard[Collection[object]]:
    """Whether a value is a list, tuple or set.

    Other iterables are not taken, because a Deferred and some iterators never end.
    """
    return isinstance(value, list | tuple | Set)


def check_function(name: str, value: object) -> None:
    """Raise unless the value can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be a function, not {shown(value)}")


def check_text(name: str, value: object) -> None:
    """Raise unless the value is a str."""
    check_instance(name, value, str, "a str")


def is_failure(_: object, attribute: Attribute[Any], value: object) -> None:
    """Raise unless the value is a Failure or None; quick, because each loss has a cause."""
    if value is not None and not isinstance(value, Failure):
        check_instance(attribute.name, value, Failure, "a twisted.python.failure.Failure or None")


IS_COUNT = validated(partial(check_count, least=0))
IS_SECONDS = validated(check_seconds)
IS_TEXT = validated(check_text)
"""Validators for the fields of causes."""
