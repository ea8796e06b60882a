"""Ready-made observers, and the hook that writes a 499 line to the access log."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from ._checks import shown
from ._http.request_facts import fate_of
from ._http.whole import left_with_whole_response
from ._scopes.bursts import log_outcome
from ._scopes.hook_checks import ALSO_OBSERVERS
from ._scopes.scope import Scope
from ._scopes.states import Fate
from .causes import Disconnected, Outcome

__all__ = ["access_log_499", "log_outcome"]

CLIENT_CLOSED_REQUEST = 499
"""The status that nginx writes to its access log for a client that left."""


_written: WeakSet[object] = WeakSet()
"""The requests whose line was written. Nested entry points may each have the hook."""


def access_log_499(scope: Scope | Outcome) -> None:
    """Write the access-log line of a request whose client left, with status 499.

    Use this function as an ``on_exit`` hook. Among the ``observers`` of an entry point it becomes
    such a hook. Twisted logs a request when its response is finished, so an abandoned request
    leaves no line. This hook makes the site write the line, once for each request, with the site's
    own log formatter (by default the Combined Log Format). If the client left with the whole
    response, the line has the status of that response.

    The hook does nothing if the response was finished or this server aborted the connection. As an
    ``on_cancel`` hook it would leave out requests that a disconnect may not cancel. While the site
    writes the line, ``request.code`` is 499.

    Args:
        scope: the scope of the request, which must have a ``site``.

    Raises:
        TypeError: ``scope`` is something else, such as an outcome, which has no request.
    """
    if not isinstance(scope, Scope):
        raise TypeError(
            f"access_log_499 takes a scope, not {shown(scope)}. Do not call it: pass it to an "
            "entry point, as on_exit=access_log_499."
        )
    request: Any = scope.request
    if request is None or request in _written:
        return
    if left_with_whole_response(request):
        _log(request)
        return
    was_spared = scope.cause is None and scope.would_have_cancelled is not None
    left = was_spared or isinstance(scope.cause, Disconnected)
    if left and fate_of(request) is Fate.LOST and not scope.life.is_given_up:
        # The outcome reports `request.code` as the status that was sent, so restore it.
        sent, request.code = getattr(request, "code", None), CLIENT_CLOSED_REQUEST
        try:
            _log(request)
        finally:
            request.code = sent


def _log(request: Any) -> None:
    _written.add(request)
    request.site.log(request)


ALSO_OBSERVERS.append(access_log_499)
