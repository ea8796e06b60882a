"""Server processes that share one listening socket, and clients that ask them without end.

What belongs here: handing a socket down as a supervisor does, and the clients. What does not:
supervisors, and what a test wants to prove.
"""

import os
import re
import socket
import sys
from collections.abc import Sequence
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from ..._servers import LOOPBACK, REPOSITORY, TWIST_CANCELWEB, LoggedProcess, reactor

PAGES = ("--class", "tests.operating._served.Pages")
LISTEN = ("--listen", "systemd:domain=INET:name=web")
HANDED_DOWN = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
CLIENTS = 20
"""How many clients ask without end."""

PAUSE = 0.01
"""Seconds between an answer and the client's next request: the servers need the CPU, too."""

EXEC = ("/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh")
"""A shell that becomes the command behind it, once it has said whose the sockets are."""


def listening(test: TestCase) -> socket.socket:
    """A socket of this process, which it never accepts from, for the length of a test."""
    shared = socket.create_server((LOOPBACK, 0), backlog=1000)
    test.addCleanup(shared.close)
    return shared


def hand_down(test: TestCase, descriptor: int, *command: str, **environment: str) -> LoggedProcess:
    """Start a command that has a descriptor as its descriptor 3."""
    process = LoggedProcess()
    reactor.spawnProcess(
        process,
        EXEC[0],
        [*EXEC, *command],
        env={**os.environ, **HANDED_DOWN, **environment},
        path=str(REPOSITORY),
        childFDs={0: "w", 1: "r", 2: "r", 3: descriptor},
    )
    test.addCleanup(process.stop)
    return process


async def start(
    test: TestCase,
    shared: socket.socket,
    *options: str,
    command: Sequence[str] = TWIST_CANCELWEB,
) -> LoggedProcess:
    """Start a server process on a socket, and wait until it serves."""
    process = hand_down(test, shared.fileno(), sys.executable, *command, *PAGES, *LISTEN, *options)
    await process.log.expect("serving at ")
    return process


def longest_stop(text: str) -> float:
    """Seconds that a stop may take with the options in a supervisor's configuration."""
    steps = {
        name: float(seconds) for name, seconds in re.findall(r"--([a-z-]+)=([\d.]+)(?!\S)", text)
    }
    return steps["drain-delay"] + steps["drain"] + steps["exit-after"]


class Asking(Protocol):
    """A connection with one request after the other, until one side says that it was the last.

    Attributes:
        answers: the statuses that have come.
        ended: fires when the connection is over, with what came of an answer that is missing; None
            if none is.
    """

    transport: Any

    def __init__(self, load: "Load", is_short: bool) -> None:
        self._load, self._received = load, b""
        self._headers = ["Connection: close"] if is_short else []
        self._is_waiting = False
        self._next: Any = None
        self.ended: Deferred[bytes | None] = Deferred()

    def connectionMade(self) -> None:
        """Ask for the first time."""
        self._ask()

    def _ask(self) -> None:
        self._next = None
        if self._load.is_over:
            self.transport.loseConnection()
            return
        lines = ["GET /quick HTTP/1.1", "Host: localhost", *self._headers, "", ""]
        self._is_waiting = True
        self.transport.write("\r\n".join(lines).encode())

    def dataReceived(self, data: bytes) -> None:
        """Count an answer when all of it is here, and ask again."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < int(re.findall(rb"(?i)content-length: (\d+)", head)[0]):
            return
        self._is_waiting, self._received = False, b""
        self._load.answered(int(head.split()[1]))
        if b"\r\nConnection: close" not in head:
            self._next = reactor.callLater(PAUSE, self._ask)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell what is missing."""
        if self._next is not None:
            self._next.cancel()
        self.ended.callback(self._received if self._is_waiting else None)


@define(eq=False)
class Load:
    """Clients that ask without end, each as soon as it was answered.

    Every second client connects for each request, so that each process gets some. A connection that
    stays open stays with its process.

    Attributes:
        port: where they ask.
        statuses: how many answers had each status.
        lost: what came in place of a whole answer.
        is_over: whether the clients stop after the answer that they wait for.
    """

    port: int
    statuses: dict[int, int] = Factory(dict)
    lost: list[object] = Factory(list)
    is_over: bool = False
    _waiting: list[tuple[int, Deferred[None]]] = Factory(list)
    _clients: list[Deferred[None]] = Factory(list)

    def begin(self, clients: int) -> None:
        """Have so many clients ask."""
        self._clients += [
            Deferred.fromCoroutine(self._client(is_short=bool(number % 2)))
            for number in range(clients)
        ]

    async def _client(self, is_short: bool) -> None:
        endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, self.port)
        while not self.is_over:
            try:
                connection: Any = await connectProtocol(endpoint, Asking(self, is_short))
            except Exception as error:
                self.lost.append(error)
                return
            missing = await connection.ended
            if missing is not None:
                self.lost.append(missing)
            await deferLater(reactor, PAUSE)

    def answered(self, status: int) -> None:
        """Count an answer."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        for entry in [each for each in self._waiting if each[0] <= self.count]:
            self._waiting.remove(entry)
            entry[1].callback(None)

    @property
    def count(self) -> int:
        """How many answers have come."""
        return sum(self.statuses.values())

    async def more(self, answers: int) -> None:
        """Wait for so many more answers."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append((self.count + answers, waiting))
        await waiting

    async def end(self) -> None:
        """Have the clients stop, and wait for the last answers."""
        self.is_over = True
        await gatherResults(self._clients)
