"""The steps of a drain: wait, cancel, wait for cleanup, and wait until everything is sent.

The monitor knows what there is to wait for. Each scope knows how it is cancelled. No step waits
without a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from .._kinds.cancellers import global_reactor
from .._log import log
from .._scopes.bursts import write_counts
from .._scopes.hooks import CLEANUP_TIMEOUT
from .._scopes.own_thread import check_clocks_thread
from .._scopes.patience import SURVIVOR_AFTER
from .._scopes.scope import Scope
from .._scopes.telling import log_in
from .._twisted.checks import check
from .._twisted.process import exit_signal_of
from .drained import announce_close, cancel, guarded, limits_of, make_last_on_connection
from .exiting import ExitLimit
from .holding_up import holders_of
from .in_flight import InFlight
from .plans import Plan
from .quiet import until_quiet

check("exit signal")

CLOSE = 5.0
"""Seconds in which the ports must have closed."""

MARGIN = 5.0
"""Seconds that a scope has to close beyond its own limits, which should have closed it."""


class Drain:
    """One drain, from the call for it to its end.

    Args:
        in_flight: what is drained. Call `look` whenever a part of it has ended.
        clock: measures the time.
        plan: what the drain does.
        begin: called when new requests are turned away from now on.
        opened: returns how many scopes have ever been opened.

    Raises:
        RuntimeError: this is another thread than the reactor's.
    """

    def __init__(
        self,
        in_flight: InFlight,
        clock: IReactorTime,
        plan: Plan,
        begin: Callable[[], object],
        opened: Callable[[], int],
    ) -> None:
        check_clocks_thread(clock, "monitor.drain")
        self._in_flight, self._clock, self._plan = in_flight, clock, plan
        self._begin, self._opened = begin, opened
        self._deadline = clock.seconds() + plan.delay + plan.seconds
        self._waiting: list[Deferred[None]] = []
        self._has_begun = self._is_done = False
        self._awaited: tuple[Callable[[], bool], Deferred[None]] | None = None
        # The scopes that must close; some may have closed.
        self._closing: list[Scope] = []
        self._exit_after = 0.0
        self._exit_limit: ExitLimit | None = None

    def remaining(self) -> float:
        """Seconds until the drain cancels what is left."""
        return max(0.0, self._deadline - self._clock.seconds())

    def run(self, exit_after: float | None) -> Deferred[None]:
        """Begin, unless it has begun; returns a new Deferred that fires at the end of the drain.

        Cancelling the Deferred ends only the wait.

        Args:
            exit_after: seconds that the process has to exit after the drain; the first counts.
        """
        if exit_after is not None and self._exit_limit is None:
            self._exit_after = exit_after
            self._exit_limit = ExitLimit(
                partial(holders_of, self._in_flight, self._clock),
                partial(exit_signal_of, self._clock),
            )
            # The ports may still have to close.
            self._limit_exit(exit_after if self._is_done else self._exit_left() + CLOSE)
        if not self._has_begun:
            self._has_begun = True
            Deferred.fromCoroutine(self._run())
        return self._when_done()

    def _exit_left(self) -> float:
        return self._deadline + self._exit_after - self._clock.seconds()

    def _limit_exit(self, seconds: float) -> None:
        if self._exit_limit is not None:
            self._exit_limit.within(seconds)

    def _when_done(self) -> Deferred[None]:
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
        if self._exit_after < self._exit_left():
            self._limit_exit(self._exit_after)
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done.callback(None)

    def scope_opened(self, scope: Scope) -> None:
        """A request has come since the call: after a delay, it is the last of its connection."""
        if self._plan.delay > 0:
            guarded(announce_close, scope)

    async def _run(self) -> None:
        try:
            await self._delay()
            await self._close()
            self._deadline = self._clock.seconds() + self._plan.seconds
            self._limit_exit(self._exit_left())
            await self._serve_last()
            self._turn_away()
            await self._steps()
        except GeneratorExit:
            # The garbage collector has found a drain whose clock has stopped.
            raise
        except BaseException:
            # A request may be of a kind that raises when it is looked at.
            log.failure("the drain failed, and is over")
        self._done()

    async def _delay(self) -> None:
        if self._plan.delay > 0:
            # A client that uses its connection now connects elsewhere for its next request, before
            # requests here are turned away.
            self._make_open_last()
            await deferLater(self._clock, self._plan.delay)

    async def _close(self) -> None:
        if self._plan.close is not None:
            closed = maybeDeferred(self._plan.close).addTimeout(CLOSE, self._clock)
            await closed.addErrback(lambda why: log.failure("the ports did not close", why))

    async def _serve_last(self) -> None:
        """Serve the requests that are on their way on open connections, for up to a second."""
        # They are few: no client connects any more, and each answer closes its connection. Without
        # a function that closes the ports, new clients would be served as well.
        if self._plan.close is not None and self._plan.delay > 0:
            await until_quiet(self._clock, self._opened, self._clock.seconds())

    def _turn_away(self) -> None:
        self._begin()
        self._make_open_last()

    def _make_open_last(self) -> None:
        for scope in list(self._in_flight.scopes):
            guarded(make_last_on_connection, scope)

    async def _steps(self) -> None:
        await self._until(self._is_idle, self.remaining())
        await self._close_scopes()
        await self._until(self._is_nothing_detached, max(self.remaining(), CLEANUP_TIMEOUT))
        self._stop_detached()
        await self._until(self._is_nothing_detached, SURVIVOR_AFTER)
        for work in list(self._in_flight.detached.values()):
            log.warn("{work} is detached and still runs after the drain", work=work.describe())
        await until_quiet(self._clock, self._opened, self._deadline)
        write_counts(self._clock)

    async def _close_scopes(self) -> None:
        """Cancel the open scopes, and those that open meanwhile, until all have closed."""
        scopes = self._cancel_scopes()
        latest = self._clock.seconds() + max(map(limits_of, scopes), default=0.0) + MARGIN
        while scopes and self._clock.seconds() < latest:
            self._closing = scopes
            await self._until(self._are_closed, latest - self._clock.seconds())
            scopes = self._cancel_scopes()
        for scope in scopes:
            log_in(scope.context, log.warn, "{scope} is still open after the drain", scope=scope)

    def _is_idle(self) -> bool:
        return not self._in_flight.scopes and not self._in_flight.detached

    def _are_closed(self) -> bool:
        open_scopes = self._in_flight.scopes
        while self._closing and self._closing[-1] not in open_scopes:
            self._closing.pop()
        return not self._closing

    def _is_nothing_detached(self) -> bool:
        return not self._in_flight.detached

    def _cancel_scopes(self) -> list[Scope]:
        """Cancel the open scopes; returns those that must close."""
        for scope in list(self._in_flight.scopes):
            guarded(cancel, scope)
        # Nothing cancels scopes in a dry run, so a drain does not wait for them.
        return [scope for scope in self._in_flight.scopes if not scope.options.dry_run]

    def _stop_detached(self) -> None:
        for work in list(self._in_flight.detached.values()):
            work.clock = self._clock
            try:
                work.cancel()
            except BaseException:
                log.failure("the canceller {canceller} failed", canceller=work.describe())

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until a condition is true, which `look` tests, or for this many seconds."""
        if condition():
            return
        waiting: Deferred[None] = Deferred()
        timer = self._clock.callLater(seconds, waiting.callback, None)
        self._awaited = condition, waiting
        await waiting
        self._awaited = None
        if timer.active():
            timer.cancel()


def clock_of(scopes: Sequence[Scope]) -> IReactorTime:
    """The clock of the oldest scope, or the running reactor."""
    clock: IReactorTime = scopes[0].clock if scopes else global_reactor()
    return clock
