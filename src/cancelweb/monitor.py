"""Monitor requests and drain the server: open scopes, counts of closed ones, survivors.

A monitor keeps what the entry points report, and no reference to a scope that has closed. The
steps of a drain are in `_operating.draining`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from math import ceil
from operator import attrgetter
from types import MappingProxyType
from weakref import WeakSet

from twisted.internet.defer import Deferred
from zope.interface import implementer

from ._operating.counts import Counts
from ._operating.draining import Drain, clock_of
from ._operating.in_flight import InFlight
from ._operating.pipelined import find_blind
from ._operating.plans import Plan
from ._operating.waiting import where_it_waits
from ._scopes.checks import check_clock
from ._scopes.hook_checks import check_only_watches, observers_from
from ._scopes.own_thread import check_thread
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
        is_draining: whether new requests are turned away, because of `drain`.
        is_dry_run: whether an entry point with this monitor was made with ``dry_run=True``.
    """

    def __init__(self, clock: AnyClock | None = None) -> None:
        self._clock = None if clock is None else check_clock("clock", clock)
        self._is_draining = self.is_dry_run = False
        self._observers: tuple[Observer, ...] = ()
        # These belong to the package.
        self.in_flight = InFlight()
        self.counts, self.let_go_work = Counts(), self.in_flight.let_go
        self.detached_at = self.in_flight.detached_at
        self._scopes = self.in_flight.reported
        self._warned: WeakSet[object] = WeakSet()
        self._drain: Drain | None = None

    # Each request reads this, so reading it calls no function of Python.
    is_draining: bool = property(attrgetter("_is_draining"))  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Monitor: {len(self._scopes)} of {self.opened} scopes open>"

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The open scopes, the oldest first."""
        return tuple(self.in_flight.scopes)

    @property
    def survivors(self) -> tuple[Survivor, ...]:
        """The survivors that still run, the oldest first; their scopes may have closed long ago."""
        return tuple(self.in_flight.survivors)

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
        return tuple(self.in_flight.detached.values())

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
        """How many closed scopes a dry run, or the method, kept from a cancel, by cause's name."""
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
        check_thread(next(iter(self.in_flight.scopes), None), "monitor.add_observer")
        self._observers += check_only_watches(observers_from(observer))

    @property
    def is_ready(self) -> bool:
        """Whether `drain` has not been called yet."""
        return self._drain is None

    def drain(
        self,
        seconds: float,
        *,
        delay: float = 0,
        exit_after: float | None = None,
        close: Callable[[], object] | None = None,
    ) -> Deferred[None]:
        """Turn new requests away, let open ones finish, and cancel those that take too long.

        From now on, or after the ``delay``, entry points of this monitor answer new requests with
        503, ``Retry-After`` and ``Connection: close``, without running a handler. After ``seconds``
        the open requests are cancelled with `cancelweb.Draining`, whatever their method, and
        answered likewise. The drain then waits for cleanup hooks and detached work. Once
        ``seconds`` are over and the last scope has closed, detached work has ten more seconds. Then
        the drain asks it to stop, waits five seconds, and logs what is still running. In a dry run
        it turns no request away, cancels none, and waits for ``seconds`` at most.

        A drain handles no signals. To drain before the process exits, call
        ``reactor.addSystemEventTrigger("before", "shutdown", monitor.drain, 30, exit_after=5)``.

        Args:
            seconds: how long requests may go on; 0 or more.
            delay: seconds before, in which requests are served, and `is_ready` is false. Their
                answers say ``Connection: close``.
            exit_after: seconds for the process to exit once ``seconds`` are over, or the drain.
                Then the signal that asked the reactor to stop ends it, or SIGTERM, and the log says
                what still ran. None: nothing ends the process.
            close: called after the delay, such as ``port.stopListening``, and waited for, for five
                seconds at most. After a delay, requests on their way then have up to a second.

        Returns:
            A Deferred that fires with None when the drain is over and its answers have been handed
            to the network. A drain cannot be stopped. Later calls return a Deferred for the same
            drain. Of their arguments only ``exit_after`` counts, if no call had one before.

        Raises:
            TypeError, ValueError: a number of seconds is wrong, or ``close`` is not callable.
        """
        plan = Plan(seconds, delay, exit_after, close)
        if self._drain is None:
            clock = self._clock or clock_of(self.scopes)
            self._drain = Drain(self.in_flight, clock, plan, self._turn_away, lambda: self.opened)
        return self._drain.run(exit_after)

    def _turn_away(self) -> None:
        self._is_draining = True

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
        return find_blind(self.scopes, self._warned)

    # --- for entry points and the status page ---

    def ends(self, count: int) -> list[Scope]:
        """The oldest open scopes and the newest, so many of each at most, the oldest first."""
        return self.in_flight.ends(count)

    def scope_opened(self, scope: MonitoredScope) -> None:
        """See `IMonitor`."""
        self._scopes[scope] = None
        if self._drain is not None:
            self._drain.scope_opened(scope)  # type: ignore[arg-type]

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
        self.in_flight.survivors[survivor] = None

    def survivor_ended(self, survivor: Survivor) -> None:
        """See `IMonitor`."""
        self.in_flight.survivors.pop(survivor, None)

    def work_let_go(self, let_go: LetGo) -> None:
        """See `IMonitor`."""
        self.let_go_work.add(let_go)

    def let_go_ended(self, let_go: LetGo) -> None:
        """See `IMonitor`."""
        self.let_go_work.ended(let_go)

    def work_detached(self, work: DetachedWork) -> None:
        """See `IMonitor`."""
        self.in_flight.detached[id(work)] = work
        self.detached_at[id(work)] = place_of_caller()

    def detached_work_ended(self, work: DetachedWork) -> None:
        """See `IMonitor`."""
        self.in_flight.detached.pop(id(work), None)
        self.detached_at.pop(id(work), None)
        if self._drain is not None:
            self._drain.look()
