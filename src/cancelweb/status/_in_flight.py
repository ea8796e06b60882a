"""The requests in flight: one by one, and in groups that wait at the same place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

from attrs import frozen

from .._operating.called import called_for
from .._scopes.record import path_of
from .._scopes.scope import Scope
from .._scopes.states import State
from ..causes import Disconnected
from ..monitor import where_it_waits
from ._text import alike, reason, shown

EXAMINED = 500
"""How many requests are looked at for their place and state: the oldest."""

SHOWN = 50
"""How many requests are told one by one: the oldest."""

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
        count: how many requests there are.
        paths: how many different paths they have.
        requests: the requests, the oldest first, `OF_GROUP` at most.
    """

    id: str
    count: int
    paths: int
    requests: list[InFlight]


def oldest_of(scopes: Sequence[Scope]) -> list[InFlight]:
    """The oldest requests, `EXAMINED` at most.

    Args:
        scopes: the open scopes, the oldest first.
    """
    return [_in_flight(scope) for scope in scopes[:EXAMINED]]


def groups_of(requests: Iterable[InFlight]) -> list[Group]:
    """The groups of requests, the one with the oldest first, `GROUPS` at most.

    Args:
        requests: the requests, the oldest first.
    """
    found: dict[tuple[object, ...], list[InFlight]] = {}
    for each in requests:
        key = each.handler, alike(each.waits_at), each.state, each.client_left
        found.setdefault(key, []).append(each)
    return [_group(key, members) for key, members in list(found.items())[:GROUPS]]


def _group(key: tuple[object, ...], members: Sequence[InFlight]) -> Group:
    return Group(
        id=f"group-{crc32(repr(key).encode()):08x}",
        count=len(members),
        paths=len({each.path for each in members}),
        requests=list(members[:OF_GROUP]),
    )


def _in_flight(scope: Scope) -> InFlight:
    request: Any = scope.request
    causes = scope.cause, scope.would_have_cancelled
    opened, now = scope.opened, scope.clock.seconds()
    called = called_for(scope)
    has_left = any(isinstance(each, Disconnected) for each in causes)
    return InFlight(
        method=shown(request.method),
        path=shown(path_of(request)),
        handler=shown(called.name),
        handler_at=None if called.place is None else shown(called.place),
        age=0.0 if opened is None else now - opened,
        remaining=scope.remaining(),
        state=scope.state.name.lower(),
        # The first cause counts: a spared request may have run into a limit before.
        client_left=has_left or scope.state is State.SPARED,
        cause=reason(causes[0] or causes[1]),
        waits_at=shown(where_it_waits(scope)),
    )


def not_shown(groups: Iterable[Group], in_flight: int) -> int:
    """How many requests belong to none of the groups."""
    return in_flight - sum(each.count for each in groups)
