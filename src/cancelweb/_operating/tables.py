"""Tables of requests by handler and path: how many, how many abandoned, and how long they took.

A table has a limited size, because clients choose the paths. When requests are counted in which
table is for `counts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import nlargest
from operator import attrgetter

from attrs import define, evolve, field

MOST = 100
"""How many rows a table keeps when it is full, which it is with twice as many."""

Key = tuple[object, ...]


@define(eq=False)
class Row:
    """The requests of one handler for one path; of a sum, those of several handlers or paths.

    Attributes:
        handler: the name of the handler; None in a sum of several.
        place: its file and line; None if there are none to tell.
        method, path: what the clients requested; empty in a sum of several.
        requests: how many requests have ended.
        abandoned: how many of them their clients left before they had the response.
        seconds: how long all of them took together: each until it was cancelled, or else until it
            was over.
        longest: how long the longest took.
    """

    handler: str | None = None
    place: str | None = None
    method: bytes = b""
    path: bytes = b""
    requests: int = 0
    abandoned: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    def add(self, other: Row) -> None:
        """Add what another row has counted."""
        self.requests += other.requests
        self.abandoned += other.abandoned
        self.seconds += other.seconds
        if other.longest > self.longest:
            self.longest = other.longest


@define(eq=False)
class Table:
    """What was counted since a moment. Paths with little of anything are merged by handler.

    Attributes:
        began: the moment, on the clock of the scopes.
        rows: a row for each handler and path.
        rest: the sums of the rows that were merged, by handler; None stands for further handlers.
    """

    began: float
    rows: dict[Key, Row] = field(factory=dict)
    rest: dict[Key | None, Row] = field(factory=dict)

    def put(self, key: Key, row: Row) -> None:
        """Put a new row into the table, for which room is made first."""
        if len(self.rows) >= 2 * MOST:
            self._merge_least()
        self.rows[key] = row

    def _merge_least(self) -> None:
        # Half of the room is for each of the two lists in which rows are shown.
        rows = self.rows.values()
        kept = {*most(rows, "abandoned", MOST // 2), *most(rows, "seconds", MOST // 2)}
        for key, row in list(self.rows.items()):
            if row not in kept:
                self._merge(self.rows.pop(key))

    def _merge(self, row: Row) -> None:
        key: Key | None = (row.handler, row.place)
        if key not in self.rest and len(self.rest) >= MOST:
            key = None
        if key not in self.rest:
            self.rest[key] = Row() if key is None else Row(row.handler, row.place)
        self.rest[key].add(row)

    def add(self, other: Table) -> None:
        """Add the rows of another table, which stays as it is."""
        for key, row in other.rows.items():
            own = self.rows.get(key)
            if own is None:
                self.put(key, evolve(row))
            else:
                own.add(row)
        for row in other.rest.values():
            self._merge(row)

    def by_handler(self) -> list[Row]:
        """A sum for each handler; one without a handler is that of further handlers."""
        sums: dict[Key, Row] = {}
        for row in self._all():
            key = row.handler, row.place
            own = sums.get(key) or sums.setdefault(key, Row(row.handler, row.place))
            own.add(row)
        return list(sums.values())

    def by_path(self) -> list[Row]:
        """A sum for each method and path; one without a path is that of rows that were merged."""
        sums: dict[Key, Row] = {}
        for row in self._all():
            key = row.method, row.path
            own = sums.get(key) or sums.setdefault(key, Row(method=row.method, path=row.path))
            own.add(row)
        return list(sums.values())

    def total(self) -> Row:
        """The sum of all rows."""
        return total_of(self._all())

    def _all(self) -> Iterator[Row]:
        yield from self.rows.values()
        yield from self.rest.values()


def most(rows: Iterable[Row], name: str, count: int) -> list[Row]:
    """The rows with the most of what an attribute counts, the greatest first; none with 0."""
    found = nlargest(count, rows, key=attrgetter(name))
    return [row for row in found if getattr(row, name)]


def total_of(rows: Iterable[Row]) -> Row:
    """The sum of rows."""
    total = Row()
    for row in rows:
        total.add(row)
    return total
