"""The one way in: run a handler in the scope of its request.

Whether it is run, and in which scope; what follows is for `handler_call` and the scope.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from .._scopes.context import current
from .._scopes.finding import SCOPE
from .._scopes.options import Options
from .._scopes.states import Fate, State
from .answerer import Answerer
from .answering import TwistedAnswerer
from .dead_requests import guarded_fate_of
from .handler_call import HandlerCall
from .request_facts import cause_of_death, have_copy_notice
from .request_scope import RequestScope
from .turned_away import turn_away, why_turned_away, why_turned_away_inside

MakeAnswerer = Callable[[RequestScope, Any, object, bool], Answerer]
"""Makes an answerer of a scope, its request, a handler, and whether this is the outermost."""


def serve(
    options: Options,
    request: Any,
    handler: Callable[..., object],
    args: Any,
    kwargs: Any,
    answerer: MakeAnswerer = TwistedAnswerer,
) -> object:
    """Run a handler in the scope of its request.

    Args:
        options: those of the entry point.
        request: of Twisted, or of a framework, or a test double.
        handler: is called with the next two.
        args: the positional arguments.
        kwargs: the others.
        answerer: makes what receives the handler's result: Twisted, or a framework that awaits it.

    Returns:
        What the answerer gives back; of Twisted's, bytes or ``NOT_DONE_YET``.
    """
    met = _met(request)
    is_outermost = met is None or met.state is State.CLOSED
    entered: RequestScope | bytes | int
    if met is None or is_outermost:
        entered = _open(options, request, met)
    else:
        entered = _join(options, request, met)
    if not isinstance(entered, RequestScope):
        return entered
    call = HandlerCall(entered, answerer(entered, request, handler, is_outermost))
    token = current.set(entered)
    try:
        result = call.run(handler, args, kwargs)
    finally:
        current.reset(token)
    result = call.give_back(result, is_outermost)
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


def _met(request: Any) -> RequestScope | None:
    """The scope that an entry point has given this request already; it may have closed."""
    scope = getattr(request, SCOPE, None)
    # On a copy that `twisted.web.distrib` has made of a request, there is a stand-in.
    return scope if isinstance(scope, RequestScope) else None


def _open(
    options: Options, request: Any, former: RequestScope | None
) -> RequestScope | bytes | int:
    """The scope of a request that has none, or whose scope has closed; else what to return.

    A handler that comes after its scope has closed, on a dead request, runs in a second scope in
    which hooks and observers are not served again.
    """
    if former is None and (why := why_turned_away(options, request)) is not None:
        return turn_away(_new_scope(options.only_told(), request), request, why)
    was_here = former is not None and former.options.includes(options)
    fate = guarded_fate_of(request)
    if not _is_refused(options, request, fate):
        is_over = was_here and fate is not Fate.OPEN
        return _new_scope(options.spent() if is_over else options, request)
    if not was_here:
        scope = _new_scope(options, request)
        scope.life.refuse(cause_of_death(fate))
        scope.note_abandoned()
    return NOT_DONE_YET


def _new_scope(options: Options, request: Any) -> RequestScope:
    scope = RequestScope(request, options)
    have_copy_notice(request)
    setattr(request, SCOPE, scope)
    scope.life.enter(options)
    return scope


def _join(options: Options, request: Any, scope: RequestScope) -> RequestScope | int:
    """The scope in which an entry point inside another runs its handler; else what to return."""
    why = why_turned_away_inside(options, scope)
    scope.life.join(options)
    if why is not None:
        scope.life.stop(why)
        return NOT_DONE_YET
    is_refused = _is_refused(scope.options, request, guarded_fate_of(request))
    return NOT_DONE_YET if is_refused else scope


def _is_refused(options: Options, request: Any, fate: Fate) -> bool:
    """Whether the request is gone, and with it the reason to run its handler."""
    is_gone = fate is not Fate.OPEN
    return is_gone and not options.dry_run and options.may_cancel(request.method)
