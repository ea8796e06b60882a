"""Find what a cancel of a Deferred has to reach: the leaves below it.

Twisted's own ``cancel`` recurses down a chain of Deferreds. It stops at a `DeferredList` that has
fired, even if the callbacks of the list wait for more (Twisted ticket 7856). The walk here is a
loop, follows everything a Deferred waits for, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from .._twisted.access import canceller_of, members_of
from .._twisted.checks import check
from .._twisted.drivers import awaited_by_driver, driver_behind, driver_of
from .._twisted.variables import cancelled_by

_DEFERRED_LIST: Any = DeferredList  # Twisted declares it as a function.

# If Twisted lacks one of these names, the walk ends at the Deferred where it is needed. That
# Deferred's own ``cancel`` then does what Twisted can do.
check("chains")
check("leaves")
check("templates")


def leaves(
    deferred: Deferred[Any], reached: set[int], keeping: list[Deferred[Any]] | None = None
) -> list[Deferred[Any]]:
    """The Deferreds to cancel, in the order in which Twisted would cancel them.

    A Deferred that has its result has no leaves; nor does a coroutine that is on the stack.

    Args:
        deferred: where the walk begins.
        reached: the ids of the Deferreds that other walks of the same batch have met. This walk
            skips them and adds its own, so that a batch takes linear time.
        keeping: receives the Deferreds on the way that have no result yet and keep their failure
            when another takes a copy: the members of lists, and Deferreds in templates.
    """
    found, todo = [], [deferred]
    while todo:
        each = todo.pop()
        if id(each) not in reached:
            reached.add(id(each))
            below = awaited_by(each)
            if below is None:
                found.append(each)
            else:
                todo.extend(reversed(below))
                if keeping is not None and type(below) is list:
                    keeping.extend(each for each in below if not is_settled(each))
    return found


def awaited_by(deferred: Deferred[Any]) -> Sequence[Deferred[Any]] | None:
    """The Deferreds that a cancel of this one is passed on to, or None if this is a leaf.

    The sequence is a list if this Deferred takes a copy of their results. Otherwise it takes the
    result itself and leaves None behind.
    """
    # ``cancel`` may be overridden on the instance; such an attribute may have no ``__func__``.
    cancel = getattr(deferred.cancel, "__func__", None)
    if cancel is _DEFERRED_LIST.cancel:
        return _result_of(deferred) if deferred.called else members_of(deferred)
    if cancel is not Deferred.cancel:
        # An override decides what a cancel does, even if the Deferred has fired and waits for more.
        return () if has_fired(innermost(deferred)) else None
    if deferred.called:
        return _result_of(deferred)
    canceller = canceller_of(deferred)
    if canceller is None:
        return None
    driver = driver_behind(canceller)
    if driver is None:
        return cancelled_by(canceller)
    # A coroutine that is on the stack has None here, or a Deferred that has its result.
    awaited = awaited_by_driver(driver)
    return () if awaited is None else (awaited,)


def is_driven_now(deferred: Deferred[Any], seen: set[int]) -> bool:
    """Whether a coroutine or generator that a Deferred waits for is on the stack.

    A cancel cannot reach it there.

    Args:
        deferred: where the walk begins.
        seen: the ids of the Deferreds to skip; this walk adds those that it meets.
    """
    return any(
        not each.called and driver_of(each) is not None and all(map(has_fired, below))
        for each, below in all_below(deferred, seen)
    )


def all_below(
    deferred: Deferred[Any], seen: set[int]
) -> Iterator[tuple[Deferred[Any], Sequence[Deferred[Any]]]]:
    """Yield a Deferred and everything it waits for, directly or not, each with what it waits for.

    Args:
        deferred: where the walk begins.
        seen: the ids of the Deferreds to skip; this walk adds those that it meets.
    """
    todo = [deferred]
    while todo:
        each = todo.pop()
        if id(each) not in seen:
            seen.add(id(each))
            below = awaited_by(each) or ()
            yield each, below
            todo.extend(reversed(below))


def _result_of(deferred: Deferred[Any]) -> Sequence[Deferred[Any]] | None:
    """The Deferred that a called Deferred has as its result, if any; None if it cannot be read."""
    if not hasattr(deferred, "result"):
        return None
    return (deferred.result,) if isinstance(deferred.result, Deferred) else ()


def is_settled(deferred: Deferred[Any]) -> bool:
    """Whether a Deferred has a result of its own and does not wait for another Deferred."""
    return deferred.called and not isinstance(getattr(deferred, "result", None), Deferred)


def has_fired(deferred: Deferred[Any]) -> bool:
    """Whether a Deferred has a result, so that a cancel would be useless or harmful."""
    return deferred.called and _result_of(deferred) is not None


def innermost(deferred: Deferred[Any]) -> Deferred[Any]:
    """The last Deferred of a chain of results: ``deferred`` will take its result."""
    seen: set[int] = set()
    while deferred.called and id(deferred) not in seen:
        # A callback may have returned the very Deferred that it was added to: a circle.
        seen.add(id(deferred))
        below = _result_of(deferred)
        if below:
            [deferred] = below
    return deferred
