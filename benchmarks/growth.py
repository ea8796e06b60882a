"""What a request costs while many others wait, and what it costs to stop them all.

Run it with `python benchmarks/growth.py`; it prints Markdown, and `--help` tells its options.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

from attrs import frozen
from contenders import REQUEST, Connection, Contender
from handlers import DeferredByHand, Stage, UnobservedDeferred, log_to_nobody
from measure import Runner, no_collector
from report import Parser, deliver, heading, table

PROGRAM = "growth.py"
OPEN = (1, 100, 20_000)
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
    grown = [each for name in MAKERS for each in growth(name, options)]
    report = f"{heading(PROGRAM, arguments)}\n\n{growth_table(grown)}"
    deliver(PROGRAM, report, options.write_readme)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(__doc__)
    parser.number("--rounds", 1000, "rounds of 5 requests to each")
    parser.number("--closed", 60_000, "how many waiting requests to stop, at least")
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
