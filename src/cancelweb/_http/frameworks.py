"""Detect decorated handlers that other code than Twisted has called, and has not waited for.

A framework may await what a view returns, or turn it into JSON. A decorated view returns
NOT_DONE_YET, which is the number 1, while its work still runs. Klein then sends an empty page, and
a framework that makes JSON sends ``1``. By then only the log can tell the user.
"""

from __future__ import annotations

import re
import sys
from contextvars import Context
from inspect import currentframe
from types import FrameType
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web import server
from twisted.web.http import OK, Request

from .._kinds.leaves import is_driven_now
from .._kinds.places import place_of, short_name_of
from .._kinds.timers import DelayedCallCanceller
from .._kinds.where import is_on_stack, line_of
from .._log import full_name_of, log
from .._scopes.bursts import is_new_place
from .._scopes.life import Life
from .._scopes.owners import is_users
from .._scopes.rare import Rare
from .._scopes.states import LeftOpen
from .._scopes.telling import log_in
from .request_facts import answer_of

KLEIN = "klein"
"""The package of Klein. Nothing is looked for until it is imported."""

LONGEST = 200
"""Bytes of a body in which NOT_DONE_YET is looked for, such as that of a JSON-RPC answer."""

ONE = re.compile(rb"(?<![\w.+-])1(?![\w.])")
"""NOT_DONE_YET, as it looks in a body."""


class Unawaited(Protocol):
    """A scope, as far as it is needed here."""

    clock: IReactorTime
    handler: object
    rare: Rare
    context: Context | None

    @property
    def watched(self) -> object:
        """See `Scope`."""

    @property
    def request(self) -> Any:
        """See `Scope`."""

    @property
    def life(self) -> Life:
        """See `Scope`."""


def note_unawaited(scope: Unawaited, suspended: object = None) -> None:
    """Log an error if a framework finished the response while returned work still runs.

    Args:
        scope: the scope.
        suspended: the coroutine behind the work that the scope watches itself, or None.
    """
    watched = scope.watched
    if watched is None:
        if not _is_pending(scope):
            return
    elif watched.is_ending if isinstance(watched, DelayedCallCanceller) else is_on_stack(suspended):
        # The work itself, a timer or a coroutine, finishes the response.
        return
    _, sent = answer_of(scope.request)
    # Twisted itself finishes the response to a HEAD.
    if sent > LONGEST or scope.request.method == b"HEAD":
        return
    caller, is_in_dispatch = _caller_of_finish(scope.request)
    if KLEIN in sys.modules and _is_kleins(scope, caller):
        _log_klein(scope)
    elif who := _who_answered(scope, sent, caller, is_in_dispatch):
        _log_caller(scope, who)


def note_unawaited_beside(scope: Unawaited, body: object) -> None:
    """Log an error if a wrapped framework made NOT_DONE_YET the page while returned work runs.

    Args:
        scope: the scope of the wrapped resource.
        body: what the resource has returned.
    """
    if scope.rare.inner_handler is None or not isinstance(body, bytes):
        return
    if _has_number(body) and _is_pending(scope):
        _log_caller(scope, full_name_of(scope.handler))


def _is_pending(scope: Unawaited) -> bool:
    """Whether the response is still to come from what the handler returned."""
    return scope.rare.left_open is LeftOpen.BY_HANDLER or _is_returned_running(scope)


def _is_returned_running(scope: Unawaited) -> bool:
    if scope.watched is not None:
        return True
    life = scope.life
    return not life.is_without_work and life.stopping.works.is_returned_waited_for


# --- the stack ---

_RENDER, _PROCESS = server.Request.render.__code__, server.Request.process.__code__
_OWN = {Request.finish.__code__, server.Request.finish.__code__}


def _caller_of_finish(request: Any) -> tuple[FrameType | None, bool]:
    """What calls ``finish``, if anything does; and whether Twisted's call has not returned yet.

    That is the call of the resource. By then a decorated handler has returned, and only code
    between it and Twisted can be running.
    """
    frame = currentframe()
    caller: FrameType | None = None
    while frame is not None:
        code = frame.f_code
        if code in _OWN and (caller is None or caller is frame):
            caller = frame.f_back
        elif code is _PROCESS and caller is not None and frame.f_locals.get("self") is request:
            return caller, True
        frame = frame.f_back
    return caller, False


