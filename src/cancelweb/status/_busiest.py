"""The handlers and paths that are abandoned most, and those that take the most time."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from .._operating.tables import Row, Table, most, total_of
from ._text import shown

TOP = 5
"""How many rows each list has, without the one for the others."""


@frozen
class Share:
    """The requests of one handler or one path, of all that ended in a period.

    Attributes:
        name: the handler's name, or method and path; None stands for all others.
        place: the handler's file and line; None if there is none to tell.
        requests: how many requests have ended.
        abandoned: how many of them were abandoned: the client left before it had the response.
        seconds: how long the requests took together.
        longest: how long the longest took, in seconds.
        share: the part of all abandoned requests, or of all the time, from 0 to 1.
    """

    name: str | None
    place: str | None
    requests: int
    abandoned: int
    seconds: float
    longest: float
    share: float

    @property
    def mean(self) -> float:
        """How long a request took on average, in seconds."""
        return self.seconds / self.requests

    @property
    def abandoned_share(self) -> float:
        """The part of its requests that were abandoned, from 0 to 1."""
        return self.abandoned / self.requests


@frozen
class Period:
    """What ended in a period.

    Attributes:
        length: how long the period is, in seconds.
        requests, abandoned, seconds: as those of a `Share`, for all requests.
        abandoned_handlers: the handlers with the most abandoned requests.
        abandoned_paths: the paths with the most abandoned requests.
        slowest_handlers: the handlers that took the most time, all requests together.
        slowest_paths: the paths that took the most time.
    """

    length: float
    requests: int
    abandoned: int
    seconds: float
    abandoned_handlers: list[Share]
    abandoned_paths: list[Share]
    slowest_handlers: list[Share]
    slowest_paths: list[Share]


def period(table: Table, now: float) -> Period:
    """The lists of a period that ends now."""
    handlers, paths = table.by_handler(), table.by_path()
    total = total_of(handlers)
    return Period(
        length=max(0.0, now - table.began),
        requests=total.requests,
        abandoned=total.abandoned,
        seconds=total.seconds,
        abandoned_handlers=_top(handlers, "abandoned", total),
        abandoned_paths=_top(paths, "abandoned", total),
        slowest_handlers=_top(handlers, "seconds", total),
        slowest_paths=_top(paths, "seconds", total),
    )


def _top(rows: Sequence[Row], by: str, total: Row) -> list[Share]:
    """The greatest shares of what an attribute counts, and that of all others."""
    named = [each for each in rows if each.handler is not None or each.method]
    top = most(named, by, TOP)
    others = total_of(each for each in rows if each not in top)
    shares = [*top, others] if getattr(others, by) else top
    return [_share(each, by, total) for each in shares]


def _name_of(row: Row) -> str | None:
    if row.handler is not None:
        return shown(row.handler)
    return f"{shown(row.method)} {shown(row.path)}" if row.method else None


def _share(row: Row, by: str, total: Row) -> Share:
    return Share(
        name=_name_of(row),
        place=None if row.place is None else shown(row.place),
        requests=row.requests,
        abandoned=row.abandoned,
        seconds=row.seconds,
        longest=row.longest,
        share=getattr(row, by) / getattr(total, by),
    )
