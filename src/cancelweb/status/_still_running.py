"""Work that runs without a request in flight: survivors, work that was let go, detached work.

Pieces that wait at the same place are counted together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import islice

from attrs import frozen

from .._kinds.stacks import innermost_line
from ..monitor import LetGo, Monitor, Survivor
from ._text import alike, reason, shown

PLACES = 50
"""How many places of each kind are shown."""

EXAMINED = 500
"""How many survivors are looked at for their place: the oldest."""

DETACHED_EXAMINED = 100
"""How many pieces of detached work are looked at: the oldest."""


@frozen
class Surviving:
    """Survivors that wait at the same place, after requests of one method.

    Attributes:
        method, path, cause: those of the oldest.
        count: how many survivors there are.
        paths: how many different paths their requests had.
        age: seconds since the oldest was asked to stop.
        stack: the lines at which the oldest waited when it was noticed, the innermost last; or its
            thread or process, or a description.
    """

    method: str
    path: str
    cause: str | None
    count: int
    paths: int
    age: float
    stack: list[str]


@frozen
class LetGoAt:
    """A place at which work was let go, because nothing could stop it.

    Attributes:
        where: file, line and function, or a description of the work.
        count: how often work was let go here.
        running: how many pieces of it still run.
        age: seconds since the oldest of these was let go; None if none runs.
    """

    where: str
    count: int
    running: int
    age: float | None


@frozen
class Detached:
    """Work that was detached at the same line, and waits at the same place.

    Attributes:
        what: the work in a few words.
        where: the innermost line at which one piece of it waits.
        detached_at: the line of the code that detached it.
        count: how many pieces there are.
    """

    what: str
    where: str
    detached_at: str
    count: int


def surviving(survivors: Iterable[Survivor], now: float) -> list[Surviving]:
    """The survivors by place, the place with the oldest first, `PLACES` at most."""
    found: dict[tuple[bytes, str], list[Survivor]] = {}
    for each in islice(survivors, EXAMINED):
        found.setdefault((each.method, alike(each.where)), []).append(each)
    return [_surviving(each, now) for each in islice(found.values(), PLACES)]


def _surviving(survivors: Sequence[Survivor], now: float) -> Surviving:
    oldest = survivors[0]
    return Surviving(
        method=shown(oldest.method),
        path=shown(oldest.path),
        cause=reason(oldest.cause),
        count=len(survivors),
        paths=len({each.path for each in survivors}),
        age=now - oldest.since,
        stack=[shown(line) for line in oldest.where.splitlines()],
    )


def let_go_at(monitor: Monitor, now: float) -> list[LetGoAt]:
    """The places at which work was let go, the most frequent first, `PLACES` at most."""
    work = monitor.let_go_work
    return [
        _let_go_at(where, count, work.running_at(where), now)
        for where, count in work.places.most_common(PLACES)
    ]


def _let_go_at(where: str, count: int, running: Collection[LetGo], now: float) -> LetGoAt:
    oldest = next(iter(running), None)
    age = None if oldest is None else now - oldest.since
    return LetGoAt(shown(where), count, len(running), age)


def detached_work(monitor: Monitor) -> list[Detached]:
    """The detached work by both of its lines, the most frequent first, `PLACES` at most."""
    found: dict[tuple[str, str, str], list[str]] = {}
    # It takes longer to find where work waits than to look into a record.
    for each in monitor.detached[:DETACHED_EXAMINED]:
        what, where = each.describe(), innermost_line(each)
        key = what, alike(where), monitor.detached_at[id(each)]
        found.setdefault(key, []).append(where)
    most = sorted(found.items(), key=lambda item: -len(item[1]))[:PLACES]
    return [
        Detached(shown(what), shown(places[0]), shown(line), len(places))
        for (what, _, line), places in most
    ]
