"""Ready-made observers, and the hook that writes the 499 line of the access log.

Each is small and needs nothing but what it is given.
"""

from __future__ import annotations

from ._http.request_facts import fate_of
from ._http.whole import left_with_whole_response
from ._scopes.bursts import log_outcome
from ._scopes.scope import Scope
from ._scopes.states import Fate
from .causes import Disconnected

__all__ = ["access_log_499", "log_outcome"]

CLIENT_CLOSED_REQUEST = 499
"""The status that nginx made customary in access logs for a client that left."""


def access_log_499(scope: Scope) -> None:
    """Write the access-log line of a request whose client left; an ``on_exit`` hook.

    Twisted logs a request when it is finished, so one that was abandoned leaves no line. This
    hook has the site write it with its own formatter (Combined Log Format unless it was given
    another), with status 499. If the client had the whole response by then, the line has the status
    of that. The hook does nothing for a request that was finished, or whose connection was aborted
    at this end; as an ``on_cancel`` hook, for one that a disconnect may not cancel. It sets the
    request's ``code`` for as long as the site writes, and needs its ``site``.
    """
    request = scope.request
    if left_with_whole_response(request):
        request.site.log(request)
        return
    was_spared = scope.cause is None and scope.would_have_cancelled is not None
    left = was_spared or isinstance(scope.cause, Disconnected)
    if left and fate_of(request) is Fate.LOST and not scope.life.is_given_up:
        # What the outcome tells is what was sent.
        sent, request.code = getattr(request, "code", None), CLIENT_CLOSED_REQUEST
        try:
            request.site.log(request)
        finally:
            request.code = sent
