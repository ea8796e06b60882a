"""The work that the demonstration's page can start: slow, and in four kinds.

Written as in any application with `cancelweb.database`, `processes` and `upstream`. Nothing here
stops anything; the scope in which it runs does.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from attrs import define, field
from twisted.internet.task import deferLater
from twisted.web.client import Agent, readBody
from twisted.web.resource import Resource

from ..database import ConnectionPool
from ..processes import stream
from ..upstream import CancellingAgent
from .work import spend

SECONDS = 10
"""How long a child and a stream go on. A report, which computes as fast as it can, takes less."""
ROWS = 12_000_000
HOPS = 3
LATER_HOPS = [b"%d" % hop for hop in range(2, HOPS + 1)]
THREADS = 16

SQL = """
    WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < ?)
    SELECT sum(n) FROM counter
"""

CHILD = f"""
import time
for _ in range({SECONDS * 5}):
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    print(time.process_time(), flush=True)
    time.sleep(0.1)
"""
"""A program that computes half of the time, and tells the CPU seconds it has used so far."""


@define(eq=False)
class Jobs:
    """What all kinds of work need.

    Attributes:
        reactor: for time, sockets and processes.
        children: CPU seconds that each child that runs has told of.
    """

    reactor: Any
    children: dict[object, float] = field(factory=dict)
    _agent: CancellingAgent = field(init=False)
    _pool: ConnectionPool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._agent = CancellingAgent(Agent(self.reactor))
        self._pool = ConnectionPool(
            "sqlite3", ":memory:", check_same_thread=False, cp_max=THREADS, cp_reactor=self.reactor
        )

    async def report(self, request: Any) -> bytes:
        """Have SQLite add up many rows, in a thread of the pool."""
        ((total,),) = await self._pool.runQuery(SQL, (ROWS,))
        return b"%d\n" % total

    async def process(self, request: Any) -> AsyncIterator[bytes]:
        """Have a child process compute, and pass on what it tells."""
        async with aclosing(stream([sys.executable, "-I", "-S", "-c", CHILD])) as output:
            try:
                async for told in output:
                    self.children[output] = float(told.split()[-1])
                    yield told
            finally:
                # From now on the operating system has its CPU seconds.
                self.children.pop(output, None)

    def stream(self, request: Any) -> AsyncIterator[bytes]:
        """Send the ticks."""
        return ticks(self.reactor)

    async def chain(self, request: Any) -> bytes:
        """Ask the next server, which is this one; the last of them makes a report."""
        hop = hop_of(request)
        if hop == HOPS:
            return await self.report(request)
        path = b"/".join(request.prepath[:2])
        url = b"http://127.0.0.1:%d/%b/%d" % (request.getHost().port, path, hop + 1)
        return await readBody(await self._agent.request(b"GET", url))

    def root(self) -> Resource:
        """A page for each kind of work, under its name."""
        root = Resource()
        for start in (self.report, self.process, self.stream, self.chain):
            root.putChild(start.__name__.encode(), Job(start))
        return root


def hop_of(request: Any) -> int:
    """Which server of a chain a request asks: the first, unless its path says another."""
    asked = request.postpath[0] if request.postpath else b""
    return int(asked) if asked in LATER_HOPS else 1


async def ticks(reactor: Any) -> AsyncIterator[bytes]:
    """Compute a little, ten times a second."""
    for number in range(10 * SECONDS):
        spend(0.01)
        yield b"%d\n" % number
        await deferLater(reactor, 0.1)


class Job(Resource):
    """Starts one kind of work for each request."""

    isLeaf = True

    def __init__(self, start: Any) -> None:
        super().__init__()
        self._start = start

    def render_GET(self, request: Any) -> object:
        """Start it. The page that asks is on another port, which is another origin."""
        request.setHeader(b"Access-Control-Allow-Origin", b"*")
        request.setHeader(b"Cache-Control", b"no-store")
        return self._start(request)
