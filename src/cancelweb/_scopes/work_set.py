"""All work of one scope: what there is of it, how much is waited for, and in which order it is.

How it is asked to stop is for `stopping`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twisted.internet.defer import Deferred

from .._kinds.cancellers import Canceller
from .._kinds.deferred_kinds import DeferredCanceller
from .._kinds.handling import all_waiting_for
from .._kinds.where import is_on_stack
from .states import ENDED, Step
from .work import Work


class WorkSet:
    """All work of one scope.

    To add, find or drop one piece costs the same however many there are: a request may track
    thousands.
    """

    def __init__(self) -> None:
        # All that is held, the oldest first.
        self._works: dict[Work, None] = {}
        # What has not ended and was not asked to stop, the oldest first.
        self._unasked: dict[Work, None] = {}
        # The same, by the identity of what is stopped: one Deferred may be several pieces.
        self._same: dict[int, dict[Work, None]] = {}
        self._waited_for = self._returned_waited_for = 0

    @property
    def is_waited_for(self) -> bool:
        """Whether there is work to wait for."""
        return self._waited_for > 0

    @property
    def is_returned_waited_for(self) -> bool:
        """Whether there is work to wait for that a handler returned."""
        return self._returned_waited_for > 0

    def __iter__(self) -> Iterator[Work]:
        """All that is held, the oldest first."""
        return iter(list(self._works))

    @property
    def returned(self) -> Work | None:
        """What a handler returned and is held; the oldest, if handlers have called each other."""
        return next((work for work in self._works if work.is_returned), None)

    @property
    def returned_deferred(self) -> Deferred[Any] | None:
        """The Deferred of that, if it has one, and was not made of a coroutine by the scope."""
        canceller = None if self.returned is None else self.returned.canceller
        if isinstance(canceller, DeferredCanceller) and canceller.suspended is None:
            return canceller.work
        return None

    def kept(self) -> set[Work]:
        """What handlers have returned and is waited for, and what would stop that.

        The handler may have tracked it as well, or other work that waits for it.
        """
        kept: set[Work] = set()
        for work in self._works if self.is_returned_waited_for else ():
            if work.is_returned and work.is_waited_for:
                kept.update(self.find(work.canceller))
                if isinstance(work.canceller, DeferredCanceller):
                    waiting = all_waiting_for(work.canceller.work)
                    kept.update(each for each in waiting if isinstance(each, Work))
        return kept

    def unasked(self) -> list[Work]:
        """What may still be asked to stop, in the order in which it is asked."""
        return in_order(self._unasked)

    def response_over(self) -> None:
        """What was not asked to stop, and cannot tell when it ends, settles now."""
        for work in self.unasked():
            if work.is_askable:
                work.canceller.response_over()

    def is_running(self, may_be_below: bool) -> bool:
        """Whether a coroutine or generator is on the stack, where a cancel would not reach it.

        Args:
            may_be_below: whether one may be that other code has started, and some of the work waits
                for: none is where the scope is not the current one. Where it is, none need be:
                asyncio runs a timer in the context in which it was set.
        """
        seen: set[int] = set()
        return any(
            is_on_stack(work.canceller.suspended)
            or (may_be_below and work.canceller.is_driven_now(seen))
            for work in self._works
        )

    def find(self, canceller: Canceller) -> list[Work]:
        """What has not ended and is the same work as that of this canceller."""
        works = self._same.get(id(canceller.work), ())
        return [work for work in works if work.step is not ENDED]

    def tracked_by(self, canceller: Canceller) -> list[Work]:
        """The same, but for what a handler returned."""
        return [work for work in self.find(canceller) if not work.is_returned]

    def take(
        self, canceller: Canceller, arrived: Callable[[Any], object] | None
    ) -> tuple[Work, bool]:
        """Work was tracked or returned.

        Returns:
            The one piece of work for it, and whether it is new. Only a Deferred is a new piece each
            time: each time it tells what callbacks have made of its result by then.
        """
        former = [] if isinstance(canceller, DeferredCanceller) else self.find(canceller)
        if former:
            self._renew(former[0], arrived)
            return former[0], False
        work = Work(canceller, arrived)
        self._works[work] = self._unasked[work] = None
        self._same.setdefault(id(canceller.work), {})[work] = None
        self._count(work, 1)
        return work, True

    def _renew(self, work: Work, arrived: Callable[[Any], object] | None) -> None:
        """It was tracked or returned once more: it is the newest, and stays one piece."""
        if work.is_returned:
            return
        if work in self._unasked:
            del self._unasked[work]
            self._unasked[work] = None
        self._waited_for -= work.is_waited_for
        work.arrived = arrived
        if work.is_waited_for:
            self._count(work, 1)

    def _count(self, work: Work, change: int) -> None:
        self._waited_for += change
        self._returned_waited_for += change * work.is_returned

    def wait_for_more(self, count: int) -> None:
        """Wait for so much that is no work, or, if negative, no longer."""
        self._waited_for += count

    def move(self, work: Work, step: Step) -> None:
        """Work has come to another step."""
        was_waited_for = work.is_waited_for
        self._unasked.pop(work, None)
        work.step = step
        if was_waited_for and not work.is_waited_for:
            self._count(work, -1)

    def drop(self, work: Work) -> None:
        """Hold it no longer."""
        if work.is_waited_for:
            self._count(work, -1)
        self._unasked.pop(work, None)
        self._works.pop(work, None)
        work.holder = None
        same = self._same.get(id(work.canceller.work), {})
        same.pop(work, None)
        if not same:
            self._same.pop(id(work.canceller.work), None)


NO_WORK = WorkSet()
"""Stands for the work of a scope that has none. Nothing is put into it."""


def in_order(works: Iterable[Work]) -> list[Work]:
    """The order in which work is stopped: first what a handler returned, then the newest first.

    What is on its last function cannot be stopped, and is left out.
    """
    newest_first = [work for work in works if work.is_askable][::-1]
    return sorted(newest_first, key=lambda work: not work.is_returned)


def reach_all(works: list[Work]) -> None:
    """Find out what the cancel of each reaches, before any of it is asked.

    A coroutine that was resumed by the cancel of what it awaits may wait in its ``finally`` by
    then, and a second cancel would cut that short.
    """
    reached: set[int] = set()
    for work in works:
        work.canceller.reach(reached)
