"""The one way in: run a handler in the scope of its request.

Whether it is run, and in which scope; what follows is for `handler_call` and the scope.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType
from typing import Any

from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import NOT_DONE_YET

from .._scopes.context import begin, current
from .._scopes.entering import enter, join
from .._scopes.finding import SCOPE
from .._scopes.found_context import CALLERS
from .._scopes.options import Options
from .._scopes.states import OPEN, Fate, State
from .answerer import Answerer
from .answering import TwistedAnswerer
from .dead_requests import guarded_fate_of
from .gauge import ResponseGauge
from .handler_call import HandlerCall
from .listeners import takes_listeners
from .request_facts import cause_of_death, have_copy_notice
from .request_scope import RequestScope
from .turned_away import refuse, turn_away, why_turned_away, why_turned_away_inside

MakeAnswerer = Callable[[RequestScope, Any, object, bool], Answerer]
"""Makes an answerer of a scope, its request, a handler, and whether this is the outermost."""


def serve(
    options: Options, request: Any, handler: Callable[..., object], args: Any, kwargs: Any
) -> object:
    """Run a handler in the scope of its request.

    Args:
        options: those of the entry point.
        request: of Twisted, or of a framework, or a test double.
        handler: is called with the next two.
        args: the positional arguments.
        kwargs: the others.

    Returns:
        Bytes or ``NOT_DONE_YET``.
    """
    scope = _enter_simply(options, request)
    if scope is None:
        return serve_for(TwistedAnswerer, options, request, handler, args, kwargs)
    try:
        # It has a context.
        result = scope.context.run(handler, *args, **kwargs)  # type: ignore[union-attr]
    except BaseException:
        result = Failure()
    try:
        result = scope.take(result, handler)
        if scope.handler is not None or scope.fate is not OPEN:
            return result
        call = _call_of(scope, handler)
        call.is_transparent = not options.any_method
        call.returned(result)
    finally:
        # A failure refers to this frame.
        result = None
    return _returned(call.give_back(handler, True))


def serve_for(
    make_answerer: MakeAnswerer,
    options: Options,
    request: Any,
    handler: Callable[..., object],
    args: Any,
    kwargs: Any,
) -> object:
    """The same, always in the general way.

    Args:
        make_answerer: makes what receives the handler's result: Twisted, or a framework which
            awaits it.
        options: as in `serve`.
        request: as in `serve`.
        handler: as in `serve`.
        args: as in `serve`.
        kwargs: as in `serve`.

    Returns:
        What the answerer gives back.
    """
    scope, is_outermost = _enter(options, request)
    if not isinstance(scope, RequestScope):
        return scope
    answerer = make_answerer(scope, request, handler, is_outermost)
    call = HandlerCall(scope, answerer, not options.any_method)
    if not is_outermost:
        scope.inner_handler = handler
    call.run(handler, args, kwargs)
    return _returned(call.give_back(handler, is_outermost))


def _returned(result: object) -> object:
    """Return the result of a call, or raise it."""
    if not isinstance(result, Failure):
        return result
    error: Any = result.value
    frames = result.getTracebackObject()
    try:
        # Before Twisted 24.10 it may be a fake.
        raise error.with_traceback(frames if isinstance(frames, TracebackType) else None)
    finally:
        # Through its traceback the error refers to this frame.
        del result, error, frames


SIMPLE_CHANNEL: type = HTTPChannel
"""The channels whose requests may take the fast path: those of HTTP/1."""


def _enter_simply(options: Options, request: Any) -> RequestScope | None:
    """The scope of a request over HTTP/1 that is open and has met no entry point, as nearly all."""
    if getattr(request, SCOPE, None) is not None or not takes_listeners(request):
        return None
    if type(getattr(request, "channel", None)) is not SIMPLE_CHANNEL or request.finished:
        return None
    if options.monitors and why_turned_away(options, request) is not None:
        return None
    scope = RequestScope(request, options)
    scope.context = context = copy_context()
    if context:
        if context.get(current) is not None:
            # It is rendered in the context of another's handler.
            return None
        scope.base = context.copy()
    context.run(current.set, scope)
    request._cancelweb_scope = scope
    if options.is_demanding:
        enter(scope, options)
    return scope


def _enter(options: Options, request: Any) -> tuple[RequestScope | bytes | int, bool]:
    """The scope in which to run the handler, or what to return; and whether this opened it."""
    met = getattr(request, SCOPE, None)
    # On a copy that `twisted.web.distrib` has made of a request, there is a stand-in.
    if not isinstance(met, RequestScope):
        have_copy_notice(request)
        return _open(options, request, None), True
    if met.state is State.CLOSED or _only_cleans_up(met, request):
        return _open(options, request, met), True
    return _join(options, request, met), False


def _only_cleans_up(scope: RequestScope, request: Any) -> bool:
    """Whether all that is left of a scope is its hooks, with which all late work would end."""
    return scope.state is State.CLEANING and guarded_fate_of(request) is not Fate.OPEN


def _call_of(scope: RequestScope, handler: object) -> HandlerCall:
    """The call of a handler that took the fast path so far."""
    return HandlerCall(scope, TwistedAnswerer(scope, scope.request, handler, True))


RequestScope.make_call = _call_of
RequestScope.gauge = ResponseGauge()
CALLERS.add(id(serve.__code__))


def _open(
    options: Options, request: Any, former: RequestScope | None
) -> RequestScope | bytes | int:
    """The scope of a request that has none, or whose scope has closed; else what to return."""
    if former is None and (why := why_turned_away(options, request)) is not None:
        return turn_away(_new_scope(options.only_told(), request), request, why)
    fate = guarded_fate_of(request)
    if former is not None and fate is not OPEN:
        return _open_again(options, request, fate, former)
    scope = _new_scope(options, request)
    return _refused(scope, fate) if _is_refused(options, request, fate) else scope


def _open_again(
    options: Options, request: Any, fate: Fate, former: RequestScope
) -> RequestScope | int:
    """The second scope of a request that was over when its handler was called; or what to return.

    Observers and monitors are told of this one, too. Hooks have been run, but for those that a new
    entry point brings.
    """
    spent = former.options.spent()
    if spent.includes(options) and _is_refused(spent, request, fate):
        # No handler is run, and all have been told of this request.
        return NOT_DONE_YET
    scope = _new_scope(spent, request)
    join(scope, options)
    return _refused(scope, fate) if _is_refused(scope.options, request, fate) else scope


def _refused(scope: RequestScope, fate: Fate) -> int:
    refuse(scope, cause_of_death(fate))
    if scope.state is not State.CLOSED:
        scope.general.note_abandoned()
    return NOT_DONE_YET


def _new_scope(options: Options, request: Any) -> RequestScope:
    scope = RequestScope(request, options)
    begin(scope)
    setattr(request, SCOPE, scope)
    # A request that is lost forgets its channel.
    _ = scope.general
    enter(scope, options)
    return scope


def _join(options: Options, request: Any, scope: RequestScope) -> RequestScope | int:
    """The scope in which an entry point inside another runs its handler; else what to return."""
    why = why_turned_away_inside(options, scope)
    join(scope, options)
    if why is not None:
        scope.life.stop(why)
        return NOT_DONE_YET
    is_refused = _is_refused(scope.options, request, guarded_fate_of(request))
    return NOT_DONE_YET if is_refused else scope


def _is_refused(options: Options, request: Any, fate: Fate) -> bool:
    """Whether the request is gone, and with it the reason to run its handler."""
    is_gone = fate is not Fate.OPEN
    return is_gone and not options.dry_run and options.may_cancel(request.method)
