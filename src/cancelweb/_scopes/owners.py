"""Whose code it is that begins work: it may run in the context of another request.

Twisted calls a callback in the context of the code that fires its Deferred: of that which releases
a lock, say, or puts something into a queue. Whose it is, shows in what waits for its result.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import Context
from types import FrameType
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred

from .._kinds.handling import all_waiting_for
from .._kinds.where import frames
from .._twisted.drivers import (
    DRIVING,
    awaited_by_driver,
    context_of_driver,
    deferred_of_driver,
)
from .context import current, was_asked
from .parts import Subject
from .scope import Scope
from .states import UNASKED
from .work import Work

_FIRING = {each.__code__ for each in (Deferred.callback, Deferred.errback, Deferred.unpause)}


@frozen
class Owner:
    """The scope to which work belongs that is about to begin.

    Attributes:
        scope: the scope.
        is_asked: whether what waits for the work was asked to stop: by the cancel of the scope, or
            because the response is finished.
    """

    scope: Scope
    is_asked: bool


def owner_here() -> Owner | None:
    """The scope in whose context the code runs."""
    return _owner(current.get(), was_asked.get()())


def owner_of(deferred: Deferred[Any]) -> Owner | None:
    """The scope whose work waits for a Deferred; of several, one that was not asked to stop.

    Returns:
        None if nothing of a scope is known to wait for it.
    """
    # A coroutine that a callback has started has the context of that; what a scope watches is its.
    waiting = list(all_waiting_for(deferred))
    owners = [*_owners_of_work(waiting)] or [*_owners_of_drivers(waiting)]
    return min(owners, key=lambda owner: owner.is_asked, default=None)


def _owners_of_work(waiting: list[object]) -> Iterator[Owner]:
    for each in waiting:
        scope = each if isinstance(each, Scope) else None
        # What a scope has watched itself it may have handed over.
        work: object = each if scope is None else getattr(scope, "handed_over", None)
        if isinstance(work, Work):
            scope = scope or getattr(work.holder, "scope", None)
        owner = _owner(scope, isinstance(work, Work) and work.step is not UNASKED)
        if owner is not None:
            yield owner


def _owners_of_drivers(waiting: list[object]) -> Iterator[Owner]:
    for each in waiting:
        context = None if deferred_of_driver(each) is None else context_of_driver(each)
        if context is not None:
            is_asked = context.get(was_asked)
            owner = _owner(context.get(current), is_asked is not None and is_asked())
            if owner is not None:
                yield owner


def _owner(scope: Subject | None, is_asked: bool) -> Owner | None:
    if not isinstance(scope, Scope):
        return None
    return Owner(scope, is_asked or scope.cause is not None)


def context_of(scope: Scope) -> Context:
    """A copy of the context of its handler, for what other code has begun for it."""
    found = scope.base if scope.context is None else scope.context
    context = Context() if found is None else found.copy()
    context.run(current.set, scope)
    return context


def is_called_back() -> bool:
    """Whether the code that runs is a callback, and so may run in another's context.

    It is not if it is a step of a coroutine or generator, which keeps its own; nor if cancelweb
    has called it, as a hook.
    """
    is_users_seen = False
    for frame in frames():
        if frame.f_code in _FIRING:
            return True
        if _is_resumed(frame) or (is_users_seen and _root_of(frame) == "cancelweb"):
            return False
        is_users_seen = is_users_seen or is_users(frame)
    return False


def _is_resumed(frame: FrameType) -> bool:
    # The first steps of a coroutine are taken in a copy of the context in which it is started.
    return frame.f_code is DRIVING and awaited_by_driver(frame.f_locals.get("status")) is not None


def is_users(frame: FrameType) -> bool:
    """Whether this is neither cancelweb's code nor Twisted's."""
    return _root_of(frame) not in ("cancelweb", "twisted")


def _root_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]
