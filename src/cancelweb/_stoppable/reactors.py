"""Which reactor serves those who were given none, and how to get into its thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python import threadable
from zope.interface import Interface

from .._kinds.cancellers import global_reactor
from .._scopes.context import current


def reactor_for(given: Any, needed: type[Interface]) -> Any:
    """The reactor that was given, else that of the current scope, else the one that runs.

    The clock of a scope may be something else, in tests, say: it counts if it provides what is
    needed.
    """
    if given is not None:
        return given
    scope = current.get()
    if scope is not None and needed.providedBy(scope.clock):
        return scope.clock
    return global_reactor()


def in_reactor_thread(reactor: Any, function: Callable[[], object]) -> None:
    """Call in the reactor's thread: at once, if this is it.

    For ``__del__``: the garbage collector runs in whichever thread happens to need memory.
    """
    if threadable.isInIOThread() or not reactor.running:
        function()
    else:
        reactor.callFromThread(function)
