"""How soon abandoned database work is gone, and whether anything else is hit.

Run it with `python benchmarks/abandoned_queries.py`; `--help` lists its options.

A site on a real port has clients begin database work without end, of seven kinds, and leave in the
middle. Meanwhile other clients query the same pool. `abandoned_kinds` has the databases and the
kinds. The program fails if another query was hit, if anything abandoned was committed, or if the
pool has lost a connection.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import Any

from abandoned_kinds import DATABASES, KINDS, Database
from attrs import define, field, frozen
from report import Parser, deliver, heading, table
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater, react
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from cancelweb import cancel_on_disconnect
from cancelweb.database import ConnectionPool

PROGRAM = "abandoned_queries.py"
TOGETHER = 8
"""The clients that are there at the same time, all of which leave."""
HONEST = 2
"""The other clients."""
STAY = 0.05
"""The seconds that a client stays, at most."""
AT_MOST = 0.5
"""Seconds in which abandoned work must be gone."""

COUNTED = ("database", "abandoned", "other queries", "hit", "half committed", "connections kept")


@frozen
class Storm:
    """What was found with one database.

    Attributes:
        name: of the database.
        seconds: by kind, how long after its client had left each work was gone.
        honest: the queries of the other clients.
        hit: those that failed, or had another's rows.
        committed: the abandoned clients of whose work something was committed.
        before: the connections of the pool before that.
        after: the connections after it.
    """

    name: str
    seconds: dict[str, list[float]]
    honest: int
    hit: int
    committed: int
    before: set[object]
    after: set[object]

    def faults(self) -> list[str]:
        """What must not be."""
        wrong = {
            f"{self.hit} other queries were hit": self.hit,
            f"{self.committed} were committed in part": self.committed,
            "its connections are not those it had": self.before != self.after,
        }
        return [f"{self.name}: {fault}" for fault, found in wrong.items() if found]


@define
class Abandoned(Resource):
    """Begins the work of a client, and notes when it is gone."""

    isLeaf = True

    database: Database
    pool: ConnectionPool
    over: dict[int, Deferred[float]] = field(factory=lambda: defaultdict(Deferred))
    begun: dict[int, Deferred[None]] = field(factory=lambda: defaultdict(Deferred))

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    @cancel_on_disconnect(observers=())
    async def render_GET(self, request: Request) -> bytes:
        """Work without end."""
        kind, client = (int(part) for part in request.path.decode().split("/")[1:])
        work = list(KINDS.values())[kind]
        try:
            query = work(self.database, self.pool, client)
            self.begun[client].callback(None)
            await query
        finally:
            self.over.pop(client).callback(now())
        return b""


@define
class Honest:
    """A client that leaves none of its queries, and looks at what they give."""

    database: Database
    pool: ConnectionPool
    number: int
    is_over: bool = False
    asked: int = 0
    hit: int = 0
    written: int = 0

    async def run(self) -> None:
        """Query until it is over."""
        while not self.is_over:
            self.asked += 1
            try:
                await self._query()
            except Exception as error:
                print(f"{self.database.name}: {error!r}", file=sys.stderr)
                self.hit += 1
            await sleep(0.001)

    async def _query(self) -> None:
        own = (self.number, self.asked)
        mark = self.database.mark
        if self.asked % 10 == 0:
            await self.pool.runInteraction(self._write)
            self.written += 2
        elif list(await self.pool.runQuery(f"SELECT {mark} + 0, {mark} + 0", own)) != [own]:
            raise AssertionError("the rows of another query")

    def _write(self, transaction: Any) -> None:
        for _ in range(2):
            statement = f"INSERT INTO honest VALUES ({self.database.mark})"
            transaction.execute(statement, (self.number,))


async def storm(database: Database, clients: int) -> Storm:
    """Have so many clients leave, while others stay."""
    pool = database.open(TOGETHER + HONEST)
    if not pool.running:
        pool.start()
    resource = Abandoned(database, pool)
    port = reactor().listenTCP(0, Site(resource), interface="127.0.0.1")
    honest = [Honest(database, pool, number) for number in range(HONEST)]
    try:
        await warm(pool)
        before = connections(database, pool)
        running = gatherResults([Deferred.fromCoroutine(each.run()) for each in honest])
        seconds = await leave(resource, port.getHost().port, clients)
        for each in honest:
            each.is_over = True
        await running
        await warm(pool)
        return result(database, honest, seconds, before, connections(database, pool))
    finally:
        await port.stopListening()
        pool.close()


def result(
    database: Database,
    honest: list[Honest],
    seconds: dict[str, list[float]],
    before: set[object],
    after: set[object],
) -> Storm:
    """What was found, also in the tables."""
    [(written,)] = database.ask("SELECT count(*) FROM honest")
    [(committed,)] = database.ask("SELECT count(DISTINCT client) FROM done")
    hit = sum(each.hit for each in honest) + abs(written - sum(each.written for each in honest))
    asked = sum(each.asked for each in honest)
    return Storm(database.name, seconds, asked, hit, committed, before, after)


async def warm(pool: ConnectionPool) -> None:
    """Have each thread of the pool open its connection: all are busy at once."""
    barrier = Barrier(pool.max)
    await gatherResults(
        [pool.runWithConnection(lambda _: barrier.wait(60)) for _ in range(pool.max)]
    )


def connections(database: Database, pool: ConnectionPool) -> set[object]:
    """The connections of the pool, and as the server knows them."""
    return set(map(id, pool.connections.values())) | database.connections()


async def leave(resource: Abandoned, port: int, clients: int) -> dict[str, list[float]]:
    """Have the clients come and leave, some at a time; how long their work was there after that."""
    seconds: dict[str, list[float]] = defaultdict(list)
    some = DeferredSemaphore(TOGETHER)

    async def client(number: int, kind: int) -> None:
        over, begun = resource.over[number], resource.begun[number]
        protocol = await connectProtocol(
            TCP4ClientEndpoint(reactor(), "127.0.0.1", port), Protocol()
        )
        protocol.transport.write(f"GET /{kind}/{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await begun
        await sleep(random.uniform(0, STAY))
        left = now()
        protocol.transport.abortConnection()
        seconds[list(KINDS)[kind]].append(await over - left)

    def begin(number: int, kind: int) -> Deferred[None]:
        return Deferred.fromCoroutine(client(number, kind))

    kinds = itertools.cycle(range(len(KINDS)))
    numbers = range(clients)
    await gatherResults(
        [some.run(begin, number, kind) for number, kind in zip(numbers, kinds, strict=False)]
    )
    return dict(seconds)


def reactor() -> Any:
    """The reactor of this process."""
    from twisted.internet import reactor

    return reactor


def now() -> float:
    """The reactor's time."""
    seconds: float = reactor().seconds()
    return seconds


