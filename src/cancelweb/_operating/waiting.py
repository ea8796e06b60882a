"""Where an open scope waits, for the status page and for reports."""

from __future__ import annotations

from .._kinds.where import innermost_line
from .._scopes.scope import Scope


def where_it_waits(scope: Scope) -> str:
    """Where what a scope's handler returned waits: ``file.py:123 in function``.

    Of the innermost frame that Python can tell of: an awaited Deferred does not tell what it waits
    for. Where there is no coroutine, a description of the work; empty where there is none.
    """
    returned = scope.life.stopping.works.returned
    return "" if returned is None else innermost_line(returned.canceller)
