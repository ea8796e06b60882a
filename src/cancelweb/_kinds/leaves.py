"""What a cancel of a Deferred has to reach: the leaves below it.

Twisted's own ``cancel`` recurses down a chain of Deferreds, and stops at a `DeferredList` that has
fired, even if its callbacks wait for more (Twisted ticket 7856). The walk here is a loop, and
follows whatever a Deferred waits for. It changes nothing.
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

# Without one of these names the walk ends at the Deferred in question, whose own ``cancel`` does
# what Twisted can do.
check("chains")
check("leaves")
check("templates")


def leaves(
    deferred: Deferred[Any], reached: set[int], keeping: list[Deferred[Any]] | None = None
) -> list[Deferred[Any]]:
    """The Deferreds whose ``cancel`` is to be called, in the order of Twisted's own.

    There are none below a Deferred that has its result, nor below a coroutine that is on the stack.

    Args:
        deferred: where to begin.
        reached: the ids of the Deferreds that other walks of the same batch have met; what is below
            these is left to them. This walk adds its own, so that a batch takes linear time.
        keeping: to this are added those on the way that have no result yet, and that will keep
            the failure of which others take a copy: the members of lists and what templates have.
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
    """The Deferreds to which a cancel is to be passed on; None if this one is a leaf.

    They are in a list if this one takes a copy of their results. Otherwise it takes the result
    itself, and leaves None.
    """
    # An override may also be an attribute of the instance, which has no __func__.
    cancel = getattr(deferred.cancel, "__func__", None)
    if cancel is _DEFERRED_LIST.cancel:
        return _result_of(deferred) if deferred.called else members_of(deferred)
    if cancel is not Deferred.cancel:
        # It decides what a cancel does, also when it has fired and waits for more.
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
    """Whether a coroutine or generator for which a Deferred waits is on the stack.

    No cancel reaches it there.

    Args:
        deferred: where to begin.
        seen: the ids of the Deferreds that other walks have met; these are left out.
    """
    return any(
        not each.called and driver_of(each) is not None and all(map(has_fired, below))
        for each, below in all_below(deferred, seen)
    )


def all_below(
    deferred: Deferred[Any], seen: set[int]
) -> Iterator[tuple[Deferred[Any], Sequence[Deferred[Any]]]]:
    """A Deferred and whatever it waits for, directly or not: each once, with what it waits for.

    Args:
        deferred: where to begin.
        seen: the ids of what is left out; those of what is met are added.
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
    """The Deferred that is the result of one that was called; None if the result cannot be read."""
    if not hasattr(deferred, "result"):
        return None
    return (deferred.result,) if isinstance(deferred.result, Deferred) else ()


def is_settled(deferred: Deferred[Any]) -> bool:
    """Whether a Deferred has a result, and does not wait for that of another."""
    return deferred.called and not isinstance(getattr(deferred, "result", None), Deferred)


def has_fired(deferred: Deferred[Any]) -> bool:
    """Whether a Deferred has a result, so that a cancel of it is in vain, or does harm."""
    return deferred.called and _result_of(deferred) is not None


def innermost(deferred: Deferred[Any]) -> Deferred[Any]:
    """The Deferred whose result ``deferred`` will take, down the whole chain of results."""
    seen: set[int] = set()
    while deferred.called and id(deferred) not in seen:
        # A callback may have returned the very Deferred that it was added to.
        seen.add(id(deferred))
        below = _result_of(deferred)
        if below:
            [deferred] = below
    return deferred
