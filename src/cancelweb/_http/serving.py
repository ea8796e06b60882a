"""Serve a request: decide whether to run its handler and in which scope, and run it.

Both entry points call `serve`. `handler_call` and the scope handle what the handler returns.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType
from typing import Any

from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import NOT_DONE_YET

from .._scopes.context import begin, current, set_current
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
"""Makes an answerer from a scope, its request, a handler, and whether that is the outermost one."""


def serve(
    options: Options, request: Any, handler: Callable[..., object], args: Any, kwargs: Any
) -> object:
    """Run a handler in the scope of its request.

    Args:
        options: the options of the entry point.
        request: a request of Twisted or of a framework, or a test double.
        handler: the function to call.
        args: its positional arguments.
        kwargs: its keyword arguments.

    Returns:
        Bytes or ``NOT_DONE_YET``.
    """
    scope = _enter_simply(options, request)
    if scope is None:
        return serve_for(TwistedAnswerer, options, request, handler, args, kwargs)
    try:
        # `_enter_simply` has set the context.
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
        # A failure refers to this frame, and the variable would close a reference cycle.
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
    """Do the same as `serve`, but always in the general way.

    Args:
        make_answerer: makes the answerer that receives the handler's result.
        options: as in `serve`.
        request: as in `serve`.
        handler: as in `serve`.
        args: as in `serve`.
        kwargs: as in `serve`.

    Returns:
        What `Answerer.give_back` returns.
    """
    scope, is_outermost = _enter(options, request)
    if not isinstance(scope, RequestScope):
        return scope
    answerer = make_answerer(scope, request, handler, is_outermost)
    call = HandlerCall(scope, answerer, not options.any_method)
    if not is_outermost:
        scope.own_rare().inner_handler = handler
    call.run(handler, args, kwargs)
    return _returned(call.give_back(handler, is_outermost))


def _returned(result: object) -> object:
    """Return the result of a call, or raise it."""
    if not isinstance(result, Failure):
        return result
    error: Any = result.value
    frames = result.getTracebackObject()
    try:
        # Before Twisted 24.10 a failure may have a fake traceback.
        raise error.with_traceback(frames if isinstance(frames, TracebackType) else None)
    finally:
        # The traceback of the error refers to this frame; the variables would close a cycle.
        del result, error, frames


SIMPLE_CHANNEL: type = HTTPChannel
"""The class of channel whose requests may take the fast path: that of HTTP/1."""


def _enter_simply(options: Options, request: Any) -> RequestScope | None:
    """Open the scope of an ordinary request; None if it needs the checks of `_enter`.

    An ordinary request is an open HTTP/1 one that has reached no other entry point.
    """
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
            # This request is rendered inside the handler of another request.
            return None
        scope.own_rare().base = context.copy()
    context.run(set_current, scope)
    request._cancelweb_scope = scope
    if options.is_demanding:
        enter(scope, options)
    return scope


def _enter(options: Options, request: Any) -> tuple[RequestScope | bytes | int, bool]:
    """The scope in which to run the handler, or what to return; and whether the scope is new."""
    met = getattr(request, SCOPE, None)
    # A copy of a request made by `twisted.web.distrib` has another object in this attribute.
    if not isinstance(met, RequestScope):
        have_copy_notice(request)
        return _open(options, request, None), True
    if met.state is State.CLOSED or _only_cleans_up(met, request):
        return _open(options, request, met), True
    return _join(options, request, met), False


def _only_cleans_up(scope: RequestScope, request: Any) -> bool:
    """Whether a scope has only hooks left to run, so that late work would end with these."""
    return scope.state is State.CLEANING and guarded_fate_of(request) is not Fate.OPEN


def _call_of(scope: RequestScope, handler: object) -> HandlerCall:
    """The call of a handler that leaves the fast path."""
    return HandlerCall(scope, TwistedAnswerer(scope, scope.request, handler, True))


RequestScope.make_call = _call_of
RequestScope.gauge = ResponseGauge()
CALLERS.add(id(serve.__code__))


def _open(
    options: Options, request: Any, former: RequestScope | None
) -> RequestScope | bytes | int:
    """A new scope for a request without an open one; or what to return instead of running it."""
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
    """A second scope for a request that ended before its handler was called; or what to return.

    The second scope has an outcome of its own, for observers and monitors. It runs only the hooks
    of an entry point that the first scope did not know.
    """
    spent = former.options.spent()
    if spent.includes(options) and _is_refused(spent, request, fate):
        # No handler runs, and every observer and monitor has seen this request before.
        return NOT_DONE_YET
    scope = _new_scope(spent, request)
    join(scope, options)
    return _refused(scope, fate) if _is_refused(scope.options, request, fate) else scope


def _refused(scope: RequestScope, fate: Fate) -> int:
    scope.general.note_abandoned()
    refuse(scope, cause_of_death(fate))
    return NOT_DONE_YET


def _new_scope(options: Options, request: Any) -> RequestScope:
    scope = RequestScope(request, options)
    begin(scope)
    setattr(request, SCOPE, scope)
    # Make this now: it keeps the channel, which a lost request drops.
    _ = scope.general
    enter(scope, options)
    return scope


def _join(options: Options, request: Any, scope: RequestScope) -> RequestScope | int:
    """Join the scope of an outer entry point; returns it, or what to return instead of running."""
    why = why_turned_away_inside(options, scope)
    join(scope, options)
    if why is not None:
        scope.life.stop(why)
        return NOT_DONE_YET
    is_refused = _is_refused(scope.options, request, guarded_fate_of(request))
    return NOT_DONE_YET if is_refused else scope


def _is_refused(options: Options, request: Any, fate: Fate) -> bool:
    """Whether the handler is not run because the request is already over."""
    is_gone = fate is not Fate.OPEN
    return is_gone and not options.dry_run and options.may_cancel(request.method)
