"""What a request costs while many others wait, what these hold, and what it costs to stop them.

Run it with `python benchmarks/growth.py`; it prints Markdown, and `--help` tells its options.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen
from contenders import REQUEST, Connection, Contender
from handlers import DecoratedDeferred, DeferredByHand, Stage, UnobservedDeferred, log_to_nobody
from measure import Runner, no_collector
from report import Parser, deliver, heading, table, yes_or_no

import cancelweb

PROGRAM = "growth.py"
OPEN = (1, 100, 20_000)
OURS = [
    tracemalloc.Filter(True, str(Path(cancelweb.__file__).with_name("*"))),
    tracemalloc.Filter(True, "<attrs generated * cancelweb.*"),
]
"""The code whose memory is counted: cancelweb's modules, and what attrs generates for them."""

BYTES_AT_MOST = 450

MAKERS = {"cancelweb": UnobservedDeferred, "a careful handler": DeferredByHand}


@frozen
class Growth:
    """Microseconds, medians.

    Attributes:
        name: whose they are.
        open: how many requests were waiting.
        request: those that one more request took.
        closing: those that it took to stop one of the waiting ones, when all left.
    """

    name: str
    open: int
    request: float
    closing: float


def main(arguments: Sequence[str]) -> None:
    """Measure, and print or write the table."""
    options = parse(arguments)
    log_to_nobody()
    held = memory(options.held)
    grown = [each for name in MAKERS for each in growth(name, options)]
    parts = [heading(PROGRAM, arguments), growth_table(grown), memory_table(held, options.held)]
    report = "\n\n".join(parts)
    deliver(PROGRAM, report, options.write_readme)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(__doc__)
    parser.number("--rounds", 1000, "rounds of 5 requests to each")
    parser.number("--closed", 60_000, "how many waiting requests to stop, at least")
    parser.number("--held", 10_000, "requests that wait while memory is looked at")
    parser.numbers("--open", OPEN, "how many requests wait")
    return parser.parse_args(arguments)


def growth(name: str, options: argparse.Namespace) -> list[Growth]:
    """One contender, with each of these numbers of requests waiting."""
    with no_collector():
        requests = time_requests(name, options.open, options.rounds)
        closings = [time_closing(name, each, options.closed) for each in options.open]
    return [Growth(name, *each) for each in zip(options.open, requests, closings, strict=True)]


def time_requests(name: str, open: Sequence[int], rounds: int) -> list[float]:
    """How long a request takes beside so many waiting ones, in turn."""
    contenders = [Contender.of(MAKERS[name], Stage.end_work) for _ in open]
    waiting = [wait(*each) for each in zip(contenders, open, strict=True)]
    runners = [Runner(contender, False) for contender in contenders]
    taken = [[runner.run(5) for runner in runners] for _ in range(rounds)]
    for connections in waiting:
        leave(connections)
    return [statistics.median(each) for each in zip(*taken, strict=True)]


def time_closing(name: str, open: int, closed: int) -> float:
    """How long it takes to stop one of so many requests, when all their clients leave."""
    contender = Contender.of(MAKERS[name], Stage.end_work)
    taken = []
    for _ in range(-(-closed // open)):
        connections = wait(contender, open)
        start = time.process_time()
        leave(connections)
        taken.append((time.process_time() - start) * 1e6 / open)
    return statistics.median(taken)


def wait(contender: Contender, open: int) -> list[Connection]:
    """Open so many connections, with a request on each that waits."""
    connections = [contender.connect() for _ in range(open)]
    for connection in connections:
        connection.send(REQUEST)
    return connections


def leave(connections: list[Connection]) -> None:
    """Break them all."""
    for connection in connections:
        connection.leave()


def memory(waiting: int) -> float:
    """The bytes that cancelweb's own code has allocated for each of so many requests that wait."""
    contender = Contender.of(DecoratedDeferred, Stage.end_work)
    connections = [contender.connect() for _ in range(waiting)]
    for connection in connections:
        contender.complete(connection, 1)
    tracemalloc.start()
    for connection in connections:
        connection.send(REQUEST)
    gc.collect()
    traces = tracemalloc.take_snapshot().filter_traces(OURS).traces
    tracemalloc.stop()
    return sum(trace.size for trace in traces) / waiting


def memory_table(held: float, waiting: int) -> str:
    """The table of what a waiting request holds."""
    header = ("bytes of cancelweb's, for a request that waits for its `Deferred`", "target", "met")
    row = (f"{held:,.0f}", f"≤ {BYTES_AT_MOST}", yes_or_no(held <= BYTES_AT_MOST))
    note = (
        f"{waiting:,} requests wait, each on a connection that has had a page before. Counted is "
        "what cancelweb's own lines have allocated, as tracemalloc sees it; what they have Twisted "
        "allocate is part of the bytes that `waiting.py` shows."
    )
    return f"{table(header, [row])}\n\n{note}"


def growth_table(grown: Sequence[Growth]) -> str:
    """The table of what requests cost while others wait; ratios are to the fewest that wait."""
    header = ("handler", "requests open", "µs a request", "ratio", "µs to stop one", "ratio")
    first = {each.name: each for each in reversed(grown)}
    rows = [
        (
            each.name,
            f"{each.open:,}",
            f"{each.request:.1f}",
            f"{each.request / first[each.name].request:.3f}",
            f"{each.closing:.1f}",
            f"{each.closing / first[each.name].closing:.3f}",
        )
        for each in grown
    ]
    return table(header, rows)


if __name__ == "__main__":
    main(sys.argv[1:])
