"""How values of the command line are read and checked, and how wrong ones are reported.

`options` has the options.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import wraps
from math import inf
from typing import TypeVar

from twisted.internet.endpoints import serverFromString
from twisted.python.reflect import namedAny
from twisted.python.usage import UsageError
from twisted.web import tap

from .._kinds.cancellers import global_reactor

NumberT = TypeVar("NumberT", int, float)

CLEAR = (AttributeError, ImportError, OSError, TypeError, ValueError)
"""Exceptions whose text says what is wrong, without their class."""


@contextmanager
def checking(option: str, given: str) -> Iterator[None]:
    """Report a wrong value in one line that names its option."""
    try:
        yield
    except Exception as error:
        # The text of a KeyError, for example, does not say what is wrong.
        reason = str(error) if isinstance(error, CLEAR) else repr(error)
        raise UsageError(f"--{option.replace('_', '-')} {given}: {reason}") from error


def checked(option: str, check: Callable[[str], object]) -> Callable[[tap.Options, str], None]:
    """One of Twisted's own options, with a check of its value before it."""
    original = getattr(tap.Options, f"opt_{option}")

    @wraps(original)
    def opt(self: tap.Options, given: str) -> None:
        with checking(option, given):
            check(given)
        original(self, given)

    return opt


def suggestion(error: UsageError, options: Sequence[str]) -> str:
    """The end of a line about an unknown option: the option that was probably meant, if any."""
    unknown = re.match(r"option --(\S+) not recognized", str(error))
    near = get_close_matches(unknown[1], [each.rstrip("=") for each in options]) if unknown else []
    return f". Did you mean --{near[0]}?" if near else ""


def object_from(name: str) -> object:
    """The object with this dotted name."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"must be a dotted name, such as {_dotted(name)}")
    found: object = namedAny(name)
    return found


def _dotted(name: str) -> str:
    """The dotted name that was probably meant, or an example."""
    dotted = name.replace(":", ".")
    is_name = all(part.isidentifier() for part in dotted.split("."))
    return dotted if is_name else "package.module.name"


def callable_from(name: str) -> Callable[..., object]:
    """The object with this dotted name, which must be callable."""
    found: object = object_from(name)
    if not callable(found):
        raise TypeError(f"{found!r} is not callable: name a function or a class")
    return found


def check_processor(given: str) -> None:
    """Check an extension and the class that processes such files."""
    extension, equals, name = given.partition("=")
    if not (extension and equals):
        raise ValueError("must be an extension and a class, such as .rpy=package.Processor")
    callable_from(name)


def check_header(given: str) -> None:
    """Check a header for all responses."""
    if ":" not in given:
        raise ValueError("must be a name and a value, such as 'Server: mine'")


def number_from(kind: type[NumberT], given: str) -> NumberT:
    """Read a number of seconds; a whole number if ``kind`` is int."""
    try:
        return kind(given)
    except ValueError:
        raise ValueError(f"must be a {'whole ' * (kind is int)}number of seconds") from None


def seconds_from(given: str) -> float:
    """Read the seconds of a step of the stop."""
    seconds = number_from(float, given)
    if not 0 <= seconds < inf:
        raise ValueError("must be a finite number of seconds, 0 or more")
    return seconds


def status_from(given: str) -> int:
    """Read the status of an error page."""
    if not given.isdecimal():
        raise ValueError("must be a status such as 504")
    return int(given)


def check_endpoint(description: str) -> None:
    """Check an endpoint to listen on."""
    if description.isdecimal():
        raise ValueError(f"must be an endpoint, such as tcp:{description}")
    try:
        serverFromString(global_reactor(), description)
    except ImportError as error:
        advice = ": TLS needs pyOpenSSL, so install cancelweb[tls]"
        raise ImportError(f"{error}{advice * (error.name == 'OpenSSL')}") from error
