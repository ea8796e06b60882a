"""The demonstration's course: a server process, its clients, and what is read from the server.

Real HTTP over real sockets. What the numbers mean is `report`'s business.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import ProcessProtocol, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import Agent, readBody

from .server import LOOPBACK
from .work import KINDS, PAUSE, SLICES

T = TypeVar("T")

WAITERS = 2
LEAVERS = 3
"""How many clients each kind of work has: those who wait for their answer, those who leave."""

PATIENCE = 10.0
"""Seconds until a client that waits, or work that should end, is given up."""


@frozen
class Result:
    """What became of one kind of work.

    Attributes:
        running_when_left: how many were running when the clients left, who are `LEAVERS`.
        cpu: seconds that the server and its children computed from then on.
    """

    started: int
    completed: int
    stopped: int
    running: int
    running_when_left: int
    cpu: float


@define(eq=False)
class Visit(Protocol):
    """One client that reads its answer."""

    begun: Deferred[None] = field(factory=Deferred)
    """Fires with the first bytes: the work has sent them."""
    over: Deferred[None] = field(factory=Deferred)
    """Fires when the connection is closed."""

    def dataReceived(self, data: bytes) -> None:
        """The work has begun."""
        if not self.begun.called:
            self.begun.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The answer is whole, or this client has left."""
        self.over.callback(None)

    def leave(self) -> None:
        """Close the connection."""
        assert self.transport is not None
        self.transport.loseConnection()


@define(eq=False)
class ServerProcess(ProcessProtocol):
    """A server in a process of its own. What it logs goes to this process's standard error."""

    port: Deferred[int] = field(factory=Deferred)
    ended: Deferred[None] = field(factory=Deferred)
    _printed: bytes = b""

    @classmethod
    def start(cls, reactor: Any, way: str) -> ServerProcess:
        """Start one."""
        server = cls()
        command = [sys.executable, "-m", "cancelweb.demo.server", way]
        child_fds = {0: "w", 1: "r", 2: 2}
        reactor.spawnProcess(server, command[0], command, env=None, childFDs=child_fds)
        return server

    def stop(self) -> Deferred[None]:
        """Have it end."""
        assert self.transport is not None
        self.transport.closeStdin()
        return self.ended

    def outReceived(self, data: bytes) -> None:
        """The number of its port: it listens."""
        self._printed += data
        if self._printed.endswith(b"\n"):
            self.port.callback(int(self._printed))

    def processEnded(self, reason: Failure) -> None:
        """Tell all who wait."""
        if not self.port.called:
            self.port.errback(reason)
        self.ended.callback(None)


@define(eq=False)
class Course:
    """One run of the demonstration against one server."""

    reactor: Any
    url: str
    _agent: Agent = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._agent = Agent(self.reactor)

    async def run(self) -> dict[str, Result]:
        """Send all clients; what became of each kind of work."""
        await self._all(self._wait(kind) for kind in KINDS for _ in range(WAITERS))
        return {kind: await self._abandon(kind) for kind in KINDS}

    async def _wait(self, kind: str) -> None:
        visit = await self._begin(kind)
        await visit.over

    async def _abandon(self, kind: str) -> Result:
        visits = await self._all(self._begin(kind) for _ in range(LEAVERS))
        before = await self._state()
        for visit in visits:
            visit.leave()
        await deferLater(self.reactor, SLICES * PAUSE)
        after = await self._settled(kind)
        running = before["counts"][kind]["running"]
        cpu = after["cpu"] - before["cpu"]
        return Result(**after["counts"][kind], running_when_left=running, cpu=cpu)

    async def _begin(self, kind: str) -> Visit:
        """Ask for work, and wait for its first sign of life."""
        response = await self._agent.request(b"GET", f"{self.url}/{kind}".encode())
        visit = Visit()
        response.deliverBody(visit)
        await visit.begun
        return visit

    async def _all(self, visits: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Wait for all; what fails or takes too long is missed in the server's counts."""
        waiting = [
            Deferred.fromCoroutine(visit).addTimeout(PATIENCE, self.reactor) for visit in visits
        ]
        results: Any = await DeferredList(waiting, consumeErrors=True)
        return [result for succeeded, result in results if succeeded]

    async def _settled(self, kind: str) -> Any:
        """The server's state once nothing of this kind runs any more, or patience is at an end."""
        give_up = self.reactor.seconds() + PATIENCE
        state = await self._state()
        while state["counts"][kind]["running"] and self.reactor.seconds() < give_up:
            await deferLater(self.reactor, PAUSE)
            state = await self._state()
        return state

    async def _state(self) -> Any:
        response = await self._agent.request(b"GET", f"{self.url}/state".encode())
        return json.loads(await readBody(response))


async def run(reactor: Any, way: str) -> dict[str, Result]:
    """Run the demonstration against a server of its own.

    Args:
        reactor: for the process and the sockets.
        way: ``with`` or ``without``.
    """
    server = ServerProcess.start(reactor, way)
    port = await server.port
    try:
        return await Course(reactor, f"http://{LOOPBACK}:{port}").run()
    finally:
        await server.stop()
