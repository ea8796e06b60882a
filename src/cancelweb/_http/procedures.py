"""XML-RPC procedures: report a cancellation as a fault, which Twisted does not log as an error.

`twisted.web.xmlrpc` logs every failure of a procedure except a ``Fault``, which it sends to the
client. This module turns cancelweb's own cancellations into faults before the resource sees them.
It uses public names of Twisted only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from .._kinds.cancellations import is_our_cancellation
from .._scopes.context import current
from .._scopes.parts import Subject

if TYPE_CHECKING:
    from twisted.web.xmlrpc import XMLRPC

MODULE = "twisted.web.xmlrpc"
"""The module of `XMLRPC`. Until something imports it, there are no procedures."""


def told_as_faults(resource: object, render: Callable[..., object]) -> Callable[..., object]:
    """Wrap a render method, so that its procedures report cancellations as faults.

    Args:
        resource: the resource that the method belongs to.
        render: the method. It is returned unchanged if the resource has no procedures.
    """
    from twisted.web.xmlrpc import XMLRPC

    if not isinstance(resource, XMLRPC):
        return render

    @wraps(render)
    def render_procedure(*args: Any, **kwargs: Any) -> object:
        with _found_procedures(resource, partial(_called, resource, current.get())):
            return render(*args, **kwargs)

    # `full_name_of` finds the class of the resource through this attribute.
    vars(render_procedure)["__self__"] = getattr(render, "__self__", None)
    return render_procedure


@contextmanager
def _found_procedures(
    resource: XMLRPC, calling: Callable[[Callable[..., object]], Callable[..., object]]
) -> Iterator[None]:
    """Wrap each procedure that the resource looks up in ``calling``, during one call.

    One call is enough, because Twisted calls a procedure as soon as it has looked it up.
    """
    attributes: dict[str, object] = vars(resource)
    own = {key: each for key, each in attributes.items() if key == "lookupProcedure"}
    find = resource.lookupProcedure
    attributes["lookupProcedure"] = lambda path: calling(find(path))
    try:
        yield
    finally:
        del attributes["lookupProcedure"]
        attributes.update(own)


def _called(
    resource: XMLRPC, scope: Subject | None, procedure: Callable[..., object]
) -> Callable[..., object]:
    @wraps(procedure)
    def call(*args: object) -> Deferred[Any]:
        result: Deferred[Any] = maybeDeferred(procedure, *args)
        return result.addErrback(_fault_of, resource, scope)

    return call


def _fault_of(failure: Failure, resource: XMLRPC, scope: Subject | None) -> object:
    """A fault in place of cancelweb's own cancellation; any other failure is returned unchanged."""
    from twisted.web.xmlrpc import Fault

    cause = None if scope is None else scope.cause
    if not is_our_cancellation(failure, cause is not None):
        return failure
    return Failure(Fault(resource.FAILURE, str(cause)))
