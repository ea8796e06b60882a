"""A crowd of clients in a process of its own, which ask, and leave when the test says so.

What belongs here: both ends of the pipe between a test and its crowd. What does not: what the
clients can do, which is in `_leavers`, and what a test wants to prove.

In another process they do not share the server's limit of open files, nor its traced memory.
"""

import resource
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from ..._servers import LOOPBACK, REPOSITORY, LoggedProcess, SelfSigned, Server, reactor
from .._leavers import AnyClient, Caller, Multiplexer

CLIENTS: dict[str, type[AnyClient]] = {each.__name__: each for each in (Caller, Multiplexer)}

AT_ONCE = 100
"""How many shake hands at a time; so many the server's queue can take."""


def allow_many_files() -> tuple[int, int]:
    """Let this process open as many files as possible, and return what the limits were."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    return before


class Crowd(LoggedProcess):
    """The test's end of the pipe to a crowd."""

    @classmethod
    def call(cls, test: TestCase, server: Server, client_class: type[AnyClient]) -> "Crowd":
        """Start a crowd for the length of a test.

        Args:
            test: The test, at whose end the crowd goes.
            server: The server that the crowd asks.
            client_class: The class of the clients, `Caller` or `Multiplexer`.
        """
        crowd = cls()
        arguments = [client_class.__name__, str(server.port)]
        if server.certificate is not None:
            arguments.append(str(server.certificate.certificate.parent))
        reactor.spawnProcess(
            crowd,
            sys.executable,
            [sys.executable, "-m", __name__, *arguments],
            env=None,
            path=str(REPOSITORY),
        )
        test.addCleanup(crowd.stop)
        return crowd

    async def do(self, command: str, *arguments: int) -> None:
        """Have the crowd do something, and wait until it is done; `Clients` has what it can do."""
        assert self.transport is not None
        self.log.lines.clear()
        self.transport.write(" ".join([command, *map(str, arguments)]).encode() + b"\n")
        # No timer: the reactor keeps those that were cancelled, which is not our memory to count.
        await self.log.expect("^done$", None)


class Clients:
    """The clients of the crowd, and what they can do."""

    def __init__(self, kind: str, port: str, certificate: str | None = None) -> None:
        self._class = CLIENTS[kind]
        self._endpoint: Any = TCP4ClientEndpoint(reactor, LOOPBACK, int(port), timeout=600)
        if certificate is not None:
            options = SelfSigned.at(Path(certificate)).trusting(*self._class.OFFERED)
            self._endpoint = wrapClientTLS(options, self._endpoint)
        self._there: list[AnyClient] = []

    async def ask(self, size: int) -> None:
        """Have this number of clients connect and ask."""
        numbers = iter(range(size))
        queues = [Deferred.fromCoroutine(self._ask(numbers)) for _ in range(AT_ONCE)]
        await gatherResults(queues)

    async def _ask(self, numbers: Any) -> None:
        for _ in numbers:
            connection = await self._connect()
            connection.ask("/")

    async def _connect(self) -> AnyClient:
        connection: AnyClient = await self._endpoint.connect(Factory.forProtocol(self._class))
        self._there.append(connection)
        return connection

    async def leave(self) -> None:
        """Have all clients leave, in one after another of their ways."""
        for number, connection in enumerate(self._there):
            connection.leave_by(self._class.WAYS[number % len(self._class.WAYS)])

    async def close(self) -> None:
        """Close what is still connected, and wait until all connections have ended."""
        for connection in self._there:
            if not connection.lost.called:
                connection.transport.abortConnection()
        for connection in self._there:
            await connection.lost
        self._there.clear()

    async def reset(self, streams: int) -> None:
        """Have one client, connected before or now, open streams and reset them."""
        connection = self._there[0] if self._there else await self._connect()
        assert isinstance(connection, Multiplexer)
        for number in range(streams):
            connection.reset(connection.get("/slow"))
            if number % 10 == 0:
                await connection.ping()
        await connection.ping()


class Commands(LineOnlyReceiver):
    """The crowd's end of the pipe."""

    delimiter = b"\n"

    def __init__(self, clients: Clients) -> None:
        self.over: Deferred[None] = Deferred()
        self._clients = clients

    def lineReceived(self, line: bytes) -> None:
        """Do what the line says, and tell when it is done."""
        name, *arguments = line.decode().split()
        done = Deferred.fromCoroutine(getattr(self._clients, name)(*map(int, arguments)))
        done.addCallbacks(self._tell, self._fail)

    def _tell(self, _: object) -> None:
        self.sendLine(b"done")

    def _fail(self, failure: Failure) -> None:
        if not self.over.called:
            self.over.errback(failure)

    def connectionLost(self, reason: Any = None) -> None:
        """End the crowd, as the test is over."""
        if not self.over.called:
            self.over.callback(None)


def main(_: object, *arguments: str) -> Deferred[None]:
    """Obey the test until the pipe is closed."""
    allow_many_files()
    commands = Commands(Clients(*arguments))
    StandardIO(commands)
    return commands.over


if __name__ == "__main__":
    react(main, sys.argv[1:])
