"""Where an open scope waits, for the status page and for reports."""

from __future__ import annotations

from .._kinds.where import innermost_line
from .._scopes.scope import Scope


def where_it_waits(scope: Scope) -> str:
    """Where the work that a scope's handler returned waits: ``file.py:123 in function``.

    This is the innermost frame that Python knows: an awaited Deferred does not say what it waits
    for. Without a coroutine it is a description of the work; without work it is empty.
    """
    returned = scope.life.stopping.works.returned
    return "" if returned is None else innermost_line(returned.canceller)
