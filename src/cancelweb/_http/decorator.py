"""The decorator: runs a render method in the scope of its request.

Finding the request among the arguments; the rest is for `serving`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ParamSpec, overload

from twisted.internet.interfaces import IReactorTime

from .._log import name_of
from .._scopes.checks import NOT_GIVEN, NotGiven
from .._scopes.hook_index import Hook
from .._scopes.options import checked_options
from ..causes import Observer
from . import procedures
from .answering import Rendered
from .serving import serve
from .site_pages import ErrorPage

P = ParamSpec("P")

Hooks = Hook | Iterable[Hook]
Observers = Observer | Iterable[Observer]


@overload
def cancel_on_disconnect(handler: Callable[P, object]) -> Callable[P, Rendered]: ...


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
    max_cleanups: int | None = ...,
    clock: IReactorTime | None = ...,
) -> Callable[[Callable[P, object]], Callable[P, Rendered]]: ...


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
    max_cleanups: int | None = None,
    clock: IReactorTime | None = None,
) -> Any:
    """Stop what a render method returns when its client leaves; a decorator, bare or with options.

    It goes on functions and methods, ``def``, ``@inlineCallbacks`` (outside it) and ``async
    def``, async generators included. The request is the first positional argument that has a
    ``notifyFinish``. The undecorated handler stays reachable as ``__wrapped__``.

    Where entry points meet on one request they share one scope: their hooks and observers add up,
    the soonest ``total_timeout`` holds, and for the rest the innermost that was given an option
    decides. A limit counts from when its entry point is met. A disconnect or a limit cancels a
    decorated handler whatever the method of its request.

    Args:
        handler: may return bytes, ``NOT_DONE_YET``, a Deferred, a coroutine or another awaitable,
            an `IDelayedCall`, a LoopingCall, a CooperativeTask, a process transport, an asyncio
            or concurrent Future, a ``twisted.web.template`` renderable, an iterator or async
            iterator of bytes, or anything that adapts to `ICancellable`.
        timeout: for how many seconds the handler may write nothing: before it sends the head, and
            then between writes. Then the scope is cancelled with `TimedOut`, and the client gets
            an error page, or, if a part of the response is out, its connection is aborted. What
            gets stuck is cut within twice that time. None for no limit, also in place of that of
            an entry point outside.
        total_timeout: seconds until the whole response is written, a long download too.
        stall_timeout: for how many seconds the client may take nothing of a response that is still
            being written. For as long as it holds a producer up, ``timeout`` does not count. None
            as for ``timeout``.
        timeout_header: the name of a header in which the client tells for how many seconds it will
            wait, which count as a ``total_timeout``. A value that is no number above 0 is ignored.
        timeout_status: the status of the answer when time is up; 503 unless given.
        error_page: makes the answer where a time limit, a drain or a cause of yours ends a request
            whose client still waits. It is called with the request and the `Cause`, when the status
            and the headers are set, which it may change. It returns bytes, a resource, whose
            ``render`` must answer at once, or None for the default: a JSON problem (RFC 9457),
            plain text or HTML, whichever the client's ``Accept`` asks for. If it fails, that is
            logged, and the default is sent. It is not called for `RapidReset`.
        on_cancel: a hook, or several, for when the scope is cancelled.
        on_exit: a hook, or several, for when the scope ends, however it ends.
        observers: an observer, or several, told the `Outcome` of every request; given any, or
            ``()``, the default `log_outcome` is not used.
        cleanup_timeout: seconds that all hooks of a request together are waited for; 10 unless
            given. When they are used up, the remaining hooks are called, but not waited for.
        survivor_after: seconds after which work that was asked to stop and still runs is named
            a survivor and no longer waited for; 5 unless given.
        max_cleanups: how many requests that a client has abandoned on one HTTP/2 connection may
            still be stopping or cleaning up; 100 unless given. While there are as many, the
            connection's further requests are answered 429, and their handlers are not run. Where
            entry points meet, the outermost decides.
        clock: where time is taken from; the Site's reactor unless given.

    Returns:
        A handler of the same signature that returns bytes or ``NOT_DONE_YET``.

    Raises:
        TypeError, ValueError: an option is wrong; at once, not on the first request.
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
        max_cleanups=max_cleanups,
        clock=clock,
        any_method=True,
    )

    def decorate(handler: Callable[P, object]) -> Callable[P, Rendered]:
        if not callable(handler) or isinstance(handler, type):
            raise TypeError(
                f"cancel_on_disconnect takes a render method, not {handler!r}; resources are "
                "wrapped in CancellingResource, and options are given by name"
            )

        @wraps(handler)
        def render(*args: P.args, **kwargs: P.kwargs) -> Rendered:
            for request in args:
                if hasattr(request, "notifyFinish"):
                    called: Callable[..., object] = handler
                    if procedures.MODULE in sys.modules:
                        called = procedures.told_as_faults(args[0], handler)
                    return serve(options, request, called, args, kwargs)  # type: ignore[return-value]
            raise TypeError(
                f"{name_of(handler)} was called without a request among its positional "
                f"arguments {args!r}: none of them has a notifyFinish"
            )

        return render

    return decorate if handler is None else decorate(handler)
