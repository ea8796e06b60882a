"""The warning about pipelined requests, which can keep Twisted from seeing that a client leaves.

Connections that Twisted has stopped reading are found by public names alone. `Monitor.blind_spots`
looks for them, which ``twist cancelweb`` calls every ten seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.protocols.policies import ProtocolWrapper

from .._log import log, printable
from .._scopes.record import path_of
from .._scopes.scope import Scope
from .._scopes.states import Fate
from .._scopes.telling import log_in


def find_blind(scopes: Iterable[Scope]) -> list[tuple[Scope, object]]:
    """The scopes of requests that are open on connections which are not read, with these."""
    readers: dict[IReactorTime, set[object]] = {}
    found = []
    for scope in scopes:
        connection = _connection(scope.request)
        reactor = scope.clock
        if scope.fate is Fate.OPEN and connection is not None and IReactorFDSet.providedBy(reactor):
            if reactor not in readers:
                readers[reactor] = set(reactor.getReaders())
            if connection not in readers[reactor]:
                found.append((scope, connection))
    return found


def _connection(request: Any) -> object:
    """What a reactor reads from; None over HTTP/2, where no stream has it to itself."""
    connection = getattr(request, "transport", None)
    while isinstance(connection, ProtocolWrapper):
        # Such as TLS.
        connection = connection.transport
    return connection


def warn_once(scope: Scope, connection: object, warned: WeakSet[object]) -> None:
    """Log that it is blind; once for each connection."""
    if connection in warned:
        return
    warned.add(connection)
    request = scope.request
    log_in(
        scope.context,
        log.warn,
        "the connection of {method_text} {path_text} is not read, since too much is waiting behind "
        "this request: if its client leaves, nobody sees it; a timeout would stop the work",
        method=request.method,
        path=path_of(request),
        method_text=printable(request.method),
        path_text=printable(path_of(request)),
    )
