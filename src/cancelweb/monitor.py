"""The open scopes of a site, what became of the others, and how to have them all come to an end.

What entry points tell is kept here, and nothing of a scope that has closed. The steps of a drain
are in `_operating.draining`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from math import ceil
from types import MappingProxyType
from typing import cast
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from ._kinds.cancellers import global_reactor
from ._operating.draining import Drain, InFlight
from ._operating.pipelined import find_blind, warn_once
from ._operating.waiting import where_it_waits
from ._scopes.bursts import MOST_PLACES
from ._scopes.checks import check_clock, check_seconds, observers_from
from ._scopes.scope import Scope
from ._still_running import LetGo, Survivor
from .causes import Observer
from .interfaces import DetachedWork, IMonitor, MonitoredScope

__all__ = ["LetGo", "Monitor", "Survivor", "where_it_waits"]


@implementer(IMonitor)
class Monitor:
    """What goes on in the entry points that were given it, and what has.

    One monitor may be given to several entry points; where these meet on a request, it counts once.
    For the reactor's thread.

    Args:
        clock: where a drain takes its time from; the Site's reactor unless given.

    Attributes:
        is_draining: whether `drain` has been called: new requests are turned away.
    """

    def __init__(self, clock: IReactorTime | None = None) -> None:
        if clock is not None:
            check_clock("clock", clock)
        self._clock = clock
        self.is_draining = False
        self._observers: tuple[Observer, ...] = ()
        self._scopes: dict[MonitoredScope, None] = {}
        self._survivors: dict[Survivor, None] = {}
        self._let_go: dict[LetGo, None] = {}
        self._places: Counter[str] = Counter()
        # By identity: a user's own kind of work may be equal to another, or have no hash.
        self._detached: dict[int, DetachedWork] = {}
        self._totals: Counter[tuple[str, str]] = Counter()
        self._would_have: Counter[str] = Counter()
        self._warned: WeakSet[object] = WeakSet()
        self._drain: Drain | None = None

    def __repr__(self) -> str:
        return f"<Monitor: {len(self._scopes)} of {self.opened} scopes open>"

    # --- what users ask ---

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The scopes that are open, the oldest first."""
        # Entry points open no other kind of scope; the interface stands below them.
        return cast("tuple[Scope, ...]", tuple(self._scopes))

    @property
    def survivors(self) -> tuple[Survivor, ...]:
        """The work that has outlived its cancellation and still runs, the oldest first.

        Its scope may have closed long ago.
        """
        return tuple(self._survivors)

    @property
    def let_go(self) -> tuple[LetGo, ...]:
        """The work that was let go, as nothing could stop it, and still runs; the oldest first."""
        return tuple(self._let_go)

    @property
    def let_go_at(self) -> Mapping[str, int]:
        """How often work was let go, by the place where it waited; of a hundred places."""
        return MappingProxyType(Counter(self._places))

    @property
    def detached(self) -> tuple[DetachedWork, ...]:
        """The detached work that still runs, the oldest first; each has a ``cancel()``."""
        return tuple(self._detached.values())

    @property
    def opened(self) -> int:
        """How many scopes there ever were."""
        return len(self._scopes) + self._totals.total()

    @property
    def totals(self) -> Mapping[tuple[str, str], int]:
        """How many scopes have closed, by cause and by how their work ended.

        The keys are pairs of strings: the name of the cause's class, or ``"none"``; and the name
        of a `cancelweb.Ended`, in lower case. What has not happened has no key.
        """
        return MappingProxyType(Counter(self._totals))

    @property
    def would_have_cancelled(self) -> Mapping[str, int]:
        """How many closed scopes would have been cancelled, by the name of the cause's class.

        In a dry run; also requests of methods that a disconnect or a time limit may not cancel.
        """
        return MappingProxyType(Counter(self._would_have))

    @property
    def retry_after(self) -> int:
        """The seconds that clients who are turned away are asked to wait: what a drain has left."""
        return 1 if self._drain is None else max(1, ceil(self._drain.remaining()))

    def add_observer(self, observer: Observer) -> None:
        """Tell an observer the `cancelweb.Outcome` of each scope, besides those of the entry point.

        Args:
            observer: what it raises is logged.

        Raises:
            TypeError: it cannot be called with one argument.
        """
        self._observers += observers_from(observer)

    def drain(self, seconds: float) -> Deferred[None]:
        """Turn new requests away, let the others finish, and cancel those that take too long.

        From now on, for good, what comes to the entry points of this monitor is answered 503, with
        ``Retry-After`` and ``Connection: close``, and no handler is run for it. After ``seconds``
        what is left is cancelled with `cancelweb.Draining`, whatever its method, and answered
        likewise. Then the cleanup hooks are waited for, and what was detached: for ten seconds from
        when the last scope has closed. What of it then still runs is asked to stop, and has five
        seconds more. What is not over by then is logged, and left.

        In a dry run nothing is turned away or cancelled, and nothing is waited for after
        ``seconds``.

        Ports are not closed, and signals are not touched: have it called, and waited for, with
        ``reactor.addSystemEventTrigger("before", "shutdown", monitor.drain, 30)``.

        Args:
            seconds: how long requests may go on; 0 or more.

        Returns:
            A Deferred that fires with None when it is all over and what was answered has been
            handed to the network. A drain cannot be stopped, and is the same for all who call
            for it: the ``seconds`` of the first count.

        Raises:
            TypeError, ValueError: ``seconds`` is not a number of seconds.
        """
        check_seconds("seconds", seconds)
        self.is_draining = True
        if self._drain is None:
            scopes = cast("Collection[Scope]", self._scopes.keys())
            in_flight = InFlight(scopes, self._detached.values(), lambda: self.opened)
            self._drain = Drain(in_flight, self._find_clock(), seconds)
            self._drain.start()
        return self._drain.when_done()

    def blind_spots(self) -> tuple[Scope, ...]:
        """The open scopes whose clients could leave unseen, because nobody reads from them.

        Twisted stops reading a connection on which more than 16 KiB wait behind a request that is
        not answered yet. Whether its client has left shows when it reads on, or writes; until then
        only a ``timeout`` stops the work. For each such connection a warning is logged, the first
        time. Call this every few seconds to have it in the log.

        Only for HTTP/1.1 and reactors that provide ``IReactorFDSet``, as all do but IOCP's.
        """
        for scope in self.scopes:
            # Twisted may never report the end of a request. This is an occasion to see it.
            scope.catch_up()
        blind = find_blind(self.scopes)
        for scope, connection in blind:
            warn_once(scope, connection, self._warned)
        return tuple(scope for scope, _ in blind)

    def _find_clock(self) -> IReactorTime:
        if self._clock is not None:
            return self._clock
        scope = next(iter(self.scopes), None)
        return global_reactor() if scope is None else scope.clock

    # --- what entry points tell ---

    def scope_opened(self, scope: MonitoredScope) -> None:
        """See `IMonitor`."""
        self._scopes[scope] = None

    def scope_closed(self, scope: MonitoredScope) -> tuple[Observer, ...]:
        """See `IMonitor`."""
        del self._scopes[scope]
        self._count(scope)
        if self._drain is not None:
            self._drain.look()
        return self._observers

    def _count(self, scope: MonitoredScope) -> None:
        cause, would = scope.cause, scope.would_have_cancelled
        name = "none" if cause is None else type(cause).__name__
        self._totals[name, scope.ended.name.lower()] += 1
        if would is not None:
            self._would_have[type(would).__name__] += 1

    def scope_withdrawn(self, scope: MonitoredScope) -> None:
        """See `IMonitor`."""
        self._scopes.pop(scope, None)

    def work_survives(self, survivor: Survivor) -> None:
        """See `IMonitor`."""
        self._survivors[survivor] = None

    def survivor_ended(self, survivor: Survivor) -> None:
        """See `IMonitor`."""
        self._survivors.pop(survivor, None)

    def work_let_go(self, let_go: LetGo) -> None:
        """See `IMonitor`."""
        self._let_go[let_go] = None
        if let_go.where in self._places or len(self._places) < MOST_PLACES:
            self._places[let_go.where] += 1

    def let_go_ended(self, let_go: LetGo) -> None:
        """See `IMonitor`."""
        self._let_go.pop(let_go, None)

    def work_detached(self, work: DetachedWork) -> None:
        """See `IMonitor`."""
        self._detached[id(work)] = work

    def detached_work_ended(self, work: DetachedWork) -> None:
        """See `IMonitor`."""
        self._detached.pop(id(work), None)
        if self._drain is not None:
            self._drain.look()
