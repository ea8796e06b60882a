"""Reading the variables of Twisted's functions, in the closures of the cancellers that they make.

As in `access`, each function here works without the name too.
"""

from __future__ import annotations

from typing import Any

from .access import canceller_of


def members_of_race(deferred: Any) -> list[Any] | None:
    """The Deferreds of which ``race`` takes the first result; None if this is not its Deferred."""
    members: list[Any] | None
    members = _kept_by(canceller_of(deferred), "twisted.internet.defer", "race", "to_cancel")
    return members


def is_endless_body(deferred: Any) -> bool:
    """Whether ``readBody`` waits on a connection that it has no way to abort."""
    get_abort = _kept_by(canceller_of(deferred), "twisted.web.client", "readBody", "getAbort")
    return get_abort is not None and get_abort() is None


def _kept_by(canceller: Any, module: str, function: str, variable: str) -> Any:
    """A variable of the function whose inner function ``cancel`` this is; None if it is not."""
    if getattr(canceller, "__qualname__", None) != f"{function}.<locals>.cancel":
        return None
    names = canceller.__code__.co_freevars
    if canceller.__module__ != module or variable not in names:
        return None
    return canceller.__closure__[names.index(variable)].cell_contents
