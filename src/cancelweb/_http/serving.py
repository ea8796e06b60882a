"""The one way in: run a handler in the scope of its request.

Whether it is run, and in which scope; what follows is `_respond`'s and the scope's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from .._kinds.registry import COMMON
from .._scopes.context import current
from .._scopes.options import Options
from .._scopes.scope import ATTRIBUTE, Scope
from .._scopes.states import CLOSED, OPEN
from ..causes import Cause, RapidReset
from .rapid_resets import abandon, is_overrun
from .requests import brief_answer, cause_of_death, connection_of, fate_of, guard, hear_of_finish
from .respond import Rendered, Response

HTTP2 = b"HTTP/2"


def serve(
    options: Options, request: Any, handler: Callable[..., Any], args: Any, kwargs: Any
) -> Rendered:
    """Run a handler in the scope of its request: the one way in.

    Returns:
        bytes or ``NOT_DONE_YET``.
    """
    scope = getattr(request, ATTRIBUTE, None)
    is_outermost = True
    try:
        is_new = scope is None and request.channel is not None and request.clientproto != HTTP2
    except AttributeError:
        is_new = False  # A finished request has no channel, and a test double may have none.
    if is_new:
        # As _open, which is for all others.
        scope = Scope()
        scope.request, scope.options, scope.is_bare = request, options, True
        request._cancelweb_scope = scope
        if options.is_demanding:
            draining = options.draining()
            if draining is not None:
                return _turn_away(options, request, draining)
            scope.enter(options)
    elif scope is None and (why := _why_turned_away(options, request)) is not None:
        return _turn_away(options, request, why)
    else:
        scope, is_outermost = _meet(options, request, scope)
        if scope is None:
            return NOT_DONE_YET
    token = current.set(scope)
    try:
        try:
            result = handler(*args, **kwargs) if kwargs else handler(*args)
        except BaseException:
            result = Failure()
        try:
            channel = request.channel
        except AttributeError:
            channel = None
        is_whole = is_outermost and channel is not None
        if is_whole and scope.is_bare and isinstance(result, bytes) and scope.discard():
            return result
        response = Response(scope, request, handler, channel)
        is_simple = scope.is_bare or (scope.is_fresh and fate_of(request) is OPEN)
        if is_whole and is_simple and type(result) in COMMON:
            if response.wait_for(result, scope):
                return NOT_DONE_YET
        else:
            response.take(result, scope)
            # If it is an error, its traceback refers to this frame.
            result = None
    finally:
        current.reset(token)
    return response.give_back(scope, is_outermost)


def _open(options: Options, request: Any) -> Scope:
    scope: Scope = Scope()
    scope.request, scope.options = request, options
    # Nobody will be told of the end that is past, nor, over HTTP/2, of every loss to come.
    scope.is_bare = fate_of(request) is OPEN and connection_of(request) is None
    hear_of_finish(request)
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
    if not isinstance(scope, Scope):
        # A copy that `twisted.web.distrib` has made of a request has a stand-in there.
        scope = None
    elif scope.phase is not CLOSED:
        why = options.draining(known=scope.options.monitors)
        scope.join(options)
        if why is not None:
            scope.stop(why)
            return None, False
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


def _why_turned_away(options: Options, request: Any) -> Cause | None:
    connection = connection_of(request)
    if connection is None or options.dry_run:
        return options.draining()
    return RapidReset() if is_overrun(connection, options.max_cleanups) else options.draining()


def _turn_away(options: Options, request: Any, cause: Cause) -> Rendered:
    """Answer without the handler and without hooks: there is too much of them, or no time."""
    _open(options.only_told(), request).refuse(cause)
    fate = fate_of(request)
    if fate is OPEN:
        return brief_answer(request, cause)
    guard(request, fate)
    return NOT_DONE_YET
