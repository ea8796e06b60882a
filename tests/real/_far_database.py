"""A database server that seems far away: a proxy that lets every connection but the first wait.

What belongs here: the proxy, a process of its own, which this module runs as a program; and a look
at whether the reactor turns meanwhile. What does not: what is asked of the database.
"""

import sys
from pathlib import Path
from typing import Any

from attrs import define, frozen
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.protocols.portforward import ProxyClientFactory, ProxyServer
from twisted.trial.unittest import TestCase

from .._servers import LOOPBACK, LoggedProcess, reactor

DELAY = 1.0
"""Seconds for which each connection but the first waits."""
TICK = 0.01


class Relay(ProxyServer):
    """A client's connection, relayed to the database once its time has come."""

    clientProtocolFactory = ProxyClientFactory

    def connectionMade(self) -> None:
        """Connect to the database, after the delay unless this is the first client."""
        transport: Any = self.transport
        transport.pauseProducing()
        factory: Any = self.factory
        client = self.clientProtocolFactory()
        client.setServer(self)
        reactor.callLater(factory.delay, reactor.connectUNIX, factory.path, client)
        factory.delay = DELAY


def serve(path: str) -> None:
    """Relay connections to a socket, and tell the port."""
    factory: Any = Factory.forProtocol(Relay)
    factory.path, factory.delay = path, 0
    port = reactor.listenTCP(0, factory, interface=LOOPBACK)
    print(f"port {port.getHost().port}", flush=True)
    reactor.run()


@frozen
class Proxy:
    """A proxy that runs, and the port on which it listens."""

    process: LoggedProcess
    port: int

    @classmethod
    async def start(cls, test: TestCase, path: Path) -> "Proxy":
        """Start a proxy to the server on this socket; it ends with the test."""
        process: Any = LoggedProcess()
        arguments = [sys.executable, "-m", __name__, str(path)]
        environment = {"PYTHONPATH": ":".join(sys.path)}
        reactor.spawnProcess(process, sys.executable, arguments, env=environment)
        test.addCleanup(process.stop)
        line = await process.log.expect(r"^port \d+$")
        return cls(process, int(line.split()[1]))


@define
class Ticks:
    """How often the reactor turns, of the times that it is asked to.

    Attributes:
        longest: The seconds of the longest pause between two ticks.
    """

    longest: float = 0

    def start(self, test: TestCase) -> None:
        """Tick until the test ends."""
        ticks = LoopingCall(self._tick, [reactor.seconds()])
        test.addCleanup(ticks.stop)
        ticks.start(TICK)

    def _tick(self, last: list[float]) -> None:
        now = reactor.seconds()
        self.longest = max(self.longest, now - last[0])
        last[0] = now


if __name__ == "__main__":
    serve(sys.argv[1])
