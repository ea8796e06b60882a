"""The demonstration on the command line: clients send requests, and leave before the answer.

Server and clients share a process and talk HTTP over loopback.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import ceil
from textwrap import fill
from typing import Any

from attrs import astuple, define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from . import DOCS, say
from .site import LOOPBACK, Demonstration
from .tally import Tally

KINDS = {
    "report": "SQLite query",
    "process": "child process",
    "stream": "stream",
    "chain": "chain of requests",
}
LEAVERS = 3
"""How many clients leave, for each kind of work."""
SECONDS = 0.6
"""How long the work takes."""
PAUSE = 0.1
"""How many seconds the work runs before its clients leave."""
PATIENCE = 30.0
"""How many seconds to wait for work to begin, and to end."""

WIDTH = 80
ROW = "{:<18} {:>5} {:>8} {:>8}     {:>5} {:>8} {:>8}"

INTRODUCTION = f"""\
A web server on loopback does slow work, and its clients leave before the end.
For each kind of work, {LEAVERS} clients send a request and close their connections:
first with cancelweb, then with cancelweb switched off (a dry run).

Compare the CPU columns. They show the CPU seconds that the work used after its
clients had left. This takes about 10 seconds.

{"with cancelweb":>41}     {"switched off":>23}
{ROW.format("work", *("left", "stopped", "CPU") * 2)}"""

OTHERS = (
    "A client that waits is answered as usual. A query with a deadline, "
    "@cancel_on_disconnect(timeout=3), is stopped after 3 s, and its client receives "
    "503 Service Unavailable."
)
NEXT = f"""\
Try it in a browser:     python -m cancelweb --serve
Read the documentation:  {DOCS}"""


def tenths(number: float) -> float:
    """Round a number as the table does, so that its rows add up."""
    return round(number, 1)


@frozen
class Result:
    """What became of the requests that clients left.

    Attributes:
        left: how many were running when their clients left.
        stopped: how many were stopped.
        stuck: how many did not end.
        cpu: the CPU seconds used from then on, rounded.
    """

    left: int
    stopped: int
    stuck: int
    cpu: float = field(converter=tenths)

    @classmethod
    def total(cls, results: Iterable[Result]) -> Result:
        """The sum of several results."""
        return cls(*map(sum, zip(*map(astuple, results), strict=True)))

    def cells(self) -> tuple[int, int, str]:
        """What the table shows."""
        return self.left, self.stopped, f"{self.cpu:.1f} s"


Results = Mapping[str, tuple[Result, Result]]
"""For each kind of work: with cancelweb, and with cancelweb switched off."""


@define(eq=False)
class Client(Protocol):
    """One client.

    Attributes:
        path: what it asks for.
        answered: fires with the answer when the connection is closed.
    """

    path: str
    answered: Deferred[bytes] = field(factory=Deferred)
    _received: bytes = b""

    def connectionMade(self) -> None:
        """Send the request."""
        assert self.transport is not None
        self.transport.write(f"GET {self.path} HTTP/1.0\r\nHost: {LOOPBACK}\r\n\r\n".encode())

    def dataReceived(self, data: bytes) -> None:
        """Keep the answer."""
        self._received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The answer is complete, or the client has left."""
        self.answered.callback(self._received)

    def leave(self) -> None:
        """Close the connection."""
        assert self.transport is not None
        self.transport.loseConnection()


@define(eq=False)
class Tour:
    """A visit to the demonstration's site.

    Attributes:
        patience: after how many seconds work that does not end counts as still running.
    """

    demonstration: Demonstration
    port: int
    patience: float = PATIENCE

    @classmethod
    async def start(cls, reactor: Any) -> Tour:
        """Serve the site."""
        demonstration = Demonstration.start(reactor, SECONDS)
        return cls(demonstration, await demonstration.listen(0))

    @property
    def tally(self) -> Tally:
        """The numbers of these clients."""
        return self.demonstration.tallies[b""]

    async def ask(self, path: str) -> Client:
        """Send a request."""
        endpoint = TCP4ClientEndpoint(self.demonstration.reactor, LOOPBACK, self.port)
        client = Client(path)
        await connectProtocol(endpoint, client)
        return client

    async def wait(self, path: str) -> str:
        """Send a request and wait for the answer; returns its status."""
        answer = await (await self.ask(path)).answered
        return answer.partition(b"\r\n")[0].decode().partition(" ")[2]

    async def leave(self, path: str) -> Result:
        """Have some clients send a request, and leave while it runs."""
        demonstration = self.demonstration
        clients = [await self.ask(path) for _ in range(LEAVERS)]
        await self.until(LEAVERS, PATIENCE)
        left, stopped = demonstration.running, self.tally.counts["stopped"]
        cpu = demonstration.cpu_seconds()
        for client in clients:
            client.leave()
        await self.until(0, self.patience)
        stopped = self.tally.counts["stopped"] - stopped
        return Result(left, stopped, demonstration.running, demonstration.cpu_seconds() - cpu)

    async def until(self, running: int, patience: float) -> None:
        """Wait until so many requests are running, or patience is at an end."""
        reactor = self.demonstration.reactor
        end = reactor.seconds() + patience
        await deferLater(reactor, PAUSE)
        while self.demonstration.running != running and reactor.seconds() < end:
            await deferLater(reactor, PAUSE)


async def give(reactor: Any) -> None:
    """Give the tour, and print what it shows.

    Raises:
        SystemExit: with status 1, if something was not as it should be.
    """
    say(INTRODUCTION)
    tour, results = await Tour.start(reactor), {}
    for kind, name in KINDS.items():
        pair = await tour.leave(f"/on/{kind}"), await tour.leave(f"/off/{kind}")
        say(row(name, *pair))
        results[name] = pair
    on, off = map(Result.total, zip(*results.values(), strict=True))
    say(row("all", on, off))
    statuses = await tour.wait("/on/report"), await tour.wait("/on/deadline")
    if problems := [*find_problems(results), *find_wrong(statuses)]:
        raise SystemExit("\n".join(["", "This is not as it should be:", *problems]))
    say(f"\n{conclusion(on, off, tour.tally.slowest)}\n\n{NEXT}")


def row(name: str, on: Result, off: Result) -> str:
    """A line of the table."""
    return ROW.format(name, *on.cells(), *off.cells())


def conclusion(on: Result, off: Result, slowest: float) -> str:
    """What the numbers show."""
    numbers = (
        f"With cancelweb, {on.stopped} of {on.left} requests stopped, each within "
        f"{ceil(1000 * slowest)} ms. Switched off, {off.left - off.stopped} ran on and used "
        f"{off.cpu:.1f} s of CPU for responses that no client received."
    )
    return f"{fill(numbers, WIDTH)}\n\n{fill(OTHERS, WIDTH)}"


def find_problems(results: Results) -> Iterator[str]:
    """Name work that proves nothing, and work that cancelweb did not stop."""
    for name, (on, off) in results.items():
        for way, result in (("with cancelweb", on), ("switched off", off)):
            if result.left < LEAVERS:
                running = f"{result.left} of {LEAVERS} were running"
                yield f"{name}, {way}: {running} when the clients left"
        if on.stopped < on.left:
            stopped = f"{on.stopped} of {on.left} stopped"
            yield f"{name}, with cancelweb: {stopped}, {on.stuck} still running"


def find_wrong(statuses: tuple[str, str]) -> Iterator[str]:
    """Name answers that clients should not have received."""
    for expected, status in zip(("200 OK", "503 Service Unavailable"), statuses, strict=True):
        if status != expected:
            yield f"a client received {status!r} instead of {expected!r}"
