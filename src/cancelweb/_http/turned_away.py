"""Requests that are turned away: 503 during a drain, 429 for rapid resets.

Neither the handler nor hooks run for a request that is turned away. A 503 has the headers of
`Draining`: ``Retry-After`` and, over HTTP/1.1, ``Connection: close``. A request that is dead on
arrival is refused here, too, without an answer. `monitor` has the drain, and `rapid_resets` the
count of abandoned requests.
"""

from __future__ import annotations

from typing import Any

from twisted.web.server import NOT_DONE_YET

from .._log import log
from .._scopes.options import Options
from .._scopes.states import Fate, State
from .._scopes.telling import log_in
from ..causes import Cause, Draining, Ended, RapidReset
from ..interfaces import IMonitor
from .breaking_off import break_off
from .dead_requests import guarded_fate_of
from .error_pages import TEXT, page_for
from .rapid_resets import is_overrun
from .request_facts import answer_to_come, fate_of, h2_connection_of
from .request_scope import RequestScope


def why_turned_away(options: Options, request: Any) -> Cause | None:
    """Why a new request is turned away; None if it is not."""
    connection = h2_connection_of(request)
    if not options.dry_run and is_overrun(connection, options.max_abandoned):
        return RapidReset()
    return _draining(options, options.monitors)


def why_turned_away_inside(options: Options, scope: RequestScope) -> Cause | None:
    """Why an inner entry point turns a request away; None if it does not.

    Only a monitor of the inner entry point alone counts. To any other monitor this is an open
    request, which a drain lets finish.
    """
    known = scope.options.monitors
    return _draining(options, tuple(each for each in options.monitors if each not in known))


def _draining(options: Options, monitors: tuple[IMonitor, ...]) -> Draining | None:
    for monitor in monitors:
        if monitor.is_draining and not options.dry_run:
            return Draining(monitor.retry_after)
    return None


def refuse(scope: RequestScope, cause: Cause | None) -> None:
    """Close the scope of a request that is already over, without running its handler.

    Args:
        scope: the scope of the request.
        cause: why the request is over; None if its response was finished.
    """
    _begin_to_refuse(scope, cause)
    scope.life.go_on()


def _begin_to_refuse(scope: RequestScope, cause: Cause | None) -> None:
    if scope.limits is not None:
        scope.limits.stop()
    scope._cause, scope.fate, scope.state = cause, Fate.LOST, State.STOPPING
    scope.opened = scope.clock.seconds()
    scope.cancelled = None if cause is None else scope.opened
    scope.life.record.worsen(Ended.REFUSED)


def turn_away(scope: RequestScope, request: Any, cause: Cause) -> bytes | int:
    """Answer a request without running its handler or hooks.

    For `RapidReset` the site's ``error_page`` is not called, so that the answer costs little.

    Returns:
        The whole answer; or ``NOT_DONE_YET`` if the request is already over, ``error_page`` has
        answered it, or the answer was broken off.
    """
    _begin_to_refuse(scope, cause)
    try:
        return _answer(scope, request, cause)
    finally:
        # The outcome has the status of the answer, so the scope closes only now.
        scope.life.go_on()


def _answer(scope: RequestScope, request: Any, cause: Cause) -> bytes | int:
    if guarded_fate_of(request) is not Fate.OPEN:
        return NOT_DONE_YET
    try:
        page = page_for(scope, request, cause, str(cause), TEXT)
    except BaseException:
        # A request of the user's own class has raised.
        text = "a request that was turned away could not be answered: {cause}"
        log_in(scope.context, log.failure, text, cause=cause)
        if fate_of(request) is Fate.OPEN:
            break_off(scope, request)
        return NOT_DONE_YET
    if page is None:
        return NOT_DONE_YET
    scope.general.to_come = answer_to_come(request, page)
    return page
