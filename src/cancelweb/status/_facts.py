"""What the status page shows, read from a monitor at one moment.

Frozen facts, in text that is safe to show; neither HTML nor HTTP. The parts with lists of their own
are in `_in_flight`, `_busiest` and `_still_running`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from ..causes import Ended
from ..monitor import Monitor
from ._busiest import Period, period
from ._in_flight import Group, InFlight, groups_of, look_at, oldest_of
from ._still_running import (
    Detached,
    LetGoAt,
    Surviving,
    detached_work,
    let_go_at,
    surviving,
)
from ._text import shown

K = TypeVar("K")

NOT_CANCELLED = "none"
"""What a monitor's totals have in place of a cause."""

TOTALS = 50
"""How many ways in which requests have ended are told: the most frequent."""

SAVING = frozenset(ended.name.lower() for ended in (Ended.STOPPED, Ended.REFUSED))
"""How cancelled work ends that counts as saved: it was stopped, or refused before it began."""


@frozen
class Total:
    """How many requests have ended in one way."""

    cause: str
    ended: str
    count: int


@frozen
class Status:
    """Everything that the page shows.

    Attributes:
        is_draining: whether new requests are turned away, because of a drain.
        is_dry_run: whether an entry point with this monitor cancels nothing.
        in_flight, survivors, let_go, detached: how many there are now.
        opened: how many requests there ever were.
        cancelled: how many requests that have ended were cancelled.
        saved: how many of these had their work stopped early, or refused before it began.
        would_have_cancelled: how many requests were not cancelled, for a dry run or their method,
            by cause, `TOTALS` at most.
        totals: how requests have ended, the most frequent first, `TOTALS` at most.
        oldest: the oldest requests in flight, `SHOWN` at most.
        groups: the requests in flight by handler, place and state.
        recent: what ended in the last minutes.
        since_start: what ended since the start.
        surviving: the survivors by place.
        let_go_at: work that was let go, by place.
        let_go_places: how many such places there are, those in ``let_go_at`` included.
        detached_work: the detached work by place.
    """

    is_draining: bool
    is_dry_run: bool
    in_flight: int
    survivors: int
    let_go: int
    detached: int
    opened: int
    cancelled: int
    saved: int
    would_have_cancelled: dict[str, int]
    totals: list[Total]
    oldest: list[InFlight]
    groups: list[Group]
    recent: Period
    since_start: Period
    surviving: list[Surviving]
    let_go_at: list[LetGoAt]
    let_go_places: int
    detached_work: list[Detached]


def read(monitor: Monitor, clock: IReactorTime) -> Status:
    """Read the monitor now.

    Args:
        monitor: the monitor.
        clock: tells the time, except for the ages of requests: each scope has its own clock.
    """
    totals, now = monitor.totals, clock.seconds()
    looked = look_at(monitor)
    return Status(
        is_draining=monitor.is_draining,
        is_dry_run=monitor.is_dry_run,
        in_flight=monitor.opened - sum(totals.values()),
        survivors=len(monitor.survivors),
        let_go=len(monitor.let_go),
        detached=len(monitor.detached),
        opened=monitor.opened,
        cancelled=_cancelled(totals),
        saved=sum(count for (cause, ended), count in totals.items() if _saves(cause, ended)),
        would_have_cancelled={
            shown(cause): count for cause, count in _most(monitor.would_have_cancelled)
        },
        totals=[Total(shown(cause), ended, count) for (cause, ended), count in _most(totals)],
        oldest=oldest_of(looked),
        groups=groups_of(looked),
        recent=period(monitor.counts.recent(now), now),
        since_start=period(monitor.counts.since_start(now), now),
        surviving=surviving(monitor.survivors, now),
        let_go_at=let_go_at(monitor, now),
        let_go_places=len(monitor.let_go_at),
        detached_work=detached_work(monitor),
    )


def _most(counts: Mapping[K, int]) -> list[tuple[K, int]]:
    return Counter(counts).most_common(TOTALS)


def _cancelled(totals: Mapping[tuple[str, str], int]) -> int:
    return sum(count for (cause, _), count in totals.items() if cause != NOT_CANCELLED)


def _saves(cause: str, ended: str) -> bool:
    return cause != NOT_CANCELLED and ended in SAVING
