"""Where the work of an open scope waits, for the status page and for reports."""

from __future__ import annotations

from .._checks import check_instance
from .._kinds.cancellers import Canceller
from .._kinds.stacks import innermost_line
from .._scopes.hook_index import Hook
from .._scopes.scope import Scope
from .._scopes.states import CLEANING, ENDED


def running_hook(scope: Scope) -> tuple[Hook, Canceller] | None:
    """The cleanup hook that a scope waits for, and what it returned; or None."""
    return scope.life.hooks.running if scope.state is CLEANING else None


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
    if (running := running_hook(scope)) is not None:
        return innermost_line(running[1])
    works = scope.life.stopping.works
    # A request may have thousands of pieces of work.
    tracked = (work for work in reversed(works) if work.step is not ENDED)
    work = works.returned or next(tracked, None)
    return "" if work is None else innermost_line(work.canceller)
