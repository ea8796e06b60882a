"""Read the variables of Twisted's functions, in the closures of the cancellers that they make.

Each function here also works if a name is missing, as those in `access` do.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from twisted.internet.defer import Deferred

from .access import canceller_of

_PASSING_ON = {
    "race.<locals>.cancel": ("twisted.internet.defer", "to_cancel"),
    "_fork.<locals>.<lambda>": ("twisted.web._flatten", "d"),
}
"""Twisted's own cancellers, by name: their module, and the variable that they cancel."""


def cancelled_by(canceller: Any) -> list[Any] | None:
    """The Deferreds that one of Twisted's own cancellers cancels in turn; None for any other.

    These are the members of a ``race``, or the Deferred in a template that Twisted awaits a copy
    of.
    """
    if type(canceller) is not FunctionType:
        return None
    module, variable = _PASSING_ON.get(canceller.__qualname__, ("", ""))
    content = _kept_by(canceller, module, variable)
    return content if content is None or isinstance(content, list) else [content]


def fired_by(callback: Any) -> Any:
    """The Deferred of a ``race`` whose result depends on this callback of Twisted's, or None."""
    if type(callback) is not FunctionType or callback.__module__ != "twisted.internet.defer":
        return None
    if not callback.__qualname__.startswith("race.<locals>."):
        return None
    contents = (each.cell_contents for each in callback.__closure__ or ())
    return next((each for each in contents if isinstance(each, Deferred)), None)


def is_endless_body(deferred: Any) -> bool:
    """Whether ``readBody`` waits on a connection that it cannot abort."""
    canceller = canceller_of(deferred)
    if getattr(canceller, "__qualname__", None) != "readBody.<locals>.cancel":
        return False
    get_abort = _kept_by(canceller, "twisted.web.client", "getAbort")
    return get_abort is not None and get_abort() is None


def _kept_by(canceller: Any, module: str, variable: str) -> Any:
    """A variable in the closure of a function of this module, or None if it has no such one."""
    names = canceller.__code__.co_freevars
    if canceller.__module__ != module or variable not in names:
        return None
    return canceller.__closure__[names.index(variable)].cell_contents
