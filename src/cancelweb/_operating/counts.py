"""What a monitor counts of scopes that have closed.

Nothing here keeps a reference to a request, a handler or a scope. Each request pays for `add`, so
that names are made for new rows only.
"""

from __future__ import annotations

from collections import Counter

from .._scopes.parts import Subject
from ..causes import Disconnected, Ended
from .called import handler_of, name_of, place_of
from .tables import Row, Table

LONGEST = 300
"""Bytes of a path that tell paths apart. A client may send 16 KiB."""

PERIOD = 300.0
"""Seconds after which a new table is begun. The last one or two tables are called recent."""

Key = tuple[object, str | None, bytes, bytes]
"""What tells rows apart: the handler's module or its object's class, its name, method and path."""

_NAMES = {ended: ended.name.lower() for ended in Ended}


class Counts:
    """The counts of all scopes that have closed.

    By handler and path, three tables follow each other. Requests are counted in the newest, which
    is recent together with the one before it. All older ones are summed up in the third.

    Attributes:
        totals: how many scopes have closed, by cause and by how their work ended.
        would_have_cancelled: how many would have been cancelled, by cause.
    """

    def __init__(self) -> None:
        self.totals: Counter[tuple[str, str]] = Counter()
        self.would_have_cancelled: Counter[str] = Counter()
        self._newest: Table | None = None
        self._before: Table | None = None
        self._older: Table | None = None

    def add(self, scope: Subject) -> None:
        """Count a scope that closes, and that has its request and its handler still."""
        cause, would = scope._cause, scope.would_have_cancelled
        name = "none" if cause is None else type(cause).__name__
        self.totals[name, _NAMES[scope.ended]] += 1
        if would is not None:
            self.would_have_cancelled[type(would).__name__] += 1
        now, opened = scope.clock.seconds(), scope.opened
        row = self._row_of(scope, now)
        row.requests += 1
        end = now if scope.cancelled is None else scope.cancelled
        if opened is not None and end > opened:
            row.seconds += end - opened
            if end - opened > row.longest:
                row.longest = end - opened
        if cause is not None or would is not None:
            row.abandoned += isinstance(cause, Disconnected) or isinstance(would, Disconnected)

    def _row_of(self, scope: Subject, now: float) -> Row:
        table, request = self._newest, scope._request
        if table is None or not 0 <= now - table.began < PERIOD:
            table = self._begin_table(now)
        handler = scope.rare.inner_handler or scope.handler
        owner = getattr(handler, "__self__", None)
        # By the id of its class, as nothing of the site's own may be kept alive.
        key = (
            getattr(handler, "__module__", None) if owner is None else id(type(owner)),
            getattr(handler, "__qualname__", None),
            request.method,
            request.uri.partition(b"?")[0],
        )
        row = table.rows.get(key)
        return _row_with_names(table, scope, key) if row is None else row

    def recent(self, now: float) -> Table:
        """What was counted in the last minutes: between one and two times `PERIOD`."""
        newest = self._newest
        if newest is None or not 0 <= now - newest.began < PERIOD:
            newest = self._begin_table(now)
        return newest if self._before is None else _sum(self._before, newest)

    def since_start(self, now: float) -> Table:
        """All that was ever counted."""
        recent = self.recent(now)
        return recent if self._older is None else _sum(self._older, recent)

    def _begin_table(self, now: float) -> Table:
        former, before, began = self._newest, self._before, now
        if former is not None and PERIOD <= now - former.began < 2 * PERIOD:
            self._before, began = former, former.began + PERIOD
            self._keep(before)
        else:
            # None of them is recent, or the clock was put back.
            self._before = None
            self._keep(before)
            self._keep(former)
        self._newest = newest = Table(began)
        return newest

    def _keep(self, old: Table | None) -> None:
        if old is not None:
            self._older = old if self._older is None else _sum(self._older, old)


def _row_with_names(table: Table, scope: Subject, key: Key) -> Row:
    """The row of a key that is new to the table, too long, or without a name for the handler."""
    kind, function, method, path = key
    handler = handler_of(scope)
    name, place = name_of(handler), place_of(handler)
    short = kind, function or name, method[:LONGEST], path[:LONGEST]
    row = table.rows.get(short)
    if row is None:
        row = Row(name, place, method[:LONGEST], path[:LONGEST])
        table.put(short, row)
    return row


def _sum(one: Table, other: Table) -> Table:
    both = Table(min(one.began, other.began))
    both.add(one)
    both.add(other)
    return both
