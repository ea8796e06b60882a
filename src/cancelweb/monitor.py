"""Monitor requests and drain the server: open scopes, counts of closed ones, survivors.

A monitor keeps what the entry points report, and no reference to a scope that has closed. The
steps of a drain are in `_operating.draining`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import islice
from math import ceil
from types import MappingProxyType
from typing import cast
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from ._checks import check_seconds
from ._kinds.cancellers import global_reactor
from ._operating.counts import Counts
from ._operating.draining import Drain, InFlight
from ._operating.let_go import LetGoWork
from ._operating.pipelined import find_blind, warn_once
from ._operating.waiting import where_it_waits
from ._scopes.checks import check_clock
from ._scopes.hook_checks import check_only_watches, observers_from
from ._scopes.owners import place_of_caller
from ._scopes.scope import Scope
from ._still_running import LetGo, Survivor
from ._typed import AnyClock
from .causes import Observer
from .interfaces import DetachedWork, IMonitor, MonitoredScope

__all__ = ["LetGo", "Monitor", "Survivor", "where_it_waits"]


@implementer(IMonitor)
class Monitor:
    """Lists the open requests of its entry points, counts those that have ended, and drains them.

    Entry points may share a monitor: each request counts once. Use it in the reactor's thread only.

    Args:
        clock: the clock of a drain; by default the reactor of the Site.

    Attributes:
        is_draining: whether `drain` has been called, so that new requests are turned away.
        is_dry_run: whether an entry point with this monitor was made with ``dry_run=True``.
    """

    def __init__(self, clock: AnyClock | None = None) -> None:
        self._clock = None if clock is None else check_clock("clock", clock)
        self.is_draining = self.is_dry_run = False
        self._observers: tuple[Observer, ...] = ()
        self._scopes: dict[MonitoredScope, None] = {}
        self._survivors: dict[Survivor, None] = {}
        # Keyed by identity: work of a user's own kind may equal other work, or have no hash.
        self._detached: dict[int, DetachedWork] = {}
        # These belong to the package. The lines have the keys of the detached work.
        self.counts, self.let_go_work, self.detached_at = Counts(), LetGoWork(), dict[int, str]()
        self._warned: WeakSet[object] = WeakSet()
        self._drain: Drain | None = None

    def __repr__(self) -> str:
        return f"<Monitor: {len(self._scopes)} of {self.opened} scopes open>"

    # --- for users ---

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The open scopes, the oldest first."""
        # Every scope that an entry point reports is a `Scope`; `IMonitor` cannot import that class.
        return cast("tuple[Scope, ...]", tuple(self._scopes))

    @property
    def survivors(self) -> tuple[Survivor, ...]:
        """The survivors that are still running, the oldest first.

        The scope of a survivor may have closed long ago.
        """
        return tuple(self._survivors)

    @property
    def let_go(self) -> tuple[LetGo, ...]:
        """The work that was let go and may still be running, the oldest first."""
        return tuple(self.let_go_work.all)

    @property
    def let_go_at(self) -> Mapping[str, int]:
        """How often work was let go, by the place where it waited; the first 100 places count."""
        return MappingProxyType(Counter(self.let_go_work.places))

    @property
    def detached(self) -> tuple[DetachedWork, ...]:
        """The detached work that is still running, the oldest first; each has a ``cancel()``."""
        return tuple(self._detached.values())

    @property
    def opened(self) -> int:
        """How many scopes were ever opened."""
        return len(self._scopes) + self.counts.totals.total()

    @property
    def totals(self) -> Mapping[tuple[str, str], int]:
        """How many scopes have closed, by cause and by how their work ended.

        Each key is a pair of strings: the name of the cause's class, or ``"none"``; and the name of
        a `cancelweb.Ended` in lower case. A pair that has not occurred has no key.
        """
        return MappingProxyType(Counter(self.counts.totals))

    @property
    def would_have_cancelled(self) -> Mapping[str, int]:
        """How many closed scopes a dry run, or the request's method, kept from being cancelled.

        The keys are the names of the causes' classes.
        """
        return MappingProxyType(Counter(self.counts.would_have_cancelled))

    @property
    def retry_after(self) -> int:
        """How many seconds turned-away clients are asked to wait, the rest of the drain or 1."""
        return 1 if self._drain is None else max(1, ceil(self._drain.remaining()))

    def add_observer(self, observer: Observer) -> None:
        """Add an observer, which receives the `cancelweb.Outcome` of each scope.

        Args:
            observer: a callable with one argument. An exception that it raises is logged.

        Raises:
            TypeError: ``observer`` cannot be called with one argument.
        """
        self._observers += check_only_watches(observers_from(observer))

    def drain(self, seconds: float) -> Deferred[None]:
        """Turn new requests away, let open ones finish, and cancel those that take too long.

        From now on the entry points of this monitor answer new requests with 503, ``Retry-After``
        and ``Connection: close``, without running a handler. After ``seconds`` the open requests
        are cancelled with `cancelweb.Draining`, whatever their method, and answered likewise. The
        drain then waits for cleanup hooks and detached work. Once ``seconds`` are over and the last
        scope has closed, detached work has ten more seconds. Then the drain asks it to stop, and
        waits five seconds. It logs what is still running then, and leaves it.

        In a dry run the drain turns no request away and cancels none, and waits for requests for
        ``seconds`` at most. Detached work is not part of a dry run.

        A drain closes no ports and installs no signal handlers. To drain before the process exits,
        call ``reactor.addSystemEventTrigger("before", "shutdown", monitor.drain, 30)``.

        Args:
            seconds: how long requests may go on; 0 or more.

        Returns:
            A Deferred that fires with None when the drain is over and its answers have been handed
            to the network. A drain cannot be stopped. Later calls return a Deferred for the same
            drain, and their ``seconds`` are ignored.

        Raises:
            TypeError, ValueError: ``seconds`` is not a number of seconds.
        """
        check_seconds("seconds", seconds)
        if self._drain is None:
            scopes = cast("Collection[Scope]", self._scopes.keys())
            in_flight = InFlight(scopes, self._detached.values(), lambda: self.opened)
            self._drain = Drain(in_flight, self._find_clock(), seconds)
            self.is_draining = True
            self._drain.start()
        return self._drain.when_done()

    def blind_spots(self) -> tuple[Scope, ...]:
        """The open scopes whose client could leave unnoticed, because Twisted has stopped reading.

        Twisted stops reading from a connection when more than 16 KiB of pipelined data wait behind
        an unanswered request. It then notices that the client has left only when it reads again or
        writes; until then, only a time limit stops the work. The first call that finds such a
        connection logs a warning. Call this every few seconds to see such connections in the log.

        This works for HTTP/1.1, and for reactors that provide ``IReactorFDSet`` (all except IOCP).

        Returns:
            The scopes, the oldest first.
        """
        for scope in self.scopes:
            # Twisted may fail to report the end of a request; this notices it.
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

    # --- for entry points and the status page ---

    def oldest(self, count: int) -> list[Scope]:
        """The oldest open scopes, so many at most, without a look at the others."""
        return cast("list[Scope]", list(islice(self._scopes, count)))

    def scope_opened(self, scope: MonitoredScope) -> None:
        """See `IMonitor`."""
        self._scopes[scope] = None

    def scope_closed(self, scope: MonitoredScope) -> tuple[Observer, ...]:
        """See `IMonitor`."""
        del self._scopes[scope]
        # For a type checker alone: a cast would be called for each request.
        self.counts.add(scope)  # type: ignore[arg-type]
        if self._drain is not None:
            self._drain.look()
        return self._observers

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
        self.let_go_work.add(let_go)

    def let_go_ended(self, let_go: LetGo) -> None:
        """See `IMonitor`."""
        self.let_go_work.ended(let_go)

    def work_detached(self, work: DetachedWork) -> None:
        """See `IMonitor`."""
        self._detached[id(work)], self.detached_at[id(work)] = work, place_of_caller()

    def detached_work_ended(self, work: DetachedWork) -> None:
        """See `IMonitor`."""
        self._detached.pop(id(work), None)
        self.detached_at.pop(id(work), None)
        if self._drain is not None:
            self._drain.look()
