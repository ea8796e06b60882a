"""Where the work of an open scope waits, for the status page and for reports."""

from __future__ import annotations

from .._checks import check_instance
from .._kinds.stacks import innermost_line
from .._scopes.scope import Scope
from .._scopes.states import CLEANING, ENDED


def where_it_waits(scope: Scope) -> str:
    """Tell where the work of a scope waits, in one line, such as ``file.py:123 in function``.

    The line is that of the innermost frame that Python can tell. Work without a coroutine is
    described: a timer, for example, by its function and when it is due. While a cleanup hook runs,
    the line is the hook's.

    Args:
        scope: an open scope. If its handler returned no work, the newest tracked work is told.

    Returns:
        The line; empty if the scope has no work.
    """
    check_instance("scope", scope, Scope, "a cancelweb.Scope")
    if scope.state is CLEANING and (hook := scope.life.hooks.running) is not None:
        return innermost_line(hook)
    works = scope.life.stopping.works
    # A request may have thousands of pieces of work.
    tracked = (work for work in reversed(works) if work.step is not ENDED)
    work = works.returned or next(tracked, None)
    return "" if work is None else innermost_line(work.canceller)
