"""XML-RPC: a procedure that is cancelled with its request is no error to log.

`twisted.web.xmlrpc` logs what its procedures fail with, unless that is a fault that they tell their
client of. So a cancellation of ours is made one, on its way from the procedure to the resource. By
public names alone; where and when procedures are stopped is not decided here.
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
"""Where the resource is defined. As long as nothing has imported it, there are no procedures."""


def told_as_faults(resource: object, render: Callable[..., object]) -> Callable[..., object]:
    """A render method, with the cancels of the procedures that it calls told as faults.

    Args:
        resource: the one whose method it is.
        render: is returned as it is where the resource has no procedures.
    """
    from twisted.web.xmlrpc import XMLRPC

    if not isinstance(resource, XMLRPC):
        return render

    @wraps(render)
    def render_procedure(*args: Any, **kwargs: Any) -> object:
        with _found_procedures(resource, partial(_called, resource, current.get())):
            return render(*args, **kwargs)

    # By this the log finds the class of the object.
    vars(render_procedure)["__self__"] = getattr(render, "__self__", None)
    return render_procedure


@contextmanager
def _found_procedures(
    resource: XMLRPC, calling: Callable[[Callable[..., object]], Callable[..., object]]
) -> Iterator[None]:
    """Replace the procedures that are found by what ``calling`` makes of them.

    For the time of one call: Twisted finds and calls a procedure at once.
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
    """The fault to tell a client whose request was cancelled; other failures stay as they are."""
    from twisted.web.xmlrpc import Fault

    cause = None if scope is None else scope.cause
    if not is_our_cancellation(failure, cause is not None):
        return failure
    return Failure(Fault(resource.FAILURE, str(cause)))
