"""What was called for a request, as people look for it: a method, its file and its line.

Reads names only; the handler, its resource and its request are never kept.
"""

from __future__ import annotations

from inspect import unwrap
from typing import Any

from attrs import frozen

from .._http.mistakes import method_behind
from .._kinds.where import function_name
from .._scopes.parts import Subject

NO_HANDLER = "no handler"
"""Stands for the handler of a request that was turned away, or whose client had gone before."""


@frozen
class Called:
    """The name and the place of a handler."""

    name: str
    place: str | None


def called_for(scope: Subject) -> Called:
    """What an open scope called."""
    handler = handler_of(scope)
    return Called(name_of(handler), place_of(handler))


def handler_of(scope: Subject) -> object:
    """The innermost handler of an open scope; None if none was called.

    Twisted's own ``render`` calls ``render_GET``, for example, so that is the handler then.
    """
    return method_behind(scope.rare.inner_handler or scope.handler, scope.request.method)


def name_of(handler: object) -> str:
    """The name of a handler, such as ``Report.render_GET``; a method goes by its object's class."""
    if handler is None:
        return NO_HANDLER
    owner = getattr(handler, "__self__", None)
    if owner is None:
        return function_name(handler)
    kind = owner if isinstance(owner, type) else type(owner)
    return f"{kind.__qualname__}.{getattr(handler, '__name__', '')}"


def place_of(handler: Any) -> str | None:
    """The file and line of a handler, such as ``/srv/pages.py:12``, as far as Python can tell."""
    try:
        code = getattr(unwrap(handler), "__code__", None)
    except ValueError:
        # It wraps itself.
        code = None
    return None if code is None else f"{code.co_filename}:{code.co_firstlineno}"
