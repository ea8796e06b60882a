"""How long the status page takes to render, and how large it is, with many requests in flight.

Run it with `python benchmarks/rendering.py`; it prints Markdown, and `--help` lists its options.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from attrs import define, field, frozen
from contenders import Connection
from handlers import discard_log
from measure import no_collector
from report import Parser, Spread, deliver, heading, spread, table, yes_or_no
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from cancelweb import CancellingResource
from cancelweb.monitor import Monitor
from cancelweb.status._look import INTERVAL, Look

PROGRAM = "rendering.py"
MANY = (0, 100, 1_000, 10_000)
HANDLERS = 20
"""How many handlers the site has; the page has as many groups of requests."""
ENDED = 300
"""How many paths were abandoned before, more than the page's tables hold."""
AT_MOST_MS, AT_MOST_KB = 5.0, 200.0
"""What a page may take with the most requests in flight."""


class Page(Resource):
    """A page whose handler waits three coroutines deep."""

    isLeaf = True

    async def render_GET(self, request: Request) -> bytes:
        """Wait for the rows."""
        return await self.rows()

    async def rows(self) -> bytes:
        """Wait for a query."""
        return await self.query()

    async def query(self) -> bytes:
        """Wait forever."""
        return await Deferred[bytes]()


@define(eq=False)
class Served:
    """A site with requests in flight, and with all rows that the page's lists can have.

    Attributes:
        number: how many requests are in flight.
    """

    number: int
    clock: Clock = field(factory=Clock)
    monitor: Monitor = field(factory=Monitor)
    _connections: list[Connection] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        root = Resource()
        for index in range(HANDLERS):
            root.putChild(b"page%d" % index, type(f"Page{index}", (Page,), {})())
        wrapped: Any = CancellingResource(root, monitor=self.monitor, timeout=3600, observers=())
        site = Site(wrapped, timeout=None, reactor=self.clock)
        for index in range(ENDED):
            connection = self._request(site, index)
            self.clock.advance(0.001)
            connection.leave()
        for index in range(self.number):
            self._connections.append(self._request(site, index))

    def _request(self, site: Site, index: int) -> Connection:
        connection = Connection(site)
        path = b"/page%d/orders/%d" % (index % HANDLERS, index)
        connection.send(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
        return connection


def by_hand(served: Served) -> Callable[[], bytes]:
    """A page by hand: a row for each request, with its path and its age."""

    def render() -> bytes:
        now = served.clock.seconds()
        rows = [
            f"<tr><td>{escape(scope.request.uri.decode())}</td><td>{now - scope.opened:.1f}</td>"
            for scope in served.monitor.scopes
            if scope.request is not None and scope.opened is not None
        ]
        return f"<!DOCTYPE html><table>{''.join(rows)}</table>".encode()

    return render


def status_page(served: Served) -> Callable[[], bytes]:
    """The status page, anew each time."""
    look, clock = Look(served.monitor), Clock()

    def render() -> bytes:
        # The clock of the requests would sort all their time limits.
        clock.advance(INTERVAL)
        return look.page(clock)

    return render


MAKERS = {"the status page": status_page, "a page by hand": by_hand}


@frozen
class Rendering:
    """Milliseconds of the processor's time.

    Attributes:
        number: how many requests were in flight.
        ours: what the status page took.
        theirs: what the page by hand took.
        ratio: ours by theirs, round by round.
        sizes: the sizes of both pages, in kB.
    """

    number: int
    ours: Spread
    theirs: Spread
    ratio: Spread
    sizes: tuple[float, float]


def main(arguments: Sequence[str]) -> None:
    """Measure, and print or write the table."""
    options = parse(arguments)
    discard_log()
    with no_collector():
        found = [measure(number, options.rounds) for number in options.requests]
    report = f"{heading(PROGRAM, arguments)}\n\n{rendering_table(found)}\n\n{notes(options.rounds)}"
    deliver(PROGRAM, report, options.write_readme)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(__doc__)
    parser.number("--rounds", 100, "how often each page is rendered")
    parser.numbers("--requests", MANY, "how many requests are in flight")
    return parser.parse_args(arguments)


def measure(number: int, rounds: int) -> Rendering:
    """Render both pages in turn, in random order."""
    served = Served(number)
    if len(served.monitor.scopes) != number:
        raise SystemExit(f"{len(served.monitor.scopes)} of {number} requests are in flight")
    renderers = {name: make(served) for name, make in MAKERS.items()}
    taken: dict[str, list[float]] = {name: [] for name in renderers}
    sizes = {name: len(render()) / 1000 for name, render in renderers.items()}
    order = list(renderers)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            taken[name].append(milliseconds_of(renderers[name]))
    ours, theirs = taken.values()
    ratios = (our / their for our, their in zip(ours, theirs, strict=True))
    ours_kb, theirs_kb = sizes.values()
    return Rendering(
        number, Spread.of(ours), Spread.of(theirs), Spread.of(ratios), (ours_kb, theirs_kb)
    )


def milliseconds_of(render: Callable[[], bytes]) -> float:
    """What a rendering takes of the processor's time."""
    start = time.process_time()
    render()
    return (time.process_time() - start) * 1e3


def rendering_table(found: Sequence[Rendering]) -> str:
    """The table of what it takes."""
    header = ("in flight", "by hand, ms", "kB", "status page, ms", "kB", "ratio", "target", "met")
    rows = [
        (
            f"{each.number:,}",
            spread(each.theirs, ".2f"),
            f"{each.sizes[1]:.1f}",
            spread(each.ours, ".2f"),
            f"{each.sizes[0]:.1f}",
            spread(each.ratio, ".2f"),
            *verdict(each),
        )
        for each in found
    ]
    return table(header, rows)


def verdict(rendering: Rendering) -> tuple[str, str]:
    """The target, and whether it is met; empty where there is none."""
    if rendering.number < max(MANY):
        return "", ""
    met = rendering.ours.median <= AT_MOST_MS and rendering.sizes[0] <= AT_MOST_KB
    return f"≤ {AT_MOST_MS:g} ms, {AT_MOST_KB:g} kB", yes_or_no(met)


def notes(rounds: int) -> str:
    """The notes below the table."""
    return (
        f"Milliseconds of the processor's time: medians of {rounds} rounds, with the quartiles "
        f"behind. The requests wait in {HANDLERS} handlers, three coroutines deep, and {ENDED} "
        "paths were abandoned before. The page by hand has a row for each request in flight, with "
        "its path and its age alone."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
