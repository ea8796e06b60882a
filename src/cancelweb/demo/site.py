"""The demonstration's page and what feeds it, for ``python -m cancelweb --serve``.

The page starts `jobs` and leaves them; what it shows of them is what a `Monitor` knows.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from importlib.resources import files
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

from attrs import define, field
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import Site

from .. import CancellingResource, Outcome, Scope, cancel_on_disconnect
from .._http.request_facts import fate_of
from .._scopes.states import Fate
from ..monitor import Monitor, where_it_waits
from .jobs import Jobs, hop_of
from .server import LOOPBACK

TICK = 0.25
"""Seconds from one message to the next."""
ROWS = 100
"""How many requests the page lists at most."""
PORTS = 16
"""A browser opens only six connections to one port; all these serve the same."""

POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    b"img-src data:; connect-src 'self' http://127.0.0.1:* http://localhost:*"
)


@define(eq=False)
class Demonstration:
    """What the page shows: the requests of a monitor, and the CPU that they take.

    Attributes:
        ports: where a browser may send requests for work.
        slowest: the longest that work took to stop, in seconds.
    """

    reactor: Any
    jobs: Jobs
    monitor: Monitor = field(factory=Monitor)
    ports: list[int] = field(factory=list)
    slowest: float = 0.0

    @classmethod
    def start(cls, reactor: Any) -> Demonstration:
        """Have one, with the work that it can start."""
        demonstration = cls(reactor, Jobs(reactor))
        demonstration.monitor.add_observer(demonstration.note)
        return demonstration

    def note(self, outcome: Outcome) -> None:
        """Note how long the work took to stop; an observer."""
        if outcome.cancelled is not None:
            self.slowest = max(self.slowest, outcome.stopped - outcome.cancelled)

    def site(self) -> Site:
        """The page, its messages, and the work: cancelled under ``/on``, not so under ``/off``."""
        root, work = Resource(), self.jobs.root()
        root.putChild(b"", Page())
        root.putChild(b"live", Live(self))
        for name, dry_run in ((b"on", False), (b"off", True)):
            wrapped: Any = CancellingResource(
                work, monitor=self.monitor, observers=(), dry_run=dry_run
            )
            root.putChild(name, wrapped)
        return Site(root, reactor=self.reactor)

    async def listen(self, port: int) -> int:
        """Listen on loopback, and on further ports that the system chooses; the first of all.

        Raises:
            twisted.internet.error.CannotListenError: the port is taken.
        """
        site = self.site()
        for number in (port, *[0] * PORTS):
            listening = await TCP4ServerEndpoint(self.reactor, number, interface=LOOPBACK).listen(
                site
            )
            self.ports.append(listening.getHost().port)
        return self.ports.pop(0)

    def state(self) -> dict[str, object]:
        """All that the page shows, but for the CPU."""
        totals, scopes = self.monitor.totals, self.monitor.scopes
        for_nobody = sum(self.monitor.would_have_cancelled.values())
        ended = {
            name: sum(number for (_, ended), number in totals.items() if ended == name)
            for name in ("completed", "stopped", "failed", "survived")
        }
        return {
            "ports": self.ports,
            "running": len(scopes),
            "answered": ended["completed"] - for_nobody,
            "stopped": ended["stopped"],
            "for_nobody": for_nobody,
            "trouble": ended["failed"] + ended["survived"],
            "slowest": self.slowest,
            "rows": [row(scope, self.reactor.seconds()) for scope in scopes[:ROWS]],
        }

    def cpu_seconds(self) -> float:
        """CPU seconds of this process and of its children.

        The operating system counts a child when it has ended; until then its own word goes.
        """
        usages = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
        ended = sum(usage.ru_utime + usage.ru_stime for usage in usages)
        return ended + sum(self.jobs.children.values())


def row(scope: Scope, now: float) -> dict[str, object]:
    """One request in the list."""
    way, kind = scope.request.prepath[:2]
    return {
        "kind": kind.decode(),
        "hop": hop_of(scope.request),
        "cancelling": way == b"on",
        "age": now - (now if scope.opened is None else scope.opened),
        "left": fate_of(scope.request) is not Fate.OPEN,
        "where": where_it_waits(scope).rpartition(os.sep)[2],
    }


class Page(Resource):
    """The page; all of it is in one file."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """Read it anew: whoever changes it need not start the server again."""
        request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
        request.setHeader(b"Content-Security-Policy", POLICY)
        return files(__package__).joinpath("page.html").read_bytes()


class Live(Resource):
    """Tells the page what goes on, in Server-Sent Events."""

    isLeaf = True

    def __init__(self, demonstration: Demonstration) -> None:
        super().__init__()
        self._demonstration = demonstration

    @cancel_on_disconnect(observers=())
    async def render_GET(self, request: Any) -> AsyncIterator[bytes]:
        """Tell it four times a second, until the page is closed."""
        request.setHeader(b"Content-Type", b"text/event-stream")
        request.setHeader(b"Cache-Control", b"no-store")
        demonstration, reactor = self._demonstration, self._demonstration.reactor
        then, used = reactor.seconds(), demonstration.cpu_seconds()
        while True:
            await deferLater(reactor, TICK)
            now, using = reactor.seconds(), demonstration.cpu_seconds()
            busy = max(0.0, (using - used) / (now - then))
            then, used = now, using
            state = {**demonstration.state(), "cpu": busy, "cores": os.cpu_count()}
            yield b"data: %b\n\n" % json.dumps(state).encode()
