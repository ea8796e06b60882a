"""Name the user's code and values in error messages: ``/srv/page.py:12 in Page.render_GET``.

The place where work waits is found in `where`.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from os.path import dirname, sep
from traceback import walk_tb
from types import FrameType

from twisted.python.failure import Failure

import twisted

from .._checks import shown

_LIBRARIES = (
    dirname(asyncio.__file__) + sep,
    dirname(twisted.__file__) + sep,
    dirname(dirname(__file__)) + sep,
)
"""Folders of code that raises because of a mistake in the user's code."""


def described(value: object) -> str:
    """A value and its type, such as ``'hello', of type str``; None needs no type."""
    if value is None:
        return "None"
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{shown(value)}, of type {module}{kind.__qualname__}"


def place_of(function: object) -> str:
    """The file, line and name of a function; only the name if it is not written in Python.

    Decorators that use ``functools.wraps`` are skipped. A method is named by its object's class.
    """
    code, name = getattr(_plain(function), "__code__", None), _name_of(function)
    return name if code is None else f"{code.co_filename}:{code.co_firstlineno} in {name}"


def short_name_of(function: object) -> str:
    """The name of a function or a class in the code that defines it."""
    return _name_of(function).rpartition("<locals>.")[2]


def _name_of(function: object) -> str:
    plain = _plain(function)
    owner = getattr(function, "__self__", None)
    if owner is not None and not inspect.ismodule(owner):
        kind = owner if isinstance(owner, type) else type(owner)
        return f"{kind.__qualname__}.{getattr(plain, '__name__', '')}"
    return str(getattr(plain, "__qualname__", None) or shown(function))


def _plain(function: object) -> object:
    """The function behind partials, decorators, and an object that can be called."""
    while callable(function):
        try:
            plain = inspect.unwrap(function)
        except ValueError:
            # It wraps itself.
            return function
        if not isinstance(plain, partial):
            return plain if hasattr(plain, "__qualname__") else type(plain).__call__
        function = plain.func
    return function


def frames_of(failure: Failure) -> list[tuple[FrameType, int]]:
    """The frames of a failure's traceback, each with its line, the innermost last."""
    # Before 24.10, Twisted removes the error's traceback, and keeps a substitute.
    traceback = getattr(failure.value, "__traceback__", None) or failure.getTracebackObject()
    return list(walk_tb(traceback))


def place_in(failure: Failure) -> str:
    """The innermost line of the user's code in a traceback, or ``your code`` without one."""
    for frame, line in reversed(frames_of(failure)):
        code = frame.f_code
        if not code.co_filename.startswith(_LIBRARIES):
            return f"{code.co_filename}:{line} in {getattr(code, 'co_qualname', code.co_name)}"
    return "your code"


# From Python 3.14 on, annotations are evaluated when they are read, and they may have names that
# only type checkers know.
_FORMAT = (
    {"annotation_format": import_module("annotationlib").Format.FORWARDREF}
    if sys.version_info >= (3, 14)
    else {}
)

signature_of: Callable[..., inspect.Signature] = partial(inspect.signature, **_FORMAT)
"""The signature of a function, whatever its annotations are."""


def root_of(frame: FrameType) -> str:
    """The top-level package of a frame's code."""
    return str(frame.f_globals.get("__name__")).partition(".")[0]
