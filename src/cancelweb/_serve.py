"""The one way in: run a handler in the scope of its request.

Whether it is run, and in which scope; what follows is `_respond`'s and the scope's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from ._abandoned import abandon, is_overrun
from ._context import current
from ._options import Options
from ._requests import brief_answer, cause_of_death, fate_of, guard, is_reset
from ._respond import Rendered, Response
from ._scope import ATTRIBUTE, Scope
from ._states import CLOSED, OPEN
from .causes import RapidReset


def serve(
    options: Options, request: Any, handler: Callable[..., Any], args: Any, kwargs: Any
) -> Rendered:
    """Run a handler in the scope of its request: the one way in.

    Returns:
        bytes or ``NOT_DONE_YET``.
    """
    scope = getattr(request, ATTRIBUTE, None)
    is_outermost = True
    channel = getattr(request, "channel", 1)
    # Over HTTP/2 only.
    connection = getattr(channel, "_conn", None)
    if connection is not None and scope is None and _is_overrun(options, connection):
        return _turn_away(options, request)
    is_here = channel is not None and (connection is None or not is_reset(channel))
    if scope is None and not request.finished and is_here:
        scope = request._cancelweb_scope = Scope(request, options)
        if options.is_demanding:
            scope.enter(options)
    else:
        scope, is_outermost = _meet(options, request, scope)
        if scope is None:
            return NOT_DONE_YET
    token = current.set(scope)
    try:
        try:
            result = handler(*args, **kwargs)
        except BaseException:
            result = Failure()
        # A lost request has the channel None, a finished one has no channel.
        channel = getattr(request, "channel", None)
        stays = is_outermost and is_here and channel is not None
        if type(result) is bytes and stays and scope.discard():
            return result
        response = Response(
            scope, request=request, handler=handler, method=request.method, channel=channel
        )
        response.take(result, scope)
    finally:
        current.reset(token)
    return response.give_back(scope, is_outermost)


def _open(options: Options, request: Any) -> Scope:
    scope: Scope = Scope(request, options)
    request._cancelweb_scope = scope
    if options.is_demanding:
        scope.enter(options)
    return scope


def _meet(options: Options, request: Any, scope: Scope | None) -> tuple[Scope | None, bool]:
    """A request that has a scope already, or that is gone.

    Returns:
        The scope to run the handler in, or None where it is not to be run; and whether this door
        is the outermost, whose business the end of the request is.
    """
    if scope is not None and scope.phase is not CLOSED:
        scope.join(options)
        return (None if _is_refused(scope.options, request) else scope), False
    was_here = scope is not None and scope.options.includes(options)
    if not _is_refused(options, request):
        is_over = was_here and fate_of(request) is not OPEN
        return _open(options.spent() if is_over else options, request), True
    if not was_here:
        scope = _open(options, request)
        scope.refuse(cause_of_death(fate_of(request)))
        if scope.phase is not CLOSED:
            abandon(request.channel, scope)
    return None, True


def _is_refused(options: Options, request: Any) -> bool:
    """Whether the request is gone, and with it the reason to run its handler."""
    fate = fate_of(request)
    if fate is OPEN:
        return False
    guard(request, fate)
    return not options.dry_run and options.may_cancel(request.method)


def _is_overrun(options: Options, connection: Any) -> bool:
    return not options.dry_run and is_overrun(connection, options.max_cleanups)


def _turn_away(options: Options, request: Any) -> Rendered:
    """Answer without the handler and without hooks, which are what there is too much of."""
    cause = RapidReset()
    _open(options.only_told(), request).refuse(cause)
    fate = fate_of(request)
    if fate is OPEN:
        return brief_answer(request, cause)
    guard(request, fate)
    return NOT_DONE_YET