def sleep(seconds: float) -> Deferred[None]:
    """Let the reactor run."""
    return deferLater(reactor(), seconds, lambda: None)


def report(storms: Sequence[Storm]) -> str:
    """The tables."""
    times = [
        (storm.name, kind, *figures(storm.seconds[kind]))
        for storm in storms
        for kind in KINDS
        if kind in storm.seconds
    ]
    counts = [
        (
            storm.name,
            str(sum(map(len, storm.seconds.values()))),
            f"{storm.honest:,}",
            number(storm.hit),
            number(storm.committed),
            "yes" if storm.before == storm.after else "**no**",
        )
        for storm in storms
    ]
    late = f"over {AT_MOST} s"
    return "\n\n".join(
        [
            table(["database", "work", "clients", "median s", "longest s", late], times),
            table(
                COUNTED,
                counts,
            ),
        ]
    )


def figures(seconds: list[float]) -> tuple[str, ...]:
    """How many, their median, the longest, and how many are late."""
    late = number(sum(each > AT_MOST for each in seconds))
    return str(len(seconds)), f"{median(seconds):.3f}", f"{max(seconds):.3f}", late


def number(bad: int) -> str:
    """A number that should be zero."""
    return f"**{bad}**" if bad else "0"


async def measure(clients: int, names: Sequence[str]) -> list[Storm]:
    """Have the clients leave, with each of the databases."""
    storms = []
    for name in names:
        with TemporaryDirectory(prefix="cancelweb-abandoned-") as directory:
            database = DATABASES[name]()
            database.start(Path(directory))
            try:
                storms.append(await storm(database, clients))
            finally:
                database.stop()
    return storms


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the tables."""
    parser = Parser(__doc__)
    parser.number("--clients", 1000, "how many clients leave, with each database")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    options = parser.parse_args(arguments)

    async def run() -> None:
        storms = await measure(options.clients, options.databases)
        made = heading(PROGRAM, arguments)
        faults = [fault for each in storms for fault in each.faults()]
        deliver(PROGRAM, f"{made}\n\n{report(storms)}", options.write_readme and not faults)
        if faults:
            sys.exit("\n".join(faults))

    react(lambda _: Deferred.fromCoroutine(run()))


if __name__ == "__main__":
    main(sys.argv[1:])