# --- Klein ---


def _is_kleins(scope: Unawaited, caller: FrameType | None) -> bool:
    if not _is_returned_running(scope):
        # Klein's own resource leaves the response open, and may finish it.
        return False
    while caller is not None and not is_users(caller):
        caller = caller.f_back
    if caller is not None and _is_of_klein(caller.f_globals.get("__name__")):
        return True
    # Or a wrapped Klein resource finished an empty response before its call returned.
    owner = getattr(scope.handler, "__self__", None)
    return _is_of_klein(type(owner).__module__) and answer_of(scope.request) == (OK, 0)


def _is_of_klein(module: object) -> bool:
    return str(module).partition(".")[0] == KLEIN


def _log_klein(scope: Unawaited) -> None:
    _log_once(
        scope,
        "Klein sent an empty page and did not wait for {place_text}: a view that is decorated "
        "with @cancel_on_disconnect returns NOT_DONE_YET to Klein. Remove the decorator from "
        "{name_text}, and wrap the app: CancellingResource(app.resource()) (logged once)",
    )


# --- any other framework ---


def _who_answered(
    scope: Unawaited, sent: int, caller: FrameType | None, is_in_dispatch: bool
) -> str:
    """The code that has answered without waiting; empty if that may have been right."""
    if caller is None:
        # The response was finished before a wrapped resource has returned.
        is_inner = scope.rare.inner_handler is not None and sent == 1
        return full_name_of(scope.handler) if is_inner and _is_returned_running(scope) else ""
    if caller.f_code is _RENDER:
        return _resource_behind(caller)
    if not _is_suspect(scope, sent, caller, is_in_dispatch) or _is_on_stack(scope):
        return ""
    return line_of(caller)


def _is_suspect(scope: Unawaited, sent: int, caller: FrameType, is_in_dispatch: bool) -> bool:
    """Whether a function seems to have finished the response in place of the returned work."""
    if scope.rare.left_open is LeftOpen.BY_HANDLER:
        # Any code may finish it in a later turn.
        return is_in_dispatch and sent == 1
    return is_in_dispatch or (sent == 1 and _holds_number(caller))


def _holds_number(caller: FrameType) -> bool:
    """Whether a function has a variable for NOT_DONE_YET, or for what became of it."""
    values = caller.f_locals.values()
    return any(type(each) in (bytes, int, str) and each in (b"1", 1, "1") for each in values)


def _is_on_stack(scope: Unawaited) -> bool:
    """Whether the returned work finishes the response, as it may."""
    watched = scope.watched
    if isinstance(watched, Deferred):
        is_in_callbacks = watched.called and not watched.paused
        return is_in_callbacks or is_driven_now(watched, set())
    return scope.life.stopping.works.is_running(may_be_below=True)


def _resource_behind(rendering: FrameType) -> str:
    """The resource from which Twisted has NOT_DONE_YET in a body; empty if it has another body."""
    body = rendering.f_locals.get("body")
    is_number = isinstance(body, bytes) and _has_number(body)
    return full_name_of(rendering.f_locals["resrc"].render) if is_number else ""


def _has_number(body: bytes) -> bool:
    return len(body) <= LONGEST and ONE.search(body) is not None


def _log_caller(scope: Unawaited, caller: str) -> None:
    _log_once(
        scope,
        "{caller_text} answered and did not wait for {place_text}: a handler that is decorated "
        "with @cancel_on_disconnect returns NOT_DONE_YET, the number 1, and only Twisted "
        "knows that this is not the page. Remove the decorator from {name_text}, return its "
        "work to the framework, and wrap the resource that Twisted calls: "
        "CancellingResource(resource) (logged once)",
        caller_text=caller,
    )


def _log_once(scope: Unawaited, text: str, **facts: str) -> None:
    """Log an error about the decorated handler of a scope, once for each handler."""
    handler = scope.rare.inner_handler or scope.handler
    place = place_of(handler)
    if is_new_place(f"{place} unawaited", scope.clock):
        log_in(
            scope.context,
            log.error,
            text,
            handler=full_name_of(handler),
            place_text=place,
            name_text=short_name_of(handler),
            **facts,
        )
