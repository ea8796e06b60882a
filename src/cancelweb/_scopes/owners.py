"""Find the scope that owns the code which begins work, even in the context of another request.

Twisted calls a callback in the context of the code that fires its Deferred, for example code of
another request that releases a lock. The owner is the scope whose work waits for the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import Context
from types import FrameType
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred

from .._kinds.handling import all_waiting_for
from .._kinds.places import root_of
from .._kinds.where import frames, line_of
from .._twisted.drivers import (
    DRIVING,
    awaited_by_driver,
    context_of_driver,
    deferred_of_driver,
)
from .context import current, never_asked, was_asked
from .parts import Subject
from .scope import Scope
from .states import UNASKED
from .work import Work

_FIRING = {id(each.__code__) for each in (Deferred.callback, Deferred.errback, Deferred.unpause)}


@frozen
class Owner:
    """The scope that owns work which is about to begin.

    Attributes:
        scope: the scope.
        is_asked: whether the code that waits for the work was asked to stop, because the scope was
            cancelled or the response is finished.
    """

    scope: Scope
    is_asked: bool


def owner_here() -> Owner | None:
    """The owner by the current context; None outside a scope."""
    return _owner(current.get(), was_asked.get()())


def owner_of(deferred: Deferred[Any]) -> Owner | None:
    """The scope whose work waits for a Deferred.

    Returns:
        The owner; of several, one that was not asked to stop. None if no work of a scope is known
        to wait for the Deferred.
    """
    # Work that a scope watches comes first: a coroutine that was started in a callback has the
    # context of that callback, which may be another request's.
    waiting = list(all_waiting_for(deferred))
    owners = [*filter(None, _owners_of_work(waiting))] or filter(None, _owners_of_drivers(waiting))
    return min(owners, key=lambda owner: owner.is_asked, default=None)


def _owners_of_work(waiting: list[object]) -> Iterator[Owner | None]:
    for each in waiting:
        scope = each if isinstance(each, Scope) else None
        # A scope that was on the fast path may have handed its work over.
        work: object = each if scope is None else scope.rare.handed_over
        is_asked = isinstance(work, Work) and work.step is not UNASKED
        yield _owner(scope or getattr(getattr(work, "holder", None), "scope", None), is_asked)


def _owners_of_drivers(waiting: list[object]) -> Iterator[Owner | None]:
    for each in waiting:
        context = None if deferred_of_driver(each) is None else context_of_driver(each)
        if context is not None:
            scope: Subject | None = context.get(current)
            yield _owner(scope, context.get(was_asked, never_asked)())


def _owner(scope: object, is_asked: bool) -> Owner | None:
    if not isinstance(scope, Scope):
        return None
    return Owner(scope, is_asked or scope.cause is not None)


def context_of(scope: Scope) -> Context:
    """A copy of the context of a scope's handler, for work that other code begins for it."""
    found = scope.rare.base if scope.context is None else scope.context
    context = Context() if found is None else found.copy()
    context.run(current.set, scope)
    return context


def is_own(scope: Scope) -> bool:
    """Whether the code that runs in the context of a scope certainly belongs to it.

    A callback may belong to another scope. A step of a coroutine or generator certainly belongs to
    this one, if this scope waits for it, or no scope does. So does code that cancelweb has called,
    such as a hook.
    """
    is_users_seen = False
    for frame in frames():
        if id(frame.f_code) in _FIRING:
            return False
        driver = _resuming(frame)
        if driver is not None:
            owner = owner_of(deferred_of_driver(driver))
            return owner is None or owner.scope is scope
        if is_users_seen and root_of(frame) == "cancelweb":
            break
        is_users_seen = is_users_seen or is_users(frame)
    return True


def _resuming(frame: FrameType) -> object:
    """The driver that resumes a coroutine or generator in this frame, or None.

    None for its first step, too, which runs in the context of the code that starts it, maybe of
    another request.
    """
    driver = frame.f_locals.get("status") if frame.f_code is DRIVING else None
    return None if awaited_by_driver(driver) is None else driver


def is_users(frame: FrameType) -> bool:
    """Whether this frame is neither cancelweb's nor Twisted's."""
    return root_of(frame) not in ("cancelweb", "twisted")


def place_of_caller() -> str:
    """The innermost line of code that is neither cancelweb's nor Twisted's."""
    for frame in frames():
        if is_users(frame):
            return line_of(frame)
    return "a callback"
