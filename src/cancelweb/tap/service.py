"""A server that drains when it is stopped, for `tap`. The only module that handles signals.

The monitor drains; this module does so after the ports have closed and before the reactor ends.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorFDSet, IReadDescriptor

from .._kinds.cancellers import global_reactor
from .._log import log
from ..monitor import Monitor

ACCEPTS = 5
"""How often each port is told to accept: one client the first time, then 20 more each time."""


class DrainingService(MultiService):
    """A web server that drains when it is stopped. Its other services are stopped after the drain.

    Args:
        web: the service that listens.
        monitor: the monitor of the served requests.
        seconds: how long requests in flight may go on.
    """

    def __init__(self, web: MultiService, monitor: Monitor, seconds: float) -> None:
        super().__init__()
        web.setServiceParent(self)
        self._web, self._monitor, self._seconds = web, monitor, seconds

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

    def stopService(self) -> Deferred[None]:
        """Drain, then stop.

        Twisted calls this in its ``before`` phase of the shutdown: it closes no connection until
        the returned Deferred has fired.
        """
        _stop_at_once_on_interrupt()
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        count = len(self._monitor.scopes)
        log.info(
            "stopping: {in_flight_text}; SIGINT stops at once",
            count=count,
            in_flight_text=_in_flight(count, self._seconds),
            seconds=self._seconds,
        )
        factories = [each.factory for each in self._web]
        for each in factories:
            # This counts as one more port: a Site that is stopped no longer writes its access log.
            each.doStart()
        # Close the ports first, so that the drain includes all clients that came in time.
        await DeferredList([_stop_listening(self._web)])
        await self._monitor.drain(self._seconds)
        for each in factories:
            each.doStop()
        await super().stopService()


def _in_flight(count: int, seconds: float) -> str:
    if count == 0:
        return "no requests in flight"
    requests = "1 request in flight has" if count == 1 else f"{count} requests in flight have"
    return f"{requests} {seconds:g} s to finish"


def _stop_listening(web: MultiService) -> Deferred[Any]:
    reactor: Any = global_reactor()
    # Twisted also closes ports in the next turn. This call comes first, because it is older.
    reactor.callLater(0, _accept_waiting_clients, _ports_of(reactor))
    return maybeDeferred(web.disownServiceParent)


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
