"""What the status page tells, read from a monitor at one moment.

Frozen facts, in text that is fit to be shown; neither HTML nor HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from .._log import printable
from .._scopes.record import path_of
from .._scopes.scope import Scope
from ..causes import Cause, Ended
from ..monitor import Monitor, Survivor, where_it_waits

SHOWN = 50
"""How many requests, and how many survivors, are told one by one: the oldest."""

LONGEST = 300
"""Characters of a path that are told. A client may send 16 KiB of it."""

NOT_CANCELLED = "none"
"""What a monitor's totals have in place of a cause."""

SAVING = frozenset(ended.name.lower() for ended in (Ended.STOPPED, Ended.REFUSED))
"""How work ends that a cancellation has saved: stopped before it was done, or never begun."""


@frozen
class InFlight:
    """One request that is being handled.

    Attributes:
        age: seconds since its scope was opened.
        remaining: seconds until its deadline; None where there is none.
        cause: why it has been cancelled, if it has, and is still stopping or cleaning up.
        waits_at: file, line and function, or what it waits for.
    """

    method: str
    path: str
    age: float
    remaining: float | None
    cause: str | None
    waits_at: str


@frozen
class Surviving:
    """Work that still runs although it was cancelled.

    Attributes:
        age: seconds since it was asked to stop.
        stack: the lines that it waited at when it was noticed, the innermost last; or its thread or
            process.
    """

    method: str
    path: str
    cause: str | None
    age: float
    stack: list[str]


@frozen
class LetGoAt:
    """A place at which work was let go, since nothing could stop it.

    Attributes:
        where: file, line and function, or what was let go.
        count: how often.
        running: how many of it still run.
        age: seconds since the oldest of these was let go; None where none runs.
    """

    where: str
    count: int
    running: int
    age: float | None


@frozen
class Total:
    """How many requests have ended in one way."""

    cause: str
    ended: str
    count: int


@frozen
class Status:
    """All that the page tells.

    Attributes:
        in_flight, survivors, let_go, detached: how many there are now.
        opened: how many requests there ever were.
        cancelled: how many of those that have ended had been cancelled.
        saved: of how many the work was stopped before it was done, or never begun.
        would_have_cancelled: in dry runs, by cause.
        oldest: the requests in flight, the oldest first, `SHOWN` at most.
        surviving: the survivors, likewise.
        let_go_at: the places at which work was let go, the most frequent first, `SHOWN` at most.
    """

    is_draining: bool
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
    surviving: list[Surviving]
    let_go_at: list[LetGoAt]


def read(monitor: Monitor, clock: IReactorTime) -> Status:
    """Read the monitor now.

    Args:
        monitor: what is read.
        clock: for the age of survivors; each request has its own.
    """
    scopes, survivors, totals = monitor.scopes, monitor.survivors, monitor.totals
    return Status(
        is_draining=monitor.is_draining,
        in_flight=len(scopes),
        survivors=len(survivors),
        let_go=len(monitor.let_go),
        detached=len(monitor.detached),
        opened=monitor.opened,
        cancelled=_cancelled(totals),
        saved=sum(count for (cause, ended), count in totals.items() if _saves(cause, ended)),
        would_have_cancelled=dict(monitor.would_have_cancelled),
        totals=[
            Total(cause, ended, count)
            for (cause, ended), count in sorted(totals.items(), key=lambda item: -item[1])
        ],
        oldest=[_in_flight(scope) for scope in scopes[:SHOWN]],
        surviving=[_surviving(each, clock.seconds()) for each in survivors[:SHOWN]],
        let_go_at=_let_go_at(monitor, clock.seconds()),
    )


def _cancelled(totals: Mapping[tuple[str, str], int]) -> int:
    return sum(count for (cause, _), count in totals.items() if cause != NOT_CANCELLED)


def _saves(cause: str, ended: str) -> bool:
    return cause != NOT_CANCELLED and ended in SAVING


def _in_flight(scope: Scope) -> InFlight:
    request: Any = scope.request
    now = scope.clock.seconds()
    return InFlight(
        method=_shown(request.method),
        path=_shown(path_of(request)),
        age=0.0 if scope.opened is None else now - scope.opened,
        remaining=scope.remaining(),
        cause=_reason(scope.cause),
        waits_at=_shown(where_it_waits(scope)),
    )


def _surviving(survivor: Survivor, now: float) -> Surviving:
    return Surviving(
        method=_shown(survivor.method),
        path=_shown(survivor.path),
        cause=_reason(survivor.cause),
        age=now - survivor.since,
        stack=[_shown(line) for line in survivor.where.splitlines()],
    )


def _let_go_at(monitor: Monitor, now: float) -> list[LetGoAt]:
    most = sorted(monitor.let_go_at.items(), key=lambda item: -item[1])[:SHOWN]
    ages: dict[str, list[float]] = {}
    for each in monitor.let_go:
        ages.setdefault(each.where, []).append(now - each.since)
    return [
        LetGoAt(
            _shown(where), count, len(ages.get(where, ())), max(ages.get(where, ()), default=None)
        )
        for where, count in most
    ]


def _reason(cause: Cause | None) -> str | None:
    return None if cause is None else _shown(str(cause))


def _shown(text: bytes | str) -> str:
    """Text that a client may have chosen: no control or bidi characters, and not too long."""
    return printable(text) if len(text) <= LONGEST else printable(text[:LONGEST]) + "…"
