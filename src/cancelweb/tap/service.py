"""A server that drains when it is stopped: for `tap`, and the one place that touches signals.

What a drain is, the monitor knows; here it is put between the ports and the end of the reactor.
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
"""How often a port is told to accept. It does so for one client, then for 20 more each time."""


class DrainingService(MultiService):
    """A web server that drains when it is stopped; what else is in it is stopped after that.

    Args:
        web: listens.
        monitor: of what is served.
        seconds: how long requests in flight may go on.
    """

    def __init__(self, web: MultiService, monitor: Monitor, seconds: float) -> None:
        super().__init__()
        web.setServiceParent(self)
        self._web, self._monitor, self._seconds = web, monitor, seconds

    def startService(self) -> None:
        """See `IService`.

        Raises:
            SystemExit: with status 1 and one line: a port cannot be listened on, or a log cannot be
                written. (twistd has called ``privilegedStartService``, whose errors it logs.)
        """
        try:
            super().startService()
        except (CannotListenError, OSError, OverflowError) as error:
            raise SystemExit(f"cancelweb: cannot start: {error}") from error

    def stopService(self) -> Deferred[None]:
        """Drain, and stop.

        This is a trigger of ``before`` the shutdown: Twisted loses no connection before the
        Deferred that is returned has fired.
        """
        _stop_at_once_on_interrupt()
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        count = len(self._monitor.scopes)
        log.info(
            "stopping: {in_flight_text} {seconds:g} s to finish; SIGINT stops at once",
            count=count,
            in_flight_text="1 request in flight has"
            if count == 1
            else f"{count} requests in flight have",
            seconds=self._seconds,
        )
        factories = [each.factory for each in self._web]
        for each in factories:
            # As one port more: a Site that is stopped no longer writes its access log.
            each.doStart()
        # First, so that the drain knows of all who came in time.
        await DeferredList([_stop_listening(self._web)])
        await self._monitor.drain(self._seconds)
        for each in factories:
            each.doStop()
        await super().stopService()


def _stop_listening(web: MultiService) -> Deferred[Any]:
    reactor: Any = global_reactor()
    # Twisted closes ports in the next turn, too. This comes first.
    reactor.callLater(0, _accept_who_waits, _ports_of(reactor))
    return maybeDeferred(web.disownServiceParent)


def _ports_of(reactor: object) -> list[IReadDescriptor]:
    if not IReactorFDSet.providedBy(reactor):
        return []
    return [each for each in reactor.getReaders() if IListeningPort.providedBy(each)]


def _accept_who_waits(ports: Iterable[IReadDescriptor]) -> None:
    """Accept the clients whom the kernel has let in: a port that is closed resets them."""
    for port in ports:
        for _ in range(ACCEPTS):
            if port.fileno() >= 0:
                port.doRead()


def _stop_at_once_on_interrupt() -> None:
    # Told a second time, Twisted only logs that it is not running any more, and goes on waiting.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, _go_on)


def _go_on(*_: object) -> None:
    """Do what was begun: to be told again to stop changes nothing."""
