"""Which reactor a helper uses if it was given none, and how to call into that reactor's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python import threadable
from zope.interface import Interface

from .._checks import shown
from .._kinds.cancellers import global_reactor
from .._scopes.context import current


def check_reactor(value: object, needed: type[Interface]) -> None:
    """Raise unless the value is None, or provides this interface of reactors."""
    if not (value is None or needed.providedBy(value)):
        name = needed.__name__
        raise TypeError(f"reactor must provide {name}, as reactors do, not {shown(value)}")


def reactor_for(given: Any, needed: type[Interface]) -> Any:
    """The given reactor, or the clock of the current scope, or the running reactor.

    A scope's clock may be another object, in tests for example. It is used only if it provides
    the needed interface.
    """
    if given is not None:
        return given
    scope = current.get()
    if scope is not None and needed.providedBy(scope.clock):
        return scope.clock
    return global_reactor()


def in_reactor_thread(reactor: Any, function: Callable[[], object]) -> None:
    """Call a function in the reactor's thread: at once if this is it, or if no reactor runs.

    For ``__del__``: the garbage collector runs in any thread that happens to need memory.
    """
    if threadable.isInIOThread() or not reactor.running:
        function()
    else:
        reactor.callFromThread(function)
