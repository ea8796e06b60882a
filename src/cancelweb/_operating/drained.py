"""What a drain does to each request in flight.

`draining` decides when.
"""

from __future__ import annotations

from collections.abc import Callable

from .._http.pages import make_last
from .._http.request_facts import has_begun
from .._log import log
from .._scopes.hooks import cleanup_seconds
from .._scopes.patience import SURVIVOR_AFTER, seconds_for
from .._scopes.scope import Scope
from .._scopes.telling import log_in
from ..causes import Draining


def guarded(step: Callable[[Scope], object], scope: Scope) -> None:
    """Do a step, and log if it fails."""
    try:
        step(scope)
    except BaseException:
        # This request may be of a kind that cannot be answered. The others are still drained.
        text = "{scope} could not be drained"
        log_in(scope.context, log.failure, text, scope=scope)


def make_last_on_connection(scope: Scope) -> None:
    """Notice if the request has ended, and otherwise let no request follow on its connection."""
    # Twisted may never have reported the end of this request.
    scope.catch_up(is_reported_by_now=True)
    announce_close(scope)


def announce_close(scope: Scope) -> None:
    """Close the connection after this answer, which says so, unless its headers have been sent."""
    if scope.request is not None and not (scope.options.dry_run or has_begun(scope.request)):
        make_last(scope.request)


def cancel(scope: Scope) -> None:
    """Cancel a scope, whatever its method."""
    scope.life.drain(Draining())


def limits_of(scope: Scope) -> float:
    """Seconds that the work and the hooks of a cancelled scope may take together."""
    usual = scope.options.survivor_after or SURVIVOR_AFTER
    works = (seconds_for(work, scope) for work in scope.life.stopping.works)
    return max(works, default=usual) + cleanup_seconds(scope)
