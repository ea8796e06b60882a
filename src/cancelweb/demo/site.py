"""The demonstration's site: the page, the events that feed it, and the work."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from importlib.resources import files
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

from attrs import define, field
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.web.pages import forbidden
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site

from .. import CancellingResource, Outcome, Scope, cancel_on_disconnect
from .._http.request_facts import fate_of
from .._scopes.states import Fate
from ..monitor import Monitor, where_it_waits
from . import DOCS
from .tally import Tally, page_of
from .work import SECONDS, Tools, hop_of

LOOPBACK = "127.0.0.1"
HOSTS = (LOOPBACK, "localhost")
TICK = 0.25
"""Seconds between two events."""
ROWS = 100
"""How many requests the page lists at most."""
PORTS = 16
"""How many further ports serve the same: a browser opens six connections to each."""

POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    b"connect-src 'self' http://127.0.0.1:* http://localhost:*; frame-ancestors 'none'; "
    b"base-uri 'none'; form-action 'none'"
)


@define(eq=False)
class Demonstration:
    """The site, and the numbers on its pages.

    Attributes:
        tallies: the numbers of each page, and under no name those of other clients.
        ports: where the site listens.
    """

    reactor: Any
    tools: Tools
    monitor: Monitor = field(factory=Monitor)
    tallies: defaultdict[bytes, Tally] = field(factory=lambda: defaultdict(Tally))
    ports: list[int] = field(factory=list)

    @classmethod
    def start(cls, reactor: Any, seconds: float = SECONDS) -> Demonstration:
        """Prepare the site; each piece of work takes so many seconds."""
        demonstration = cls(reactor, Tools(reactor, seconds))
        demonstration.monitor.add_observer(demonstration.note)
        return demonstration

    async def listen(self, port: int) -> int:
        """Listen on a port of loopback, and on further ports; returns the first.

        Raises:
            twisted.internet.error.CannotListenError: the port is taken.
        """
        site = self.site()
        for number in (port, *[0] * PORTS):
            endpoint = TCP4ServerEndpoint(self.reactor, number, interface=LOOPBACK)
            self.ports.append((await endpoint.listen(site)).getHost().port)
        return self.ports[0]

    def site(self) -> Site:
        """The page and its events; the work, cancelled below ``/on`` and not below ``/off``."""
        root, work = Root(self.ports), self.tools.resource()
        root.putChild(b"", Page())
        root.putChild(b"live", Live(self))
        for name, dry_run in ((b"on", False), (b"off", True)):
            wrapper: Any = CancellingResource(
                work, monitor=self.monitor, observers=(), dry_run=dry_run
            )
            root.putChild(name, wrapper)
        return Site(root, reactor=self.reactor)

    def note(self, outcome: Outcome) -> None:
        """Count how a request ended; an observer."""
        if hop_of(outcome.path) == 1:
            self.tallies[page_of(outcome.path)].note(outcome)

    @property
    def running(self) -> int:
        """How many requests are running."""
        return len(self.requests())

    def requests(self) -> list[Any]:
        """The clients' requests that are running."""
        requests: list[Any] = [scope.request for scope in self.monitor.scopes]
        return [each for each in requests if each is not None and hop_of(each.path) == 1]

    def state(self, page: bytes = b"") -> dict[str, object]:
        """What a page shows, except the CPU."""
        scopes, now, tally = self.monitor.scopes, self.reactor.seconds(), self.tallies[page]
        own = [each for each in self.requests() if page_of(each.path) == page]
        still = sum(fate_of(each) is not Fate.OPEN for each in own)
        return {
            "server": os.getpid(),
            "ports": self.ports[1:],
            "cores": os.cpu_count(),
            "running": self.running,
            "counts": tally.counts,
            "left": tally.left + still,
            "still": still,
            "slowest": tally.slowest,
            "rows": [row(scope, now) for scope in scopes[:ROWS]],
            "more": len(scopes[ROWS:]),
        }

    def cpu_seconds(self) -> float:
        """The CPU seconds of this process and of its children.

        The operating system counts a child when it has ended; until then, what it printed counts.
        """
        usages = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
        ended = sum(usage.ru_utime + usage.ru_stime for usage in usages)
        return ended + sum(self.tools.children.values())


def row(scope: Scope, now: float) -> dict[str, object]:
    """One request in the list."""
    request: Any = scope.request
    return {
        "kind": request.prepath[1].decode(),
        "hop": hop_of(request.path),
        "age": now - (now if scope.opened is None else scope.opened),
        "left": fate_of(request) is not Fate.OPEN,
        "where": where_it_waits(scope).rpartition(os.sep)[2],
    }


class Root(Resource):
    """Refuses requests that other sites' pages have the browser send: they could start work."""

    def __init__(self, ports: list[int]) -> None:
        super().__init__()
        self._ports = ports

    def getChildWithDefault(self, path: bytes, request: Any) -> IResource:
        """The child, if the request may have it."""
        # For errors and for the work, too: a frame would start it.
        request.setHeader(b"Content-Security-Policy", POLICY)
        hosts = request.requestHeaders.getRawHeaders(b"host", ())
        if len(hosts) > 1 or request.getRequestHostname().decode("latin-1") not in HOSTS:
            # A name of another site that leads here, as after DNS rebinding.
            address = f"http://{LOOPBACK}:{self._ports[0]}/"
            return forbidden(message=f"Open this page as {address}.")
        if path and not self._is_own(path, request):
            return forbidden(message="Only the demonstration's own page can use this.")
        child: IResource = super().getChildWithDefault(path, request)
        return child

    def _is_own(self, path: bytes, request: Any) -> bool:
        """Whether the request comes from the demonstration's page, or from no page at all."""
        origin, site = map(request.getHeader, (b"origin", b"sec-fetch-site"))
        if origin is None and site is None and path != b"live":
            # The page starts work on other ports, so a browser names its origin. Old browsers say
            # nothing of an image on a foreign page. All browsers call themselves Mozilla.
            return not (request.getHeader(b"user-agent") or b"").startswith(b"Mozilla/")
        if origin is None:
            return site not in (b"cross-site", b"same-site")
        own = [f"http://{host}:{port}".encode() for host in HOSTS for port in self._ports]
        if origin not in own:
            return False
        # The page is on one port and starts work on others, which are other origins.
        request.setHeader(b"Access-Control-Allow-Origin", origin)
        return True


class Page(Resource):
    """The page, a single file."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """Read the file each time: a change shows without a new start of the server."""
        request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
        page = files(__package__).joinpath("page.html").read_bytes()
        return page.replace(b"{{docs}}", DOCS.encode())


class Live(Resource):
    """Feeds the page with Server-Sent Events."""

    isLeaf = True

    def __init__(self, demonstration: Demonstration) -> None:
        super().__init__()
        self._demonstration = demonstration

    @cancel_on_disconnect(observers=())
    async def render_GET(self, request: Any) -> AsyncIterator[bytes]:
        """Send the state four times a second until the page is closed."""
        request.setHeader(b"Content-Type", b"text/event-stream")
        request.setHeader(b"Cache-Control", b"no-store")
        demonstration, reactor = self._demonstration, self._demonstration.reactor
        then, used = reactor.seconds(), demonstration.cpu_seconds()
        while True:
            await deferLater(reactor, TICK)
            now, using = reactor.seconds(), demonstration.cpu_seconds()
            state = demonstration.state(page_of(request.path))
            state["cpu"] = max(0.0, (using - used) / (now - then))
            then, used = now, using
            yield b"data: %b\n\n" % json.dumps(state).encode()
