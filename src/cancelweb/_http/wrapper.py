"""The wrapper: a resource that serves another, its children included, in scopes.

Being the resource that is wrapped; the rest is for `serving`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from weakref import ReferenceType, ref

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource
from zope.interface import implementer, providedBy

from .._scopes.checks import NOT_GIVEN, NotGiven
from .._scopes.finding import SCOPE
from .._scopes.options import Options, checked_options
from ..interfaces import IMonitor
from . import procedures
from .answering import Rendered
from .decorator import Hooks, Observers
from .lost_content import tell_threads_of_loss
from .serving import serve
from .site_pages import ErrorPage


@implementer(IResource)
class CancellingResource:
    """A resource that stops the work of another, its children included, when clients leave.

    For resources that you cannot change; everything else about them stays as it is: children,
    paths, encoders, and the interfaces they provide. A disconnect or a time limit cancels only
    requests whose method is safe, unless ``methods`` says otherwise; for all others the dead
    request is guarded and hooks and observers are served.

    Args:
        resource: what to wrap.
        methods: the names of the methods that a disconnect or a time limit may cancel, str or
            bytes; GET, HEAD and OPTIONS unless given. Of others the outcome tells what would have
            been cancelled; ``()`` allows none.
        monitor: a `cancelweb.monitor.Monitor`, which knows what goes on and can drain it. Where
            entry points meet, each of their monitors is told of the request, once.
        dry_run: cancel nothing, answer nothing, run no ``on_cancel`` hook; outcomes tell what
            would have been cancelled.
        timeout: this option, and those not named here, are as in `cancel_on_disconnect`.

    Raises:
        TypeError, ValueError: an option is wrong; at once, not on the first request.
    """

    # For type checkers alone: it is the wrapped resource's own, as is all else.
    putChild: Callable[[bytes, IResource], None]

    def __init__(
        self,
        resource: Any,
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
        methods: Iterable[str | bytes] | None = None,
        monitor: IMonitor | None = None,
        dry_run: bool = False,
    ) -> None:
        if isinstance(resource, type) or not hasattr(resource, "render"):
            raise TypeError(f"CancellingResource wraps an IResource, not {resource!r}")
        self._resource = resource
        self._options = checked_options(
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
            methods=methods,
            monitor=monitor,
            dry_run=dry_run,
        )

    def getChildWithDefault(self, name: bytes, request: Any) -> CancellingResource:
        """See `IResource`: the wrapped resource's child, wrapped."""
        return _wrapped(self._resource.getChildWithDefault(name, request), self._options)

    def render(self, request: Any) -> Rendered:
        """See `IResource`: the wrapped resource's rendering, in a scope."""
        reference = ref(request)
        request.render = partial(_render_late, reference, self._options)
        loaded = sys.modules
        if _COPIES_REQUESTS in loaded:
            request.getStateToCopyFor = partial(_state_to_copy, reference)
        if _READS_IN_THREADS in loaded:
            tell_threads_of_loss(request)
        render = self._resource.render
        if procedures.MODULE in loaded:
            render = procedures.told_as_faults(self._resource, render)
        # For a type checker alone: a cast would be called for each request.
        return serve(self._options, request, render, (request,), {})  # type: ignore[return-value]

    @property
    def isLeaf(self) -> bool:
        """See `IResource`; asked for each request, for which `__getattr__` would be slow."""
        is_leaf: bool = self._resource.isLeaf
        return is_leaf

    @isLeaf.setter
    def isLeaf(self, is_leaf: bool) -> None:
        self._resource.isLeaf = is_leaf

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


_COPIES_REQUESTS = "twisted.web.distrib"
"""The only module that copies requests; most sites never import it."""

_READS_IN_THREADS = "twisted.web.wsgi"
"""The only module that hands a request's content to a thread, which then keeps it."""

_OURS = frozenset(("render", "getStateToCopyFor", SCOPE))
"""What is put into the attributes of a request that is alive."""


def _render_late(reference: ReferenceType[Any], options: Options, resource: Any) -> None:
    """Stands for ``request.render``, which renders what a wrapped resource delivers late.

    A DeferredResource calls it, and so would get round the wrapper at the root.
    """
    request = reference()
    if request is not None:
        type(request).render(request, _wrapped(resource, options))


def _state_to_copy(reference: ReferenceType[Any], issuer: object) -> dict[str, object]:
    """Stands for ``getStateToCopyFor``: `twisted.web.distrib` sends a request's attributes.

    Ours would arrive as stand-ins that hide the copy's own, and cannot be called; nor can the
    Deferreds of those who wait for the end on this side.
    """
    request: Any = reference()
    state = type(request).getStateToCopyFor(request, issuer)
    return {key: state[key] for key in state if key not in _OURS} | {"notifications": []}
