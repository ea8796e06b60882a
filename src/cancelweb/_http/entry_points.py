"""The two front doors, thin, onto one private function.

Finding the request, and being the resource that is wrapped; the rest is `_serve`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ParamSpec, overload
from weakref import ReferenceType, ref

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource
from zope.interface import implementer, providedBy

from .._log import name_of
from .._scopes.finding import ATTRIBUTE
from .._scopes.hooks import Hook
from .._scopes.options import Options, checked_options
from ..causes import Observer
from ..interfaces import IMonitor
from .answering import Rendered
from .serving import serve

P = ParamSpec("P")

Hooks = Hook | Iterable[Hook]
Observers = Observer | Iterable[Observer]


@overload
def cancel_on_disconnect(handler: Callable[P, object]) -> Callable[P, Rendered]: ...


@overload
def cancel_on_disconnect(
    *,
    timeout: float | None = ...,
    timeout_status: int | None = ...,
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
    timeout: float | None = None,
    timeout_status: int | None = None,
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

    Where doors meet on one request they share one scope: their hooks and observers add up, the
    earliest deadline holds, and for the rest the innermost that was given an option decides.

    Args:
        handler: may return bytes, ``NOT_DONE_YET``, a Deferred, a coroutine or another awaitable,
            an `IDelayedCall`, a LoopingCall, a CooperativeTask, a process transport, an asyncio
            or concurrent Future, a ``twisted.web.template`` renderable, an iterator or async
            iterator of bytes, or anything that adapts to `ICancellable`.
        timeout: seconds after which the scope is cancelled with `TimedOut`; the whole response
            counts, a long download too.
        timeout_status: the status of the answer then; 503 unless given.
        on_cancel: a hook, or several, for when the scope is cancelled.
        on_exit: a hook, or several, for when the scope ends, however it ends.
        observers: an observer, or several, told the `Outcome` of every request; given any, or
            ``()``, the default `log_outcome` is not used.
        cleanup_timeout: seconds that each hook is waited for; 10 unless given.
        survivor_after: seconds after which work that was asked to stop and still runs is named
            a survivor and no longer waited for; 5 unless given.
        max_cleanups: how many requests that a client has abandoned on one HTTP/2 connection may
            still be stopping or cleaning up; 100 unless given. While there are as many, the
            connection's further requests are answered 429, and their handlers are not run. Where
            doors meet, the outermost decides.
        clock: where time is taken from; the Site's reactor unless given.

    Returns:
        A handler of the same signature that returns bytes or ``NOT_DONE_YET``.

    Raises:
        TypeError, ValueError: an option is wrong; at once, not on the first request.
    """
    options = checked_options(
        timeout=timeout,
        timeout_status=timeout_status,
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
                    rendered: Rendered = serve(options, request, handler, args, kwargs)
                    return rendered
            raise TypeError(
                f"{name_of(handler)} was called without a request among its positional "
                f"arguments {args!r}: none of them has a notifyFinish"
            )

        return render

    return decorate if handler is None else decorate(handler)


@implementer(IResource)
class CancellingResource:
    """A resource that stops the work of another, its children included, when clients leave.

    For resources that you cannot change; everything else about them stays as it is: children,
    paths, encoders, and the interfaces they provide. A disconnect or a deadline cancels only
    requests whose method is safe, unless ``methods`` says otherwise; for all others the dead
    request is guarded and hooks and observers are served.

    Args:
        resource: what to wrap.
        methods: the names of the methods that a disconnect or a deadline may cancel, str or
            bytes; GET, HEAD and OPTIONS unless given. For others ``timeout`` does nothing; ``()``
            allows none.
        monitor: a `cancelweb.monitor.Monitor`, which knows what goes on and can drain it. Where
            doors meet, each of their monitors is told of the request, once.
        dry_run: cancel nothing, answer nothing, run no ``on_cancel`` hook; outcomes tell what
            would have been cancelled.
        timeout: this option, and those not named here, are as in `cancel_on_disconnect`.

    Raises:
        TypeError, ValueError: an option is wrong; at once, not on the first request.
    """

    # For type checkers alone: these are the wrapped resource's own, as is all else.
    isLeaf: bool
    putChild: Callable[[bytes, IResource], None]

    def __init__(
        self,
        resource: Any,
        *,
        timeout: float | None = None,
        timeout_status: int | None = None,
        on_cancel: Hooks = (),
        on_exit: Hooks = (),
        observers: Observers | None = None,
        cleanup_timeout: float | None = None,
        survivor_after: float | None = None,
        max_cleanups: int | None = None,
        clock: IReactorTime | None = None,
        methods: Iterable[str | bytes] | None = None,
        monitor: IMonitor | None = None,
        dry_run: bool = False,
    ) -> None:
        if isinstance(resource, type) or not hasattr(resource, "render"):
            raise TypeError(f"CancellingResource wraps an IResource, not {resource!r}")
        self._resource = resource
        self._options = checked_options(
            timeout=timeout,
            timeout_status=timeout_status,
            on_cancel=on_cancel,
            on_exit=on_exit,
            observers=observers,
            cleanup_timeout=cleanup_timeout,
            survivor_after=survivor_after,
            max_cleanups=max_cleanups,
            clock=clock,
            methods=methods,
            monitor=monitor,
            dry_run=dry_run,
        )

    def getChildWithDefault(self, name: bytes, request: Any) -> CancellingResource:
        """See `IResource`: the wrapped resource's child, wrapped."""
        return _wrapped(self._resource.getChildWithDefault(name, request), self._options)

    def render(self, request: Any) -> Rendered:
        """See `IResource`: the wrapped resource's rendering, in a scope."""
        late = _LateRender(ref(request), self._options)
        request.render, request.getStateToCopyFor = late, late.state_to_copy
        rendered: Rendered = serve(self._options, request, self._resource.render, (request,), {})
        return rendered

    @property
    def __providedBy__(self) -> Any:
        return providedBy(self._resource)

    def __getattr__(self, name: str) -> Any:
        if name == "_resource":
            # Asked for by copy and pickle, before it is there.
            raise AttributeError(name)
        return getattr(self._resource, name)

    def __repr__(self) -> str:
        return f"<CancellingResource of {self._resource!r}>"


def _wrapped(resource: Any, options: Options) -> CancellingResource:
    # As __init__, for options that were checked already.
    wrapper = CancellingResource.__new__(CancellingResource)
    wrapper._resource, wrapper._options = resource, options
    return wrapper


_OURS = frozenset(("render", "getStateToCopyFor", ATTRIBUTE))
"""What is put into the attributes of a request that is alive."""


@define(eq=False)
class _LateRender:
    """Stands for ``request.render``, which renders what a wrapped resource delivers late.

    A DeferredResource calls it, and so would get round the wrapper at the root.
    """

    request: ReferenceType[Any]
    options: Options

    def __call__(self, resource: Any) -> None:
        request = self.request()
        if request is not None:
            type(request).render(request, _wrapped(resource, self.options))

    def state_to_copy(self, issuer: object) -> dict[str, object]:
        """Stands for ``getStateToCopyFor``: `twisted.web.distrib` sends a request's attributes.

        Ours would arrive as stand-ins that hide the copy's own, and cannot be called; nor can the
        Deferreds of those who wait for the end on this side.
        """
        request: Any = self.request()
        state = type(request).getStateToCopyFor(request, issuer)
        return {key: state[key] for key in state if key not in _OURS} | {"notifications": []}
