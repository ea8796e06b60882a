"""The decorator `cancel_on_disconnect`: runs a render method in the scope of its request.

It finds the request among the arguments; `serving` does the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, overload

from .._scopes.checks import NOT_GIVEN, NotGiven
from .._scopes.option_names import takes_options
from .._scopes.options import checked_options
from .._scopes.scope import Scope
from .._typed import AnyClock, Returned
from ..causes import Observer
from . import procedures
from .answering import Rendered
from .misuse import check_handler, without_request
from .serving import serve
from .site_pages import ErrorPage

P = ParamSpec("P")

Hook = Callable[[Scope], object]
Hooks = Hook | Sequence[Hook]
Observers = Observer | Sequence[Observer]


@overload
def cancel_on_disconnect(handler: Callable[P, Returned]) -> Callable[P, Rendered]: ...


@overload
def cancel_on_disconnect(
    *,
    timeout: float | NotGiven | None = ...,
    total_timeout: float | None = ...,
    stall_timeout: float | NotGiven | None = ...,
    timeout_header: str | None = ...,
    timeout_status: int | None = ...,
    error_page: ErrorPage | None = ...,
    on_cancel: Hooks = ...,
    on_exit: Hooks = ...,
    observers: Observers | None = ...,
    cleanup_timeout: float | None = ...,
    survivor_after: float | None = ...,
    max_abandoned: int | None = ...,
    clock: AnyClock | None = ...,
) -> Callable[[Callable[P, Returned]], Callable[P, Rendered]]: ...


@takes_options
def cancel_on_disconnect(
    handler: Any = None,
    *,
    timeout: float | NotGiven | None = NOT_GIVEN,
    total_timeout: float | None = None,
    stall_timeout: float | NotGiven | None = NOT_GIVEN,
    timeout_header: str | None = None,
    timeout_status: int | None = None,
    error_page: ErrorPage | None = None,
    on_cancel: Hooks = (),
    on_exit: Hooks = (),
    observers: Observers | None = None,
    cleanup_timeout: float | None = None,
    survivor_after: float | None = None,
    max_abandoned: int | None = None,
    clock: AnyClock | None = None,
) -> Any:
    """Stop the work of a render method when its client leaves. Use it bare or with options.

    It decorates functions and methods: ``def``, ``async def`` and async generators. Put it above
    ``@inlineCallbacks``. The request is the first positional argument that has a ``notifyFinish``
    method. The undecorated handler stays reachable as ``__wrapped__``.

    Nested entry points share one scope per request. Their hooks and observers add up, and the
    soonest ``total_timeout`` counts. Of other options, the innermost one that was given counts. A
    limit starts when the request reaches its entry point. A disconnect or a limit cancels a
    decorated handler whatever the method of its request.

    Args:
        handler: may return a response: bytes, ``NOT_DONE_YET``, an iterator or async iterator of
            bytes, or a ``twisted.web.template`` renderable. Or it may return work: a Deferred, a
            coroutine or another awaitable, an `IDelayedCall`, a LoopingCall, a CooperativeTask, a
            process transport, or an asyncio or concurrent Future. Anything else must adapt to
            `ICancellable`.
        timeout: how many seconds the handler may write nothing: until it sends the headers, then
            between two writes. After that the scope is cancelled with `TimedOut`, and the client
            gets an error page; if part of the response is out, the connection is aborted instead. A
            stuck response ends within twice that time. None means no limit, and also lifts the
            limit of an outer entry point.
        total_timeout: seconds until the whole response must be written, even a long download.
        stall_timeout: how many seconds the client may take nothing of a response that is still
            being written. While the client holds up a producer, ``timeout`` does not count. None
            as for ``timeout``.
        timeout_header: the name of a request header in which the client says how many seconds it
            will wait; they count as a ``total_timeout``. It is ignored if not a number above 0.
        timeout_status: the status of the answer after a time limit; 503 by default.
        error_page: makes the answer when a time limit, a drain or your own cause ends a request
            whose client still waits. It is called with the request and the `Cause`, after the
            status and the headers are set, and may change these. It returns bytes, a resource
            whose ``render`` answers at once, or None for the default page: a JSON problem (RFC
            9457), plain text or HTML, as the client's ``Accept`` asks. If it fails, the failure is
            logged and the default page is sent. It is not called for `RapidReset`.
        on_cancel: a hook, or a list or tuple of hooks, to run when the scope is cancelled.
        on_exit: a hook, or a list or tuple of hooks, to run when the scope ends, cancelled or not.
        observers: an observer, or a list or tuple of observers, called with the `Outcome` of every
            request. They replace the default, `log_outcome`; ``()`` removes it.
        cleanup_timeout: how many seconds cancelweb waits for all hooks of a request together; 10
            by default. After that it still calls the remaining hooks, but does not wait for them.
        survivor_after: how many seconds work may take to stop; 5 by default. Work that is still
            running then is named a survivor and no longer waited for.
        max_abandoned: how many abandoned requests of one HTTP/2 connection may still have work or
            hooks that run; 2,000 by default. While that many have, new requests on the connection
            are answered 429 and their handlers are not run. The outermost entry point's limit
            counts.
        clock: the clock of the scope; by default the Site's reactor.

    Returns:
        A handler of the same signature that returns bytes or ``NOT_DONE_YET``. Called with options
        alone, a decorator that returns such a handler.

    Raises:
        TypeError, ValueError: an option is wrong. Raised at once, not on the first request.
    """
    options = checked_options(
        timeout=timeout,
        total_timeout=total_timeout,
        stall_timeout=stall_timeout,
        timeout_header=timeout_header,
        timeout_status=timeout_status,
        error_page=error_page,
        on_cancel=on_cancel,
        on_exit=on_exit,
        observers=observers,
        cleanup_timeout=cleanup_timeout,
        survivor_after=survivor_after,
        max_abandoned=max_abandoned,
        clock=clock,
        any_method=True,
    )

    def decorate(handler: Callable[P, Returned]) -> Callable[P, Rendered]:
        check_handler(handler)

        @wraps(handler)
        def render(*args: P.args, **kwargs: P.kwargs) -> Rendered:
            for request in args:
                if hasattr(request, "notifyFinish"):
                    called: Callable[..., object] = handler
                    if procedures.MODULE in sys.modules:
                        called = procedures.told_as_faults(args[0], handler)
                    return serve(options, request, called, args, kwargs)  # type: ignore[return-value]
            raise without_request(handler, args, kwargs)

        return render

    return decorate if handler is None else decorate(handler)
