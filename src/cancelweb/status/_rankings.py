"""The lists of the handlers and paths that are abandoned most and take the most time, as HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from ._assets import ROWS
from ._busiest import Period, Share
from ._markup import HTML, fitting, joined
from ._words import brief, number, percent

ROOM = 5_500
"""The bytes for the rows of a list."""


@frozen
class _Kind:
    """The two columns of numbers that lists of one kind have."""

    headings: tuple[str, str]
    cells: Callable[[Share], tuple[str, str]]


_ABANDONED = _Kind(
    ("Abandoned", "Requests"),
    lambda row: (
        f"{number(row.abandoned)} ({percent(row.abandoned_share)})",
        number(row.requests),
    ),
)
_SLOW = _Kind(
    ("Mean", "Longest"),
    lambda row: (brief(row.mean), brief(row.longest)),
)


def rankings(period: Period, prefix: str) -> HTML:
    """The four lists of a period.

    Args:
        period: the period.
        prefix: what the ids of their headings begin with.
    """
    return joined(
        _ranking(title, f"{prefix}-{title.lower().replace(' ', '-')}", what, kind, rows)
        for title, what, kind, rows in [
            ("Handlers abandoned most", "Handler", _ABANDONED, period.abandoned_handlers),
            ("Handlers that take the most time", "Handler", _SLOW, period.slowest_handlers),
            ("Paths abandoned most", "Path", _ABANDONED, period.abandoned_paths),
            ("Paths that take the most time", "Path", _SLOW, period.slowest_paths),
        ]
    )


def _ranking(title: str, id: str, what: str, kind: _Kind, rows: Sequence[Share]) -> HTML:
    """One list: a heading, and a table with a bar in each row."""
    first, second = kind.headings
    found = fitting((_share(each, kind) for each in rows), ROOM)
    none = ROWS["none"].fill(columns="4", words="None")
    return ROWS["ranking"].fill(
        title=title,
        id=id,
        what=what,
        first_label=first,
        second_label=second,
        rows=joined(found) or none,
    )


def _share(row: Share, kind: _Kind) -> HTML:
    first, second = kind.cells(row)
    first_label, second_label = kind.headings
    return ROWS["share"].fill(
        name=row.name or "All others",
        place=row.place or "",
        first=first,
        second=second,
        first_label=first_label,
        second_label=second_label,
        percent=percent(row.share),
        width=f"{row.share * 100:.1f}",
    )
