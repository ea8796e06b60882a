"""The demonstration's server, a process of its own: ``python -m cancelweb.demo.server WAY``.

The two ways to serve each kind of work, with cancelweb and without, and the page that tells how
far all work is and how much CPU the process and its children have used.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from .. import cancel_on_disconnect
from .work import KINDS, Run, State, finish

LOOPBACK = "127.0.0.1"


class Page(Resource):
    """Does one kind of work for each request; without cancelweb, so to its end.

    Attributes:
        runs: all work that was started here.
    """

    isLeaf = True

    def __init__(self, reactor: Any, kind: str) -> None:
        super().__init__()
        self.runs: list[Run] = []
        self._reactor = reactor
        self._start = KINDS[kind]

    def begin(self, request: Any) -> object:
        """Start the work."""
        run = Run()
        self.runs.append(run)
        return self._start(self._reactor, request, run)

    def render_GET(self, request: Any) -> object:
        """Start the work, and see to it that the response is finished when the work is done."""
        work = self.begin(request)
        if isinstance(work, AsyncIterator):
            work = _write_all(request, work)
        if isinstance(work, Coroutine):
            work = Deferred.fromCoroutine(work)
        if isinstance(work, Deferred):
            work.addCallback(lambda _: finish(request))
        return NOT_DONE_YET


class CancellingPage(Page):
    """Does the same, with cancelweb."""

    @cancel_on_disconnect
    def render_GET(self, request: Any) -> object:
        """Start the work and return it."""
        return self.begin(request)


async def _write_all(request: Any, chunks: AsyncIterator[bytes]) -> None:
    async for chunk in chunks:
        request.write(chunk)


WAYS: dict[str, type[Page]] = {"with": CancellingPage, "without": Page}


class StatePage(Resource):
    """Tells, as JSON, the CPU seconds used so far and how far the work of each page is."""

    isLeaf = True

    def __init__(self, pages: dict[str, Page]) -> None:
        super().__init__()
        self._pages = pages

    def render_GET(self, request: Any) -> bytes:
        """Look now."""
        counts = {kind: count(page.runs) for kind, page in self._pages.items()}
        runs = [run for page in self._pages.values() for run in page.runs]
        return json.dumps({"cpu": cpu_seconds(runs), "counts": counts}).encode()


def count(runs: list[Run]) -> dict[str, int]:
    """How many pieces of work have started, and what became of them."""
    states = [run.state for run in runs if run.state is not State.NEW]
    return {
        "started": len(states),
        "completed": states.count(State.COMPLETED),
        "stopped": states.count(State.STOPPED),
        "running": states.count(State.RUNNING),
    }


def cpu_seconds(runs: list[Run]) -> float:
    """User and system time of this process and of its children.

    The operating system counts in a child only when it has ended; until then, its own word goes.
    """
    usages = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
    ended = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return ended + sum(run.child_cpu for run in runs)


def make_site(reactor: Any, way: str) -> Site:
    """All pages of the server, served in one of the `WAYS`."""
    root = Resource()
    pages = {kind: WAYS[way](reactor, kind) for kind in KINDS}
    for kind, page in pages.items():
        root.putChild(kind.encode(), page)
    root.putChild(b"state", StatePage(pages))
    return Site(root, reactor=reactor)


@define(eq=False)
class _Control(Protocol):
    """Standard input and output: closed when the demonstration is over, or has died."""

    closed: Deferred[None] = field(factory=Deferred)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell."""
        self.closed.callback(None)


async def main(reactor: Any, way: str) -> None:
    """Serve on a free port, print its number, and go on until standard input is closed."""
    endpoint = TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK)
    port = await endpoint.listen(make_site(reactor, way))
    control = _Control()
    StandardIO(control).write(b"%d\n" % port.getHost().port)
    await control.closed


def log_to_stderr() -> None:
    """Show what goes wrong, and nothing else."""
    alarming = LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [alarming])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


if __name__ == "__main__":
    log_to_stderr()
    # A terminal interrupts us, too; but our end is that of the demonstration.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    react(main, sys.argv[1:])
