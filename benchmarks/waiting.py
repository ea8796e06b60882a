"""What clients who wait cost, and what happens when all leave at once.

Run it with `python benchmarks/waiting.py`; it prints Markdown, and `--help` tells its options.
Each contender is a process of its own, and so are the clients. The tables are made here; what is
measured, and how, stands in `crowd`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from comparison import Target, comparison, figures, in_turn, samples
from crowd import Memory, Storm, measure_memory, measure_storm, possible
from report import Parser, deliver, heading
from roster import OTHER_PACKAGES, ROSTER, chosen

PROGRAM = "waiting.py"

DEFAULT = ("deferred", "wrapped")
"""With the default options: the log has a line for each client that left."""

UNTIL_STOPPED, STALL = "ms until all is stopped", "longest stall, ms"
STORM = {
    UNTIL_STOPPED: (
        Target("silent", "careful", at_most=1.1),
        *(Target(ours, "careful", at_most=1.3) for ours in DEFAULT),
    ),
    STALL: tuple(Target(ours, "recipe", at_most=2.0) for ours in DEFAULT),
}


def main(arguments: Sequence[str]) -> None:
    """Measure, and print or write the tables."""
    options = parse(arguments)
    parts = [heading(PROGRAM, arguments, OTHER_PACKAGES), memory(options), storm(options)]
    deliver(PROGRAM, "\n\n".join(parts), options.write_readme)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(__doc__)
    parser.names("--contenders", list(ROSTER), "who competes, beside the two by hand")
    parser.number("--rounds", 5, "rounds")
    parser.number("--waiting", 10_000, "clients who wait while memory is looked at")
    parser.number("--leaving", 20_000, "clients who leave at once")
    options = parser.parse_args(arguments)
    options.contenders = [*options.contenders, "careful", "recipe"]
    return options


def memory(options: argparse.Namespace) -> str:
    """The table of what they take."""
    clients = possible(options.waiting)

    def measure(name: str) -> Memory:
        return measure_memory(name, clients)

    found = in_turn(chosen(options.contenders), options.rounds, measure)
    what = {
        "bytes a request": samples(found, lambda each: each.request),
        "with its connection": samples(found, lambda each: each.request + each.connection),
    }
    also = {
        "stopped when all left": (samples(found, lambda each: each.stopped), ",.0f"),
    }
    note = (
        f"{clients:,} requests that wait, each on a connection that has had a page before. Memory "
        "is what tracemalloc sees, which is all that Python allocates and nothing that the C of "
        f"httptools and uvloop does. Medians of {options.rounds} rounds, each with a server of its "
        "own, with the quartiles behind."
    )
    shown = figures(what, ",.0f", "careful", also)
    return "\n\n".join(["### Waiting", shown, note])


def storm(options: argparse.Namespace) -> str:
    """The tables of what comes of it when all leave."""
    clients = possible(options.leaving)

    def measure(name: str) -> Storm:
        return measure_storm(name, clients)

    found = in_turn(chosen(options.contenders, cancelling=True), options.rounds, measure)
    what = {
        UNTIL_STOPPED: samples(found, lambda each: each.seconds * 1000),
        STALL: samples(found, lambda each: each.stall * 1000),
        "CPU ms": samples(found, lambda each: each.cpu * 1000),
    }
    also = {
        "garbage": (samples(found, lambda each: each.garbage), ",.0f"),
        "stopped": (samples(found, lambda each: each.stopped), ",.0f"),
        "resident bytes a client, before": (samples(found, lambda each: each.resident), ",.0f"),
    }
    why = f", as many as the file descriptors of a process allow ({clients + 100:,})"
    note = (
        f"{clients:,} clients wait{why if clients < options.leaving else ''}. Their processes are "
        "killed while the server looks away; timed is from when it looks again, which is when it "
        "can see all of them gone, to the last cancellation. The stall is the longest time between "
        "two timers of 1 ms. Garbage: objects that only the cycle collector could free, from "
        "before the storm to after it; it is on, as by default. Medians of "
        f"{options.rounds} rounds, each with a server of its own, with the quartiles behind."
    )
    shown = figures(what, ",.0f", "careful", also)
    return "\n\n".join(["### Storm", shown, comparison(what, STORM), note])


if __name__ == "__main__":
    main(sys.argv[1:])
