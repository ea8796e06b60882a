"""Requests that are turned away: 503 during a drain, 429 where a client resets too rapidly.

Whether a request is, and its answer: neither its handler nor hooks are run. (One that is dead on
arrival is refused here, too, and has no answer.) A 503 has the headers of `Draining`: a Retry-After
and, over HTTP/1.1, ``Connection: close``. A drain itself is for `monitor`, the count of abandoned
requests for `rapid_resets`.
"""

from __future__ import annotations

from typing import Any

from twisted.web.server import NOT_DONE_YET

from .._log import log
from .._scopes.options import Options
from .._scopes.states import Fate, State
from ..causes import Cause, Draining, Ended, RapidReset
from ..interfaces import IMonitor
from .breaking_off import cut
from .dead_requests import guarded_fate_of
from .error_pages import TEXT, page_for
from .rapid_resets import is_overrun
from .request_facts import fate_of, h2_connection_of
from .request_scope import RequestScope


def why_turned_away(options: Options, request: Any) -> Cause | None:
    """Why a new request is answered without its handler, or None."""
    connection = h2_connection_of(request)
    if not options.dry_run and is_overrun(connection, options.max_cleanups):
        return RapidReset()
    return _draining(options, options.monitors)


def why_turned_away_inside(options: Options, scope: RequestScope) -> Cause | None:
    """The same for an entry point inside another: only monitors count that do not know the request.

    For the others it is a request in flight, which a drain lets finish.
    """
    known = scope.options.monitors
    return _draining(options, tuple(each for each in options.monitors if each not in known))


def _draining(options: Options, monitors: tuple[IMonitor, ...]) -> Draining | None:
    for monitor in monitors:
        if monitor.is_draining and not options.dry_run:
            return Draining(monitor.retry_after)
    return None


def refuse(scope: RequestScope, cause: Cause | None) -> None:
    """The handler is not run: its client has gone, or is turned away; None: was answered."""
    if scope.limits is not None:
        scope.limits.stop()
    scope.cause, scope.fate, scope.state = cause, Fate.LOST, State.STOPPING
    scope.opened = scope.clock.seconds()
    scope.cancelled = None if cause is None else scope.opened
    scope.life.record.worsen(Ended.REFUSED)
    scope.life.go_on()


def turn_away(scope: RequestScope, request: Any, cause: Cause) -> bytes | int:
    """Answer without the handler and without hooks: too many requests, or no time.

    Returns:
        The whole answer; or ``NOT_DONE_YET`` where nothing can be answered, or it has been, or was
        broken off, since the site's ``error_page`` has failed behind a part of its page. That of
        too many requests costs little: the site's ``error_page`` is not called.
    """
    scope.general.to_come = scope.options.status_of(cause), 0
    refuse(scope, cause)
    if guarded_fate_of(request) is not Fate.OPEN:
        return NOT_DONE_YET
    try:
        page = page_for(scope, request, cause, str(cause), TEXT)
    except BaseException:
        # Twisted would end the half of a page as if it were whole.
        log.failure("a request that is turned away cannot be answered: {cause}", cause=cause)
        if fate_of(request) is Fate.OPEN:
            cut(request, scope.clock)
        return NOT_DONE_YET
    return NOT_DONE_YET if page is None else page
