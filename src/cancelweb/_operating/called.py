"""What was called for a request, as people look for it: a method, its file and its line.

Reads names only; the handler, its resource and its request are never kept.
"""

from __future__ import annotations

from inspect import unwrap
from typing import Any

from twisted.web.resource import Resource

from .._kinds.where import function_name
from .._scopes.parts import Subject

NO_HANDLER = "no handler"
"""Stands for the handler of a request that was turned away, or whose client had gone before."""


def handler_of(scope: Subject) -> object:
    """The innermost handler of an open scope; None if none was called.

    Twisted's own ``render`` calls ``render_GET``, for example, so that is the handler then.
    """
    handler = scope.inner_handler or scope.handler
    inherited = getattr(handler, "__func__", None)
    return _method_of(handler, scope.request.method) if inherited is Resource.render else handler


def _method_of(render: object, method: bytes) -> object:
    resource = getattr(render, "__self__", None)
    try:
        found = getattr(resource, "render_" + method.decode("latin-1"), None)
        inherited = getattr(found, "__func__", None)
        if method == b"HEAD" and (found is None or inherited is Resource.render_HEAD):
            # Twisted answers it with the method for GET.
            found = getattr(resource, "render_GET", None)
    except Exception:
        # A `__getattr__` of the site's own failed, and Twisted has told the client.
        found = None
    return render if found is None else found


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
