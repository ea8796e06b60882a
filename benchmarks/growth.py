"""Overhead of a request while many others wait, their memory, and the time it takes to stop them.

Run it with `python benchmarks/growth.py`; it prints Markdown, and `--help` lists its options.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field, frozen
from cases import wrapped_deferred
from contenders import REQUEST, Connection, Contender, MakeRoot
from handlers import DecoratedDeferred, DeferredByHand, Stage, UnobservedDeferred, discard_log
from measure import Runner, no_collector
from report import Parser, Spread, deliver, heading, spread, table, verdict, yes_or_no
from twisted.internet.defer import Deferred

import cancelweb

PROGRAM = "growth.py"
OPEN = (1, 100, 20_000)
OURS = [
    tracemalloc.Filter(True, str(Path(cancelweb.__file__).with_name("*"))),
    tracemalloc.Filter(True, "<attrs generated * cancelweb.*"),
]
"""The code whose memory is counted: cancelweb's modules, and what attrs generates for them."""

BYTES_AT_MOST = 450

CAREFUL = "a careful handler"
MAKERS = {"cancelweb": UnobservedDeferred, CAREFUL: DeferredByHand}

STORM: dict[str, tuple[MakeRoot, float | None]] = {
    CAREFUL: (DeferredByHand, None),
    "cancelweb, no log": (UnobservedDeferred, 1.1),
    "cancelweb, default options": (DecoratedDeferred, 1.3),
    "cancelweb, `CancellingResource`": (wrapped_deferred, 1.3),
}
"""The handlers whose clients all leave at once, and how many times the careful one's time each may
take."""

Subject = tuple[str, int]
"""The name of a handler, and how many requests wait."""


@define(eq=False)
class CountingStage(Stage):
    """A stage that knows how much of its work is waited for, and not the last piece alone.

    Attributes:
        waiting: how much work has begun, and has not been cancelled.
    """

    waiting: int = field(default=0, init=False)

    def begin(self) -> Deferred[bytes]:
        """Begin some work that can be cancelled."""
        self.waiting += 1
        return super().begin()

    def _cancelled(self, work: Deferred[bytes]) -> None:
        self.waiting -= 1
        super()._cancelled(work)


@frozen
class Growth:
    """Microseconds, medians.

    Attributes:
        name: whose they are.
        open: how many requests were waiting.
        request: how long one more request took.
        closing: how long it took to stop one of the waiting requests, when all clients left.
    """

    name: str
    open: int
    request: float
    closing: float


def main(arguments: Sequence[str]) -> None:
    """Measure, and print or write the table."""
    options = parse(arguments)
    discard_log()
    held = memory(options.held)
    parts = [
        heading(PROGRAM, arguments),
        growth_table(growth(options.open, options.rounds, options.closed)),
        storm_table(storm(options.leaving, options.storms), options.leaving),
        memory_table(held, options.held),
    ]
    report = "\n\n".join(parts)
    deliver(PROGRAM, report, options.write_readme)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(__doc__)
    parser.number("--rounds", 1000, "rounds of 5 requests to each")
    parser.number("--closed", 60_000, "how many waiting requests to stop, at least")
    parser.number("--leaving", 20_000, "waiting requests whose clients all leave at once")
    parser.number("--storms", 20, "how often they do")
    parser.number("--held", 10_000, "requests that wait while memory is looked at")
    parser.numbers("--open", OPEN, "how many requests wait")
    return parser.parse_args(arguments)


def growth(open: Sequence[int], rounds: int, closed: int) -> list[Growth]:
    """Each handler, with each of these numbers of requests waiting."""
    subjects = [(name, each) for name in MAKERS for each in open]
    with no_collector():
        requests = time_requests(subjects, rounds)
        closings = time_closings(subjects, closed)
    return [Growth(*each, requests[each], closings[each]) for each in subjects]


def time_requests(subjects: Sequence[Subject], rounds: int) -> dict[Subject, float]:
    """How long a request takes beside so many waiting ones, of each handler in turn."""
    contenders = [Contender.of(MAKERS[name], Stage.end_work) for name, _ in subjects]
    waiting = [
        wait(contender, open) for contender, (_, open) in zip(contenders, subjects, strict=True)
    ]
    runners = [Runner(contender, False) for contender in contenders]
    taken = [[runner.run(5) for runner in runners] for _ in range(rounds)]
    for connections in waiting:
        leave(connections)
    return dict(zip(subjects, map(statistics.median, zip(*taken, strict=True)), strict=True))


def time_closings(subjects: Sequence[Subject], closed: int) -> dict[Subject, float]:
    """How long it takes to stop one of so many requests, when all their clients leave, in turn."""
    most = max(open for _, open in subjects)
    taken: dict[Subject, list[float]] = {subject: [] for subject in subjects}
    for _ in range(-(-closed // most)):
        for name, open in subjects:
            taken[name, open] += [time_leaving(MAKERS[name], open) for _ in range(most // open)]
    return {(name, open): statistics.median(taken[name, open]) * 1e6 / open for name, open in taken}


def time_leaving(make_root: MakeRoot, open: int) -> float:
    """The seconds until so many requests are stopped, when all their clients leave.

    Raises:
        SystemExit: some of the work was not stopped.
    """
    stage = CountingStage()
    connections = wait(Contender(make_root(stage), stage, None), open)
    begun, start = stage.waiting, time.process_time()
    leave(connections)
    seconds = time.process_time() - start
    if (begun, stage.waiting) != (open, 0):
        raise SystemExit(f"{begun} of {open} requests waited, {stage.waiting} were not stopped")
    return seconds


def storm(leaving: int, storms: int) -> dict[str, list[float]]:
    """The milliseconds until so many requests are stopped, of each handler in turn."""
    taken: dict[str, list[float]] = {name: [] for name in STORM}
    with no_collector():
        for _ in range(storms):
            for name in random.sample(list(STORM), len(STORM)):
                make_root, _ = STORM[name]
                taken[name].append(time_leaving(make_root, leaving) * 1e3)
    return taken


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
        f"{waiting:,} requests wait, each on a connection that has served a page before. The "
        "figure is what cancelweb's own lines have allocated, as tracemalloc sees it, and not what "
        "they make Twisted allocate."
    )
    return f"{table(header, [row])}\n\n{note}"


def storm_table(taken: dict[str, list[float]], leaving: int) -> str:
    """The table of how long it takes to stop all, when they leave at once."""
    header = ("handler", f"ms until {leaving:,} are stopped", f"by that of {CAREFUL}")
    rows = table((*header, "target", "met"), (storm_row(name, taken) for name in taken))
    note = (
        f"{leaving:,} requests wait, and all their connections break one after the other. Medians "
        f"of {len(taken[CAREFUL])} rounds in which the handlers take turns, with the quartiles "
        "behind; the ratio is taken round by round."
    )
    return f"{rows}\n\n{note}"


def storm_row(name: str, taken: dict[str, list[float]]) -> tuple[str, ...]:
    """What a handler took; its ratio is taken storm by storm."""
    pairs = zip(taken[name], taken[CAREFUL], strict=True)
    ratio = Spread.of(our / their for our, their in pairs)
    _, at_most = STORM[name]
    return (
        name,
        f"{statistics.median(taken[name]):,.0f}",
        spread(ratio, ".2f"),
        *verdict(ratio.median, at_most),
    )


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
