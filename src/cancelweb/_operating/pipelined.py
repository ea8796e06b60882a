"""Warn of pipelined requests, which can keep Twisted from noticing that a client leaves.

Public names alone show which connections Twisted has stopped reading. `Monitor.blind_spots` looks
for them; ``twist cancelweb`` calls it every ten seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.protocols.policies import ProtocolWrapper

from .._log import log, printable
from .._scopes.own_thread import check_thread
from .._scopes.record import path_of
from .._scopes.scope import Scope
from .._scopes.states import Fate
from .._scopes.telling import log_in


def find_blind(scopes: Sequence[Scope], warned: WeakSet[object]) -> tuple[Scope, ...]:
    """The scopes of open requests whose connection is not being read; logs each connection once.

    Args:
        scopes: open scopes.
        warned: the connections that were logged before.

    Raises:
        RuntimeError: this is another thread than the reactor's.
    """
    check_thread(next(iter(scopes), None), "monitor.blind_spots")
    for scope in scopes:
        # Twisted may fail to report the end of a request; this notices it.
        scope.catch_up()
    blind = _blind(scopes)
    for scope, connection in blind:
        _warn_once(scope, connection, warned)
    return tuple(scope for scope, _ in blind)


def _blind(scopes: Sequence[Scope]) -> list[tuple[Scope, object]]:
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
    """What the reactor reads from; None over HTTP/2, where streams share a connection."""
    connection = getattr(request, "transport", None)
    while isinstance(connection, ProtocolWrapper):
        # A wrapper, such as TLS.
        connection = connection.transport
    return connection


def _warn_once(scope: Scope, connection: object, warned: WeakSet[object]) -> None:
    """Log that a scope's connection is not being read, once for each connection."""
    if connection in warned:
        return
    warned.add(connection)
    request: Any = scope.request
    log_in(
        scope.context,
        log.warn,
        "{method_text} {path_text}: its connection is not being read, because too many bytes wait "
        "behind this request; cancelweb cannot see the client leave; only a timeout stops the work",
        method=request.method,
        path=path_of(request),
        method_text=printable(request.method),
        path_text=printable(path_of(request)),
    )
