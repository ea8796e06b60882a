"""The requests in flight: one by one, and in groups that wait at the same place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any
from zlib import crc32

from attrs import define, frozen

from .._operating.called import Called, called_for
from .._scopes.record import path_of
from .._scopes.scope import Scope
from .._scopes.states import State
from ..causes import Disconnected
from ..monitor import Monitor, where_it_waits
from ._text import alike, reason, shown

SHOWN = 50
"""How many requests are told one by one: the oldest. Groups also have as many of the newest."""

GROUPS = 20
"""How many groups are shown: those with the oldest requests."""

OF_GROUP = 10
"""How many requests of a group are shown one by one: the oldest."""


@frozen
class InFlight:
    """One request in flight.

    Attributes:
        handler: the name of the innermost handler.
        handler_at: the handler's file and line; None if there is none to tell.
        age: seconds since its scope was opened.
        remaining: seconds until its deadline; None without a deadline.
        state: the state of its scope, in lower case.
        client_left: whether the client has left.
        cause: why the request was cancelled; in a dry run, or if its method is spared, why it would
            have been; None if neither.
        waits_at: file, line and function, or a description of the work.
    """

    method: str
    path: str
    handler: str
    handler_at: str | None
    age: float
    remaining: float | None
    state: str
    client_left: bool
    cause: str | None
    waits_at: str


@frozen
class Group:
    """Requests of one handler that are in the same state and wait at the same place.

    Attributes:
        id: tells groups apart from one reading to the next.
        count: how many requests there are among those that were looked at.
        paths: how many different paths these have.
        requests: these requests, the oldest first, `OF_GROUP` at most.
    """

    id: str
    count: int
    paths: int
    requests: list[InFlight]


@define(eq=False)
class Looked:
    """An open scope that was looked at: what tells its group, and what the page shows about it.

    Attributes:
        scope: the scope.
        called: its handler.
        waits_at: where it waits.
        client_left: whether the client has left.
    """

    scope: Scope
    called: Called
    waits_at: str
    client_left: bool
    _told: InFlight | None = None

    @classmethod
    def at(cls, scope: Scope) -> Looked:
        """Look at a scope. This takes some ten microseconds."""
        has_left = (
            isinstance(scope.cause, Disconnected)
            or isinstance(scope.would_have_cancelled, Disconnected)
            # The first cause counts: a spared request may have run into a limit before.
            or scope.state is State.SPARED
        )
        return cls(scope, called_for(scope), where_it_waits(scope), has_left)

    @property
    def group(self) -> tuple[object, ...]:
        """What it has in common with others of its group."""
        return self.called.name, alike(self.waits_at), self.scope.state.name, self.client_left

    def told(self) -> InFlight:
        """All that there is to tell."""
        if self._told is None:
            self._told = self._tell()
        return self._told

    def _tell(self) -> InFlight:
        scope, called = self.scope, self.called
        request: Any = scope.request
        opened, now = scope.opened, scope.clock.seconds()
        return InFlight(
            method=shown(request.method),
            path=shown(path_of(request)),
            handler=shown(called.name),
            handler_at=None if called.place is None else shown(called.place),
            age=0.0 if opened is None else now - opened,
            remaining=scope.remaining(),
            state=scope.state.name.lower(),
            client_left=self.client_left,
            cause=reason(scope.cause or scope.would_have_cancelled),
            waits_at=shown(self.waits_at),
        )


def look_at(monitor: Monitor) -> list[Looked]:
    """Look at the oldest open scopes and the newest, `SHOWN` of each at most.

    Requests that stay open for long, such as event streams, would hide the others otherwise.
    """
    return [Looked.at(scope) for scope in monitor.ends(SHOWN)]


def oldest_of(looked: Sequence[Looked]) -> list[InFlight]:
    """The oldest requests, `SHOWN` at most."""
    return [each.told() for each in looked[:SHOWN]]


def groups_of(looked: Iterable[Looked]) -> list[Group]:
    """The groups of requests, the one with the oldest first, `GROUPS` at most.

    Args:
        looked: the requests, the oldest first.
    """
    found: dict[tuple[object, ...], list[Looked]] = {}
    for each in looked:
        found.setdefault(each.group, []).append(each)
    return [_group(key, members) for key, members in islice(found.items(), GROUPS)]


def _group(key: tuple[object, ...], members: Sequence[Looked]) -> Group:
    return Group(
        id=f"group-{crc32(repr(key).encode()):08x}",
        count=len(members),
        paths=len({path_of(each.scope.request) for each in members}),
        requests=[each.told() for each in members[:OF_GROUP]],
    )
