"""Error messages for what a handler returns, yields, writes or awaits by mistake.

Each message says what the handler did, with its file and line, and what to write instead. The
messages of the entry points are in `misuse`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from functools import partial
from traceback import walk_tb
from typing import Any

from twisted.python.failure import Failure
from twisted.python.reflect import safe_str
from twisted.web import server
from twisted.web.http import OK, Request
from twisted.web.iweb import IResponse
from twisted.web.resource import IResource, Resource

from .._checks import shown
from .._kinds.explained import explain
from .._kinds.places import described, place_in, place_of, root_of, short_name_of
from .._kinds.where import frames, lines_of
from .._log import full_name_of, log, printable
from .._scopes.bursts import is_new_place
from .._scopes.parts import Subject
from .._scopes.telling import log_in
from .answerer import NoResponse

# --- what a handler returned ---

FORGOTTEN = (
    "returned None. Did you forget a `return`? Return the page as bytes, or the work that makes "
    "it. If other code will answer the request, return NOT_DONE_YET."
)
WRITTEN = "wrote the response itself and returned None. Return NOT_DONE_YET instead."
OTHERWISE = (
    "Return bytes, NOT_DONE_YET, or work such as a Deferred or a coroutine. For work of your own "
    "kind, register a canceller that provides cancelweb.ICancellable."
)


def _is_status(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600


ADVICE: tuple[tuple[Callable[[object], bool], str], ...] = (
    (lambda value: isinstance(value, str), "Return bytes, as in `text.encode()`."),
    (
        lambda value: isinstance(value, bytearray | memoryview),
        "Return bytes, as in `bytes(result)`.",
    ),
    (
        lambda value: isinstance(value, dict),
        "Return bytes; for JSON, `json.dumps(result).encode()`.",
    ),
    (
        lambda value: isinstance(value, list | tuple | set),
        "Return bytes; for JSON, `json.dumps(rows).encode()`. To stream chunks of bytes, return "
        "`iter(chunks)`.",
    ),
    (_is_status, "Set the status with `request.setResponseCode()`, and return the page as bytes."),
    (IResource.providedBy, "To render another resource, return `resource.render(request)`."),
    (
        IResponse.providedBy,
        "This is the response of another server. Return its body, as in "
        "`await treq.content(response)`.",
    ),
    (
        # The responses of Flask, Django, Starlette and others have it.
        lambda value: hasattr(type(value), "status_code"),
        "Twisted does not accept response objects. Set the status and the headers on the request, "
        "and return the body as bytes.",
    ),
)
"""What to write instead of a result; the first row that applies counts."""


def no_response(handler: object, request: Any, value: object, is_outermost: bool) -> NoResponse:
    """Make the error for a result that is neither a response nor work.

    Args:
        handler: the handler.
        request: its request.
        value: what the handler returned, or the result of its work.
        is_outermost: whether Twisted called the handler, and not another handler.
    """
    message = f"{place_of(method_behind(handler, request.method))} {_returned(value, request)}"
    if not is_outermost:
        message += (
            f" If {short_name_of(handler)} does not answer the request, remove "
            "@cancel_on_disconnect from it."
        )
    return NoResponse(message, value)


def _returned(value: object, request: Any) -> str:
    if value is None:
        is_written = getattr(request, "startedWriting", False) or getattr(request, "finished", 0)
        return WRITTEN if is_written else FORGOTTEN
    if isinstance(value, type):
        name = short_name_of(value)
        return f"returned the class {name}. Return an instance: `return {name}(...)`."
    if inspect.isroutine(value) or isinstance(value, partial):
        name = short_name_of(value)
        return f"returned the function {name} without calling it. Write `return {name}(...)`."
    advice = next((text for applies, text in ADVICE if applies(value)), OTHERWISE)
    return f"returned {described(value)}. {advice}"


def method_behind(handler: Any, method: bytes) -> object:
    """The method, such as ``render_GET``, that Twisted's ``Resource.render`` calls for a request.

    Args:
        handler: a handler; any other than ``Resource.render`` is returned unchanged.
        method: the method of the request. Twisted answers a HEAD with the method for GET.
    """
    if getattr(handler, "__func__", None) is not Resource.render:
        return handler
    resource = handler.__self__
    try:
        found = getattr(resource, "render_" + method.decode("latin-1"), None)
        inherited = getattr(found, "__func__", None)
        if method == b"HEAD" and (found is None or inherited is Resource.render_HEAD):
            found = getattr(resource, "render_GET", None)
    except Exception:
        # A `__getattr__` of the site's own failed, and Twisted has told the client.
        found = None
    return handler if found is None else found


def note_empty_page(scope: Subject, request: Any, handler: object) -> None:
    """Log a warning, once for each handler, if work resulted in None and has written nothing.

    None says that the work has written the whole response. With a status other than 200, or after
    another method than GET, an empty response may be intended.
    """
    is_empty = not getattr(request, "startedWriting", True) and request.code == OK
    if not is_empty or request.method != b"GET":
        return
    place = place_of(method_behind(handler, request.method))
    if is_new_place(f"{place} returned None", scope.clock):
        log_in(
            scope.context,
            log.warn,
            "{place_text} returned None and wrote nothing, so the client gets an empty page. Did "
            "you forget a `return`? If the page is meant to be empty, return b''. (logged once)",
            handler=full_name_of(handler),
            place_text=place,
        )


def note_answered_by_twisted(scope: Subject, error: NoResponse) -> None:
    """Log an error, once for each handler, if Twisted is about to answer 500 for its result.

    Twisted does not log that. If other code called the wrapped resource, that code may know what to
    do with the result, so nothing is logged.
    """
    calling = next(each for each in frames() if root_of(each) != "cancelweb")
    place = str(error).partition(" returned ")[0]
    if calling.f_code is _RENDER and is_new_place(f"{place} wrong", scope.clock):
        text = "{mistake_text} Twisted answers 500. (logged once)"
        log_in(scope.context, log.error, text, mistake_text=printable(str(error)))


_RENDER = server.Request.render.__code__
"""The code of Twisted that calls the resource of a request."""


# --- what a stream yielded ---


def wrong_chunk(handler: object, chunks: object, chunk: object) -> TypeError:
    """Make the error for a stream that yielded something other than bytes.

    Args:
        handler: the handler that returned the stream.
        chunks: the iterator.
        chunk: what the iterator yielded.
    """
    lines = list(lines_of(chunks))
    place = lines[-1] if lines else f"the iterator that {place_of(handler)} returned"
    return TypeError(f"{place} yielded {described(chunk)}. {_to_yield(chunk, chunks)}")


def _to_yield(chunk: object, chunks: object) -> str:
    if isinstance(chunk, str):
        return "A stream must yield bytes, as in `yield text.encode()`."
    if not isinstance(chunk, Awaitable):
        return "A stream must yield bytes."
    if inspect.isasyncgen(chunks):
        return "A stream must yield bytes, as in `yield await work`."
    return (
        "A generator that yields Deferreds needs @inlineCallbacks directly above it, and "
        "@cancel_on_disconnect above that."
    )


# --- what a handler raised ---

_NAMES_PLACE = re.compile(r".+:\d+ in \S+: ").match
"""Whether a message begins with a place: a handler that another handler called has put it there."""

_AWAITED_INT = r"object int can't be used in 'await' expression|'int' object can't be awaited"


def explain_failure(failure: Failure, handler: object, inner_handler: object) -> None:
    """Complete the message of an error that says too little about a mistake.

    Args:
        failure: the failure of a handler's work.
        handler: the handler.
        inner_handler: another decorated handler that it called, or None.
    """
    explain(failure)
    error = failure.value
    if type(error) is RuntimeError and _is_refused_work(error) and not _NAMES_PLACE(str(error)):
        error.args = (f"{place_of(handler)}: {error}",)
    if type(error) is not TypeError:
        return
    written = _str_written(error)
    if written is not None:
        error.args = (
            f"{place_in(failure)} passed a str to request.write(): {shown(written)}. Write bytes, "
            "as in `request.write(text.encode())`.",
        )
    elif inner_handler is not None and re.fullmatch(_AWAITED_INT, safe_str(error)):
        error.args = (
            f"{place_in(failure)} awaited NOT_DONE_YET, which {place_of(inner_handler)} returned, "
            "because it is decorated with @cancel_on_disconnect. Decorate only the function that "
            "Twisted calls.",
        )


def _is_refused_work(error: BaseException) -> bool:
    """Whether our own canceller refused the work; then the traceback shows no user code."""
    names = [str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__)]
    return bool(names) and names[-1].startswith("cancelweb._kinds.")


def _str_written(error: BaseException) -> str | None:
    """The str that was passed to ``request.write``, or None if the error has another reason."""
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code is Request.write.__code__:
            data = frame.f_locals.get("data")
            return data if isinstance(data, str) else None
    return None
