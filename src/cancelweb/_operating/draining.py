"""The steps of a drain: wait, cancel, wait for cleanup, and wait until everything is sent.

The monitor knows what there is to wait for. Each scope knows how it is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.internet.tcp import Server

from .._http.pages import make_last
from .._http.request_facts import has_begun, has_streams
from .._log import log
from .._scopes.bursts import write_counts
from .._scopes.hooks import CLEANUP_TIMEOUT
from .._scopes.own_thread import check_clocks_thread
from .._scopes.patience import SURVIVOR_AFTER
from .._scopes.scope import Scope
from .._scopes.telling import log_in
from .._twisted.checks import check
from ..causes import Draining
from ..interfaces import DetachedWork

check("unsent")

FLUSH = 1.0
"""Seconds that connections have to send what was written at the very end."""

LINGER = 0.5
"""Seconds without a new request after which open connections count as idle.

A client that was not told that its connection is about to close may be sending a request on it. The
request is lost if nothing reads it (RFC 9112, section 9.6).
"""

GLANCE = 0.01
"""Seconds between two looks at the connections."""


@frozen
class InFlight:
    """A live view of what a monitor knows to be in progress.

    Attributes:
        scopes: the open scopes.
        detached: the detached work that still runs.
        opened: returns how many scopes have ever been opened.
    """

    scopes: Collection[Scope]
    detached: Collection[DetachedWork]
    opened: Callable[[], int]


class Drain:
    """One drain, from the call for it to its end.

    Args:
        in_flight: what is drained. Call `look` whenever a part of it has ended.
        clock: measures the time.
        seconds: how long requests may go on.

    Raises:
        RuntimeError: this is another thread than the reactor's.
    """

    def __init__(self, in_flight: InFlight, clock: IReactorTime, seconds: float) -> None:
        check_clocks_thread(clock, "monitor.drain")
        self._in_flight, self._clock = in_flight, clock
        self._deadline = clock.seconds() + seconds
        self._waiting: list[Deferred[None]] = []
        self._is_done = False
        self._opened, self._quiet_since = 0, clock.seconds()
        self._awaited: tuple[Callable[[], bool], Deferred[None]] | None = None
        # The scopes that must close, as of the last look at all of them; some may have closed.
        self._closing: list[Scope] = []

    def remaining(self) -> float:
        """Seconds until the drain cancels what is left."""
        return max(0.0, self._deadline - self._clock.seconds())

    def start(self) -> None:
        """Begin with the first step; the others follow."""
        for scope in list(self._in_flight.scopes):
            # Twisted may never have reported the end of this request.
            scope.catch_up(is_reported_by_now=True)
            if scope.request is not None and not (
                scope.options.dry_run or has_begun(scope.request)
            ):
                make_last(scope.request)
        Deferred.fromCoroutine(self._run())

    def when_done(self) -> Deferred[None]:
        """A new Deferred that fires at the end of the drain. Cancelling it ends only the wait."""
        done: Deferred[None] = Deferred(self._waiting.remove)
        if self._is_done:
            done.callback(None)
        else:
            self._waiting.append(done)
        return done

    def look(self) -> None:
        """Something has ended: go on if that was what the current step waits for."""
        if self._awaited is not None and self._awaited[0]():
            self._awaited[1].callback(None)

    def _done(self) -> None:
        self._is_done = True
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done.callback(None)

    async def _run(self) -> None:
        await self._until(self._is_idle, self.remaining())
        self._cancel_scopes()
        # No time limit: each scope has its own, survivor_after and cleanup_timeout.
        await self._until(self._are_closed, None)
        await self._until(self._is_nothing_detached, max(self.remaining(), CLEANUP_TIMEOUT))
        self._stop_detached()
        await self._until(self._is_nothing_detached, SURVIVOR_AFTER)
        for work in list(self._in_flight.detached):
            log.warn("{work} is detached and still runs after the drain", work=work.describe())
        await self._until_quiet()
        write_counts(self._clock)
        self._done()

    def _is_idle(self) -> bool:
        return not self._in_flight.scopes and not self._in_flight.detached

    def _are_closed(self) -> bool:
        open_scopes = self._in_flight.scopes
        while self._closing and self._closing[-1] not in open_scopes:
            self._closing.pop()
        if not self._closing:
            # Nothing cancels scopes in a dry run, so a drain does not wait for them.
            self._closing = [scope for scope in open_scopes if not scope.options.dry_run]
        return not self._closing

    def _is_nothing_detached(self) -> bool:
        return not self._in_flight.detached

    def _cancel_scopes(self) -> None:
        for scope in list(self._in_flight.scopes):
            self._cancel(scope)

    def _cancel(self, scope: Scope) -> None:
        try:
            scope.life.drain(Draining())
        except BaseException:
            # This request may be of a kind that cannot be answered. Still cancel the others.
            text = "{scope} could not be cancelled"
            log_in(scope.context, log.failure, text, scope=scope)

    def _stop_detached(self) -> None:
        for work in list(self._in_flight.detached):
            work.clock = self._clock
            try:
                work.cancel()
            except BaseException:
                log.failure("the canceller {canceller} failed", canceller=work.describe())

    async def _until(self, condition: Callable[[], bool], seconds: float | None) -> None:
        """Wait until a condition is true, which `look` tests, or for this many seconds."""
        if condition():
            return
        waiting: Deferred[None] = Deferred()
        timer = None if seconds is None else self._clock.callLater(seconds, waiting.callback, None)
        self._awaited = condition, waiting
        await waiting
        self._awaited = None
        if timer is not None and timer.active():
            timer.cancel()

    async def _until_quiet(self) -> None:
        """Wait until connections have sent their bytes, and for the last requests.

        "Finished" is not "sent": at shutdown, Twisted closes connections even if they hold unsent
        bytes. The reactor shows such bytes only as a connection that wants to write.
        """
        began = self._clock.seconds()
        late = max(self._deadline, began + FLUSH)
        # Twisted writes the bytes that a handler returned only after the handler's scope closed.
        await self._pause(0)
        while (self._is_sending() or self._lingers(began)) and self._clock.seconds() < late:
            await self._pause(GLANCE)

    def _is_sending(self) -> bool:
        if not IReactorFDSet.providedBy(self._clock):
            return False
        if any(isinstance(each, Server) for each in self._clock.getWriters()):
            return True
        return any(has_streams(getattr(each, "protocol", None)) for each in self._connections())

    def _lingers(self, began: float) -> bool:
        """Whether another request may come soon. Endless requests do not extend `FLUSH`."""
        now, opened = self._clock.seconds(), self._in_flight.opened()
        if opened != self._opened:
            self._opened, self._quiet_since = opened, now
        return now < min(began + FLUSH, self._quiet_since + LINGER) and bool(self._connections())

    def _connections(self) -> list[Server]:
        if not IReactorFDSet.providedBy(self._clock):
            return []
        return [each for each in self._clock.getReaders() if isinstance(each, Server)]

    def _pause(self, seconds: float) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._clock.callLater(seconds, waiting.callback, None)
        return waiting
