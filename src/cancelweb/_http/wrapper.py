"""The wrapper `CancellingResource`: serves an existing resource and its children in scopes.

It behaves like the wrapped resource in all other respects; `serving` does the rest.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

from twisted.web.resource import IResource
from zope.interface import implementer, providedBy

from .._scopes.checks import NOT_GIVEN, NotGiven
from .._scopes.finding import SCOPE
from .._scopes.option_names import takes_options
from .._scopes.options import Options, checked_options
from .._typed import AnyClock, AnyMonitor, AnyResource, Methods
from . import procedures
from .answering import Rendered
from .decorator import Hooks, Observers
from .lost_content import tell_threads_of_loss
from .misuse import check_resource
from .serving import serve
from .site_pages import ErrorPage
from .uncounted import Uncounted


@implementer(IResource)
class CancellingResource:
    """Wraps a resource, and stops its work and that of its children when clients leave.

    Use it for resources that you cannot change. Their children, paths, encoders and interfaces stay
    as they are. A disconnect or a time limit cancels only requests with a safe method, unless
    ``methods`` says otherwise. Any other request runs on after its client has left: writes to it do
    nothing, and at its end ``on_exit`` hooks run and observers are told.

    Args:
        resource: the resource to wrap.
        methods: the names of the methods that a disconnect or a time limit may cancel: a list,
            tuple or set of str or bytes. GET, HEAD and OPTIONS by default, and ``()`` for none. The
            outcome of any other request says what would have cancelled it.
        monitor: a `cancelweb.monitor.Monitor`, which lists open requests and can drain them. Of
            nested entry points, each monitor is told about the request, once.
        dry_run: cancel nothing, answer nothing, and run no ``on_cancel`` hooks. Outcomes say what
            would have been cancelled.
        timeout: this option, and those not named here, are as in `cancel_on_disconnect`.

    Raises:
        TypeError, ValueError: an option is wrong. Raised at once, not on the first request.
    """

    @takes_options
    def __init__(
        self,
        resource: AnyResource,
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
        methods: Methods | None = None,
        monitor: AnyMonitor | None = None,
        dry_run: bool = False,
    ) -> None:
        check_resource(resource)
        self._resource: Any = resource
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
            max_abandoned=max_abandoned,
            clock=clock,
            methods=methods,
            monitor=monitor,
            dry_run=dry_run,
        )
        if dry_run and monitor is not None:
            monitor.is_dry_run = True

    def getChildWithDefault(self, name: bytes, request: Any) -> CancellingResource | Uncounted:
        """See `IResource`: returns the wrapped resource's child, wrapped, too."""
        child = self._resource.getChildWithDefault(name, request)
        return child if isinstance(child, Uncounted) else _wrapped(child, self._options)

    def render(self, request: Any) -> Rendered:
        """See `IResource`: renders the wrapped resource in a scope."""
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
        # A cast would satisfy the type checker, but cost a call per request.
        return serve(self._options, request, render, (request,), {})  # type: ignore[return-value]

    @property
    def isLeaf(self) -> bool:
        """See `IResource`. Read for each request, for which `__getattr__` would be too slow."""
        is_leaf: bool = self._resource.isLeaf
        return is_leaf

    @isLeaf.setter
    def isLeaf(self, is_leaf: bool) -> None:
        self._resource.isLeaf = is_leaf

    if TYPE_CHECKING:

        def putChild(self, path: bytes, child: AnyResource) -> None:
            """See `IResource`: the wrapped resource's own, as is all that is not here."""

    @property
    def __providedBy__(self) -> Any:
        return providedBy(self._resource)

    def __getattr__(self, name: str) -> Any:
        if name == "_resource":
            # copy and pickle ask for it before it is set.
            raise AttributeError(name)
        return getattr(self._resource, name)

    def __repr__(self) -> str:
        return f"<CancellingResource of {self._resource!r}>"


def _wrapped(resource: Any, options: Options) -> CancellingResource:
    # Unlike `__init__`, this does not check the options again.
    wrapper = CancellingResource.__new__(CancellingResource)
    wrapper._resource, wrapper._options = resource, options
    return wrapper


_COPIES_REQUESTS = "twisted.web.distrib"
"""The only module that copies requests. Most sites never import it."""

_READS_IN_THREADS = "twisted.web.wsgi"
"""The only module that passes a request's content to a thread, which keeps it."""

_OURS = frozenset(("render", "getStateToCopyFor", SCOPE))
"""The attributes that cancelweb sets on a living request."""


def _render_late(reference: ReferenceType[Any], options: Options, resource: Any) -> None:
    """Replaces ``request.render``, so that a resource that arrives late is wrapped, too.

    A ``DeferredResource`` calls it, and would otherwise bypass the wrapper.
    """
    request = reference()
    if request is not None:
        is_uncounted = isinstance(resource, Uncounted)
        type(request).render(request, resource if is_uncounted else _wrapped(resource, options))


def _state_to_copy(reference: ReferenceType[Any], issuer: object) -> dict[str, object]:
    """Replaces ``getStateToCopyFor``, so that `twisted.web.distrib` copies no attributes of ours.

    On the copy, our attributes would be uncallable placeholders that hide the copy's own methods.
    The Deferreds of this side's ``notifyFinish`` could not be called there either.
    """
    request: Any = reference()
    state = type(request).getStateToCopyFor(request, issuer)
    return {key: state[key] for key in state if key not in _OURS} | {"notifications": []}
