"""The set of all work of one scope: its order, and how much of it is waited for.

`stopping` asks the work to stop.
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

    Adding, finding and dropping one piece takes constant time, because a request may track
    thousands of pieces.
    """

    def __init__(self) -> None:
        # All work in this set, the oldest first.
        self._works: dict[Work, None] = {}
        # The work that has not ended and was not asked to stop, the oldest first.
        self._unasked: dict[Work, None] = {}
        # All work by the identity of what is stopped: one Deferred may be several pieces of work.
        self._same: dict[int, dict[Work, None]] = {}
        self._waited_for = self._returned_waited_for = 0

    @property
    def is_waited_for(self) -> bool:
        """Whether there is work to wait for."""
        return self._waited_for > 0

    @property
    def is_returned_waited_for(self) -> bool:
        """Whether there is returned work to wait for."""
        return self._returned_waited_for > 0

    def __iter__(self) -> Iterator[Work]:
        """All work in this set, the oldest first."""
        return iter(list(self._works))

    def __reversed__(self) -> Iterator[Work]:
        """All work in this set, the newest first. The set must not change meanwhile."""
        return reversed(self._works)

    @property
    def returned(self) -> Work | None:
        """The work that a handler returned; the oldest, if handlers have called each other."""
        return next((work for work in self._works if work.is_returned), None)

    @property
    def returned_deferred(self) -> Deferred[Any] | None:
        """The Deferred of `returned`, except one that the scope has made from a coroutine."""
        canceller = None if self.returned is None else self.returned.canceller
        if isinstance(canceller, DeferredCanceller) and canceller.suspended is None:
            return canceller.work
        return None

    def kept(self) -> set[Work]:
        """The returned work that is waited for, and all work whose cancel would stop that.

        The handler may also have tracked the returned work, or other work that waits for it.
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
        """The work that may still be asked to stop, in the order in which it is asked."""
        return in_order(self._unasked)

    def response_over(self) -> None:
        """Tell work that was not asked to stop that the response is over."""
        for work in self.unasked():
            if work.is_askable:
                work.canceller.response_over()

    def is_running(self, may_be_below: bool) -> bool:
        """Whether a coroutine or generator is on the stack, where a cancel would not reach it.

        Args:
            may_be_below: whether the scope is the current one. Only then may there be a coroutine
                on the stack that other code has started and that this work waits for.
        """
        seen: set[int] = set()
        return any(
            is_on_stack(work.canceller.suspended)
            or (may_be_below and work.canceller.is_driven_now(seen))
            for work in self._works
        )

    def find(self, canceller: Canceller) -> list[Work]:
        """The pieces that have not ended and are the same work as that of this canceller."""
        works = self._same.get(id(canceller.work), ())
        return [work for work in works if work.step is not ENDED]

    def tracked_by(self, canceller: Canceller) -> list[Work]:
        """The same as `find`, without work that a handler returned."""
        return [work for work in self.find(canceller) if not work.is_returned]

    def take(
        self, canceller: Canceller, arrived: Callable[[Any], object] | None
    ) -> tuple[Work, bool]:
        """Take on work that was tracked or returned.

        Returns:
            The piece of work, and whether it is new. Work that is taken again stays one piece. Only
            a Deferred is a new piece each time, because callbacks may have been added meanwhile.
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
        """Make work that was tracked or returned again the newest."""
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
        """Wait for something that is not work; a negative count ends that wait."""
        self._waited_for += count

    def move(self, work: Work, step: Step) -> None:
        """Move work to another step."""
        was_waited_for = work.is_waited_for
        self._unasked.pop(work, None)
        work.step = step
        if was_waited_for and not work.is_waited_for:
            self._count(work, -1)

    def drop(self, work: Work) -> None:
        """Remove work from this set."""
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
"""The set of a scope without work. Nothing is ever put into it."""


def in_order(works: Iterable[Work]) -> list[Work]:
    """Sort work into the order in which it is stopped: first returned work, then the newest first.

    Work whose last function is on the stack cannot be stopped, and is left out.
    """
    newest_first = [work for work in works if work.is_askable][::-1]
    return sorted(newest_first, key=lambda work: not work.is_returned)


def reach_all(works: list[Work]) -> None:
    """Find out what the cancel of each piece of work reaches, before any is asked.

    Once asked, a coroutine that was resumed by the cancel of other work may already wait in its
    ``finally``. A second cancel would cut that short.
    """
    reached: set[int] = set()
    for work in works:
        work.canceller.reach(reached)
