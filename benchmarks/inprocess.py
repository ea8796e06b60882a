"""Overhead per request with cancelweb, in microseconds, and what a request leaves behind.

Run it with `python benchmarks/inprocess.py`; it prints Markdown, and `--help` lists its options.
This module makes the tables; `cases` says what is compared, and `measure` measures it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cases import CASES, Case
from handlers import discard_log
from measure import Leftovers, Timing, find_leftovers, time_case
from pythons import TIMED, deliver_here
from report import Parser, heading, spread, table, verdict, yes_or_no

PROGRAM = TIMED
NOTHING = Leftovers(garbage=0, scopes=0, requests=0)


def main(arguments: Sequence[str]) -> None:
    """Measure, and print or write the tables."""
    options = parse(arguments)
    discard_log()
    report = "\n\n".join(
        [
            heading(PROGRAM, arguments),
            times(options.rounds, options.requests),
            leftovers(options.leftovers),
        ]
    )
    deliver_here(PROGRAM, report, options.write_readme)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(__doc__)
    parser.number("--rounds", 2000, "rounds of each pair, two at least")
    parser.number("--requests", 5, "requests to each of a pair in a round")
    parser.number("--leftovers", 10_000, "requests after which to look for what is left of them")
    return parser.parse_args(arguments)


def times(rounds: int, requests: int) -> str:
    """The table of how long requests take."""
    header = ("case", "against", "its µs", "cancelweb's µs", "ratio", "more µs", "target", "met")
    rows = [time_row(case, time_case(case, rounds, requests)) for case in CASES]
    note = f"Medians of {rounds} rounds of {requests} requests each, with the quartiles behind."
    return f"{table(header, rows)}\n\n{note}"


def time_row(case: Case, timing: Timing) -> tuple[str, ...]:
    """The row of one case."""
    return (
        case.name,
        case.against,
        f"{timing.theirs.median:.1f}",
        f"{timing.ours.median:.1f}",
        spread(timing.ratio, ".3f"),
        spread(timing.extra, "+.2f"),
        *verdict(timing.ratio.median, case.at_most.time),
    )


def leftovers(requests: int) -> str:
    """The table of what requests leave behind."""
    header = ("case", "its garbage", "cancelweb's garbage", "scopes", "requests", "met")
    rows = [leftover_row(case, requests) for case in CASES]
    note = (
        f"What {requests:,} requests leave behind: the objects that only the garbage collector "
        "could free, and the scopes and requests that are alive after it."
    )
    return f"{table(header, rows)}\n\n{note}"


def leftover_row(case: Case, requests: int) -> tuple[str, ...]:
    """The row of one case. cancelweb must leave nothing."""
    theirs = find_leftovers(case.theirs(), requests, case.is_abandoned)
    ours = find_leftovers(case.ours(), requests, case.is_abandoned)
    return (
        case.name,
        f"{theirs.garbage}",
        f"{ours.garbage}",
        f"{ours.scopes}",
        f"{ours.requests}",
        yes_or_no(ours == NOTHING),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
