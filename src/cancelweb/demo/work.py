"""The demonstration's slow work: five resources, written as in any application with cancelweb.

None of them stops anything by hand. Their scopes do.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from attrs import Factory, define, field
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import deferLater
from twisted.web.client import URI, Agent, ResponseFailed, readBody
from twisted.web.http import BAD_GATEWAY
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.resource import Resource
from zope.interface import implementer

from .. import cancel_on_disconnect
from ..database import ConnectionPool
from ..processes import stream
from ..upstream import CancellingAgent

SECONDS = 10.0
"""How long the work takes. A query takes as long as the machine needs for its rows."""
ROWS = 6_000_000
"""How many rows a query has for each second."""
HOPS = 3
"""How many requests a chain has, with the one of the client."""
TICK = 0.1
THREADS = 16

SQL = """
    WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < %d)
    SELECT sum(n) FROM counter
"""

CHILD = """
import time
for _ in range(%d):
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    print(time.process_time(), flush=True)
    time.sleep(0.1)
"""
"""A program that uses half of a CPU core, and prints the CPU seconds it has used so far."""

LONG_SQL = SQL % (ROWS * SECONDS)


@implementer(IAgentEndpointFactory)
@define(eq=False)
class Loopback:
    """Connects to an address, without the look-up of names that an agent begins with.

    A look-up that is cancelled fails with an error that says nothing of a cancellation.
    """

    reactor: Any

    def endpointForURI(self, uri: URI) -> TCP4ClientEndpoint:  # noqa: N802
        """The endpoint for a URI whose host is an address."""
        return TCP4ClientEndpoint(self.reactor, uri.host.decode(), uri.port)


@define(eq=False)
class Tools:
    """What the work needs.

    Attributes:
        reactor: for time, sockets and processes.
        seconds: how long the work takes.
        children: the CPU seconds that each running child process has printed last.
    """

    reactor: Any
    seconds: float = SECONDS
    children: dict[object, float] = field(factory=dict)
    agent: CancellingAgent = Factory(
        lambda self: CancellingAgent(
            Agent.usingEndpointFactory(self.reactor, Loopback(self.reactor))
        ),
        takes_self=True,
    )
    pool: ConnectionPool = Factory(lambda self: sqlite(self.reactor), takes_self=True)

    def resource(self) -> Resource:
        """A resource for each kind of work, under its name."""
        root = Resource()
        for kind in (Report, Process, Stream, Chain, Deadline):
            root.putChild(kind.__name__.lower().encode(), kind(self))
        return root


def sqlite(reactor: Any) -> ConnectionPool:
    """Databases in memory, one for each thread."""
    pool = ConnectionPool(
        "sqlite3", ":memory:", check_same_thread=False, cp_max=THREADS, cp_reactor=reactor
    )
    pool.threadpool.name = "SQLite"  # as the page names its threads
    return pool


class Job(Resource):
    """Starts one kind of work for each request."""

    isLeaf = True

    def __init__(self, tools: Tools) -> None:
        super().__init__()
        self.tools, self.pool = tools, tools.pool
        self.sql = SQL % (ROWS * tools.seconds)


class Report(Job):
    """A long query. SQLite runs it in a thread."""

    @cancel_on_disconnect
    async def render_GET(self, request: Any) -> bytes:
        """Run the query."""
        [[total]] = await self.pool.runQuery(self.sql)
        return b"%d\n" % total


class Deadline(Job):
    """A long query with a time limit. The page shows this code."""

    @cancel_on_disconnect(timeout=3)
    async def render_GET(self, request: Any) -> bytes:
        """Run the query."""
        [[total]] = await self.pool.runQuery(LONG_SQL)
        return b"%d\n" % total


class Process(Job):
    """A child process that computes."""

    @cancel_on_disconnect
    async def render_GET(self, request: Any) -> AsyncIterator[bytes]:
        """Send what the child process prints."""
        children, program = self.tools.children, CHILD % (5 * self.tools.seconds)
        async with aclosing(stream([sys.executable, "-I", "-S", "-c", program])) as output:
            try:
                async for printed in output:
                    children[output] = float(printed.split()[-1])
                    yield printed
            finally:
                # The operating system counts the CPU seconds of a child when it has ended.
                children.pop(output, None)


class Stream(Job):
    """A response that the handler sends bit by bit."""

    @cancel_on_disconnect
    async def render_GET(self, request: Any) -> AsyncIterator[bytes]:
        """Compute a little, ten times a second."""
        for number in range(int(self.tools.seconds / TICK)):
            spend(TICK / 10)
            yield b"%d\n" % number
            await deferLater(self.tools.reactor, TICK)


class Chain(Job):
    """A request that makes a request. The last in the chain is a report."""

    @cancel_on_disconnect
    async def render_GET(self, request: Any) -> bytes:
        """Wait for the next in the chain."""
        hop = hop_of(request.path) + 1
        place = request.getHost().port, request.prepath[0], b"chain" if hop < HOPS else b"report"
        url = b"http://127.0.0.1:%d/%b/%b/%d" % (*place, hop)
        try:
            return await readBody(await self.tools.agent.request(b"GET", url))
        except ResponseFailed:
            request.setResponseCode(BAD_GATEWAY)
            return b"The next server has gone.\n"


def hop_of(path: bytes) -> int:
    """The place in its chain of a request with this path; 1 for the client's own."""
    last = path.rpartition(b"/")[2]
    return int(last) if last in (b"2", b"3") else 1


def spend(seconds: float) -> None:
    """Compute for so many CPU seconds."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
