"""A server that drains when it is stopped, for `tap`. The only module that handles signals.

The monitor drains; this module does so after the ports have closed and before the reactor ends.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from attrs import frozen
from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorFDSet, IReadDescriptor

from .._kinds.cancellers import global_reactor
from .._log import log
from .._operating.exiting import ExitLimit
from .._operating.holding_up import holders_of
from ..monitor import Monitor

ACCEPTS = 5
"""How often each port is told to accept: one client the first time, then 20 more each time."""


@frozen
class Stop:
    """How long each step of a stop may take, in seconds.

    Attributes:
        delay: for new requests, which are served, each as the last one of its connection.
        drain: for requests in flight, after the delay.
        exit_after: for all else, until the process is ended.
    """

    delay: float
    drain: float
    exit_after: float

    @property
    def longest(self) -> float:
        """How long all of it may take, from the signal on."""
        return self.delay + self.drain + self.exit_after


class DrainingService(MultiService):
    """A web server that drains when it is stopped. Its other services are stopped after the drain.

    Args:
        web: the service that listens.
        monitor: the monitor of the served requests.
        stop: how long each step of the stop may take.
        handed_down: those of its services whose sockets other processes share.
    """

    def __init__(
        self, web: MultiService, monitor: Monitor, stop: Stop, handed_down: Sequence[IService] = ()
    ) -> None:
        super().__init__()
        web.setServiceParent(self)
        self._web, self._monitor, self._stop = web, monitor, stop
        self._handed_down = handed_down
        self._exit_limit: ExitLimit | None = None

    def startService(self) -> None:
        """See `IService`.

        Raises:
            SystemExit: a port cannot be listened on, or a log cannot be written. The status is 1,
                with one line. (twistd calls ``privilegedStartService`` first, and logs its errors.)
        """
        try:
            super().startService()
        except (CannotListenError, OSError, OverflowError) as error:
            raise SystemExit(f"cancelweb: cannot start: {error}") from error
        reactor: Any = global_reactor()
        reactor.callWhenRunning(self._handle_signals, reactor)

    def _handle_signals(self, reactor: Any) -> None:
        """Have the reactor handle the signals, and limit the exit even if it never gets to stop.

        For SIGINT the reactor sets its own handler only in place of Python's, which the plugin has
        removed.
        """
        for number, stop in (signal.SIGINT, reactor.sigInt), (signal.SIGTERM, reactor.sigTerm):
            if signal.getsignal(number) in (signal.SIG_DFL, stop):
                signal.signal(number, partial(self._told_to_stop, reactor, stop))

    def _told_to_stop(
        self, reactor: Any, stop: Callable[[int, object], object], number: int, frame: object
    ) -> None:
        _stop_at_once_on_interrupt()
        # The reactor may be blocked by a handler, or from here on by its log. Then no drain begins.
        holders = partial(holders_of, self._monitor.in_flight, reactor)
        self._exit_limit = ExitLimit(holders, lambda: number)
        self._exit_limit.within(self._stop.longest)
        stop(number, frame)

    def stopService(self) -> Deferred[None]:
        """Drain, then stop.

        Twisted calls this in its ``before`` phase of the shutdown: it closes no connection until
        the returned Deferred has fired.
        """
        _stop_at_once_on_interrupt()
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        count, stop = len(self._monitor.scopes), self._stop
        log.info(
            "stopping{delay_text}: {in_flight_text}; SIGINT stops at once",
            count=count,
            in_flight_text=_in_flight(count, stop.drain),
            seconds=stop.drain,
            delay=stop.delay,
            delay_text=f" in {stop.delay:g} s" if stop.delay else "",
        )
        factories = [each.factory for each in self._web]
        for each in factories:
            # This counts as one more port: a Site that is stopped no longer writes its access log.
            each.doStart()
        await self._leave_shared_sockets()
        if self._exit_limit is not None:
            # The drain has a limit of its own.
            self._exit_limit.withdraw()
        # The ports close first, so that the drain includes all clients that came in time.
        await self._monitor.drain(
            stop.drain, delay=stop.delay, exit_after=stop.exit_after, close=self._stop_listening
        )
        for each in factories:
            each.doStop()
        await super().stopService()

    async def _leave_shared_sockets(self) -> None:
        """Leave the clients that wait on a shared socket to the other processes, or the next one.

        The queue is the socket's: closing one of its descriptors resets no client.
        """
        for each in self._handed_down:
            await maybeDeferred(each.disownServiceParent)

    def _stop_listening(self) -> Deferred[Any]:
        reactor: Any = global_reactor()
        # Twisted also closes ports in the next turn. This call comes first, because it is older.
        reactor.callLater(0, _accept_waiting_clients, _ports_of(reactor))
        return maybeDeferred(self._web.disownServiceParent)


def _in_flight(count: int, seconds: float) -> str:
    if count == 0:
        return "no requests in flight"
    requests = "1 request in flight has" if count == 1 else f"{count} requests in flight have"
    return f"{requests} {seconds:g} s to finish"


def _ports_of(reactor: object) -> list[IReadDescriptor]:
    if not IReactorFDSet.providedBy(reactor):
        return []
    return [each for each in reactor.getReaders() if IListeningPort.providedBy(each)]


def _accept_waiting_clients(ports: Iterable[IReadDescriptor]) -> None:
    """Accept the clients that the kernel has already let in: closing a port resets them."""
    for port in ports:
        for _ in range(ACCEPTS):
            if port.fileno() >= 0:
                port.doRead()


def _stop_at_once_on_interrupt() -> None:
    # On a second signal, Twisted would only log that it is not running, and keep waiting.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, _keep_draining)


def _keep_draining(*_: object) -> None:
    """Ignore the signal: the drain is under way."""
