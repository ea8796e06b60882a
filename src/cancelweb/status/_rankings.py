"""The lists of the handlers and paths that are abandoned most and take the most time, as HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from attrs import frozen
from twisted.web.iweb import IRequest
from twisted.web.template import Element, Tag, renderer

from ._assets import template
from ._busiest import Period, Share
from ._words import brief, number, percent


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


class Ranking(Element):
    """One list: a heading, and a table with a bar in each row.

    Args:
        title: the heading.
        id: the heading's id, unique on the page.
        what: what a row is about, as the heading of a column.
        kind: what numbers a row has.
        rows: what is listed, the greatest first.
    """

    loader = template("ranking.xml")

    def __init__(self, title: str, id: str, what: str, kind: _Kind, rows: Sequence[Share]) -> None:
        super().__init__()
        self._title, self._id, self._what = title, id, what
        self._kind, self._rows = kind, rows

    @renderer
    def section(self, request: IRequest | None, tag: Tag) -> Tag:
        """The whole list."""
        return tag.fillSlots(title=self._title, id=self._id, what=self._what, **self._labels())

    def _labels(self) -> dict[str, str]:
        first, second = self._kind.headings
        return {"first-label": first, "second-label": second}

    @renderer
    def rows(self, request: IRequest | None, tag: Tag) -> Iterator[Tag]:
        """The rows."""
        for each in self._rows:
            first, second = self._kind.cells(each)
            yield tag.clone().fillSlots(
                name=each.name or "All others",
                place=each.place or "",
                first=first,
                second=second,
                percent=percent(each.share),
                width=f"{each.share * 100:.1f}",
            )

    @renderer
    def none(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """A row that stands in for the others if there are none."""
        return "" if self._rows else tag


def rankings(period: Period, prefix: str) -> list[Ranking]:
    """The four lists of a period.

    Args:
        period: the period.
        prefix: what their ids begin with.
    """
    return [
        Ranking(title, f"{prefix}-{title.lower().replace(' ', '-')}", what, kind, rows)
        for title, what, kind, rows in [
            ("Handlers abandoned most", "Handler", _ABANDONED, period.abandoned_handlers),
            ("Handlers that take the most time", "Handler", _SLOW, period.slowest_handlers),
            ("Paths abandoned most", "Path", _ABANDONED, period.abandoned_paths),
            ("Paths that take the most time", "Path", _SLOW, period.slowest_paths),
        ]
    ]
