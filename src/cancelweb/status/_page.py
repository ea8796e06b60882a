"""The status page as HTML: `Status` and `History` poured into ``page.html`` and ``rows.html``.

The page has no inline script and no inline style. However much the server does, and whatever
clients send, its size has a limit: each part has `ROOM`, and rows that have none are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ._assets import PAGE, ROWS
from ._charts import charts
from ._facts import NOT_CANCELLED, Status, Total
from ._history import History
from ._in_flight import SHOWN, Group, InFlight
from ._markup import HTML, fitting, joined
from ._rankings import rankings
from ._still_running import DETACHED_EXAMINED, EXAMINED, Detached, LetGoAt, Surviving
from ._words import UNKNOWN_PLACE, duration, handler_of, mark_of, number, several, span

ROOM = {
    "groups": 50_000,
    "surviving": 40_000,
    "let_go": 18_000,
    "detached": 20_000,
    "totals": 6_000,
}
"""The bytes for the rows of each table, which are more than the longest row has."""


def page(status: Status, history: History, now: float) -> bytes:
    """The whole page.

    Args:
        status: the facts.
        history: the samples for the charts.
        now: when the last sample was noted.
    """
    names = ["in_flight", "survivors", "let_go", "detached", "opened", "cancelled", "saved"]
    recent = status.recent
    return PAGE.fill(
        banners=_banners(status),
        abandoned=number(status.since_start.abandoned),
        charts=charts(history, now),
        recent_length=span(recent.length),
        recent_requests=several(recent.requests, "request", "requests"),
        recent=rankings(recent, "recent"),
        since_start=rankings(status.since_start, "all"),
        **{name: number(getattr(status, name)) for name in names},
        **_groups(status),
        **_survivors(status),
        **_let_go(status),
        **_detached(status),
        **_totals(status),
    ).encode()


def _banners(status: Status) -> HTML:
    names = {"dry_run": status.is_dry_run, "draining": status.is_draining}
    return joined(ROWS[name].fill() for name, is_so in names.items() if is_so)


def _table(name: str, rows: Iterable[HTML], columns: int, none: str = "None") -> list[HTML]:
    """The rows of a table that have room, or one that says that there are none."""
    empty = ROWS["none"].fill(columns=str(columns), words=none)
    return fitting(rows, ROOM[name]) or [empty]


def _more(id: str, count: int, one: str, many: str) -> HTML:
    """Says below a table how many are in none of its rows."""
    words = several(count, one, many)
    return ROWS["more"].fill(id=id, words=words) if count else HTML()


def _left_out(rows: Sequence[HTML], of: Sequence[Group | Surviving | Detached], total: int) -> int:
    """How many of all are in none of the rows, which are those of the first groups."""
    return total - sum(each.count for each in of[: len(rows)])


def _only(words: str, looked_at: int, total: int) -> str:
    """Says above a table that its rows do not count all that there are."""
    return f" Only the {words} are looked at." if total > looked_at else ""


def _groups(status: Status) -> dict[str, str]:
    rows = _table("groups", map(_group, status.groups), 4)
    left_out = _left_out(rows, status.groups, status.in_flight)
    return {
        "only_requests": _only(
            f"{SHOWN} oldest and the {SHOWN} newest", 2 * SHOWN, status.in_flight
        ),
        "groups_rows": joined(rows),
        "more_requests": _more("more-requests", left_out, "more request", "more requests"),
    }


def _group(group: Group) -> HTML:
    oldest = group.requests[0]
    return ROWS["group"].fill(
        id=group.id,
        method=oldest.method,
        path=oldest.path,
        paths=_other_paths(group.paths),
        mark=mark_of(oldest),
        waits_at=oldest.waits_at or UNKNOWN_PLACE,
        handler=handler_of(oldest),
        members=_members(group),
        count=number(group.count),
        age=duration(oldest.age),
        remaining=_deadline(oldest),
    )


def _members(group: Group) -> HTML:
    """The oldest requests of a group one by one, for readers who ask for them."""
    if group.count == 1:
        return HTML()
    words = f"Show {len(group.requests)} requests"
    rows = joined(map(_member, group.requests))
    return ROWS["members"].fill(id=group.id, words=words, rows=rows)


def _member(request: InFlight) -> HTML:
    limit = "" if request.remaining is None else f", deadline {_deadline(request)}"
    return ROWS["member"].fill(
        method=request.method, path=request.path, age=duration(request.age), limit=limit
    )


def _deadline(request: InFlight) -> str:
    return "none" if request.remaining is None else f"in {duration(request.remaining)}"


def _other_paths(paths: int) -> str:
    return "" if paths == 1 else f"and {several(paths - 1, 'other path', 'other paths')}"


def _survivors(status: Status) -> dict[str, str]:
    rows = _table("surviving", map(_survivor, status.surviving), 3)
    left_out = _left_out(rows, status.surviving, status.survivors)
    return {
        "only_survivors": _only(f"{EXAMINED} oldest", EXAMINED, status.survivors),
        "survivors_rows": joined(rows),
        "more_survivors": _more("more-survivors", left_out, "more survivor", "more survivors"),
    }


def _survivor(survivors: Surviving) -> HTML:
    return ROWS["survivor"].fill(
        method=survivors.method,
        path=survivors.path,
        paths=_other_paths(survivors.paths),
        cause=survivors.cause or "",
        stack="\n".join(survivors.stack),
        count=number(survivors.count),
        age=duration(survivors.age),
    )


def _let_go(status: Status) -> dict[str, HTML]:
    rows = _table("let_go", map(_let_go_row, status.let_go_at), 4)
    left_out = max(0, status.let_go_places - len(rows))
    return {
        "let_go_rows": joined(rows),
        "more_let_go": _more("more-let-go", left_out, "more place", "more places"),
    }


def _let_go_row(place: LetGoAt) -> HTML:
    return ROWS["let_go"].fill(
        where=place.where,
        count=number(place.count),
        running=number(place.running),
        age="" if place.age is None else duration(place.age),
    )


def _detached(status: Status) -> dict[str, str]:
    rows = _table("detached", map(_detached_row, status.detached_work), 2)
    left_out = _left_out(rows, status.detached_work, status.detached)
    return {
        "only_detached": _only(f"{DETACHED_EXAMINED} oldest", DETACHED_EXAMINED, status.detached),
        "detached_rows": joined(rows),
        "more_detached": _more("more-detached", left_out, "more piece", "more pieces"),
    }


def _detached_row(work: Detached) -> HTML:
    return ROWS["detached"].fill(
        what=work.what,
        where=work.where,
        detached_at=f"detached at {work.detached_at}",
        count=number(work.count),
    )


def _totals(status: Status) -> dict[str, HTML]:
    would = [
        Total(cause, "would have been cancelled", count)
        for cause, count in status.would_have_cancelled.items()
    ]
    all_rows = [*status.totals, *would]
    rows = _table("totals", map(_total, all_rows), 3, "None yet")
    left_out = max(0, len(all_rows) - len(rows))
    return {
        "totals_rows": joined(rows),
        "more_totals": _more("more-totals", left_out, "more row", "more rows"),
    }


def _total(total: Total) -> HTML:
    cause = "not cancelled" if total.cause == NOT_CANCELLED else total.cause
    return ROWS["total"].fill(
        cause=cause, ended=total.ended.replace("_", " "), count=number(total.count)
    )
