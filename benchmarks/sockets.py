"""What a server gets through over sockets, and how soon it stops work for who has left.

Run it with `python benchmarks/sockets.py`; it prints Markdown, and `--help` tells its options.
Each contender is a process of its own, and so are the clients. The tables are made here; what is
measured, and how, stands in `traffic`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from children import Clients, Server
from comparison import Target, comparison, figures, in_turn, samples
from report import Parser, deliver, heading
from roster import OTHER_PACKAGES, ROSTER, chosen
from traffic import (
    Latency,
    Throughput,
    measure_idle,
    measure_throughput,
    measure_under_load,
)

PROGRAM = "sockets.py"

THROUGHPUT = (
    Target("deferred", "careful", at_least=1.0),
    Target("wrapped", "careful", at_least=1.0),
    Target("deferred", "klein", at_least=1.8),
    Target("coroutine", "klein_async", at_least=1.8),
)
IDLE = "idle, p50, µs"
LATENCY = {
    IDLE: (Target("call", "recipe", at_most=1.10), Target("silent", "careful", at_most=1.10)),
}


def main(arguments: Sequence[str]) -> None:
    """Measure, and print or write the tables."""
    options = parse(arguments)
    names = chosen([*options.contenders, "careful", "recipe"])
    with ExitStack() as stack:
        servers = {name: stack.enter_context(Server(name)) for name in names}
        clients = stack.enter_context(Clients())
        parts = [
            heading(PROGRAM, arguments, OTHER_PACKAGES),
            throughput(servers, clients, options),
            latency(servers, clients, options),
        ]
    deliver(PROGRAM, "\n\n".join(parts), options.write_readme)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(__doc__)
    parser.names("--contenders", list(ROSTER), "who competes, beside the two by hand")
    parser.number("--rounds", 10, "rounds")
    parser.number("--connections", 64, "connections that are kept busy")
    parser.number("--milliseconds", 1000, "how long, for each contender in each round")
    parser.number("--probes", 200, "clients who leave, for each contender in each round")
    return parser.parse_args(arguments)


def throughput(servers: dict[str, Server], clients: Clients, options: argparse.Namespace) -> str:
    """The tables of how much they get through."""
    connections, seconds = options.connections, options.milliseconds / 1000

    def measure(name: str) -> Throughput:
        return measure_throughput(servers[name], clients, connections, seconds)

    in_turn(servers, 1, measure)  # to warm up
    found = in_turn(servers, options.rounds, measure)
    what = {
        "requests a second": samples(found, lambda each: each.per_second),
        "requests a CPU second": samples(found, lambda each: each.per_cpu_second),
    }
    uses = {
        "server's CPU use": (samples(found, lambda each: each.busy), ".0%"),
        "it waits for a CPU": (samples(found, lambda each: each.delayed), ".0%"),
        "clients' CPU use": (samples(found, lambda each: each.share), ".0%"),
    }
    note = (
        f"With {connections} keep-alive connections, on each a request as soon as the one before "
        f"is answered. Medians of {options.rounds} rounds of {seconds:g} s, with the quartiles "
        "behind; every response that a client has got is one that the server's work has "
        "completed. Higher is better. Where a server has to wait for a CPU, the machine had other "
        "things to do, and requests a second say little."
    )
    shown = figures(what, ",.0f", "careful", uses)
    return "\n\n".join(
        ["### Requests", shown, comparison(what, dict.fromkeys(what, THROUGHPUT)), note]
    )


def latency(servers: dict[str, Server], clients: Clients, options: argparse.Namespace) -> str:
    """The tables of how soon they stop."""
    probes = options.probes

    def measure(name: str) -> tuple[Latency, Latency]:
        server = servers[name]
        busy = measure_under_load(server, clients, options.connections, probes)
        return measure_idle(server, probes), busy

    found = in_turn(chosen(servers, cancelling=True), options.rounds, measure)
    what = {
        IDLE: samples(found, lambda each: each[0].p50),
        "idle, p99, µs": samples(found, lambda each: each[0].p99),
        "under load, p50, µs": samples(found, lambda each: each[1].p50),
        "under load, p99, µs": samples(found, lambda each: each[1].p99),
    }
    note = (
        "From the client's close to the cancellation of its work. Under load: beside the "
        f"{options.connections} busy connections. Medians of {options.rounds} rounds of {probes} "
        "clients each, idle and under load, with the quartiles behind; each contender has "
        "cancelled the work of every client."
    )
    shown = figures(what, ",.0f", "recipe", {})
    return "\n\n".join(["### Leaving", shown, comparison(what, LATENCY), note])


if __name__ == "__main__":
    main(sys.argv[1:])
