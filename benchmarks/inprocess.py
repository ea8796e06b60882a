"""What a request costs with cancelweb, in microseconds, and what it leaves behind.

Run it with `python benchmarks/inprocess.py`; it prints Markdown, and `--help` tells its options.
The tables are made here; what is compared, and how, stands in the modules beside this one.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from contenders import CASES, Case
from measure import Leftovers, Spread, Timing, find_leftovers, time_case
from twisted.logger import ILogObserver, LogEvent, globalLogBeginner
from zope.interface import provider

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- written by inprocess.py from here -->", "<!-- to here -->"


def main(arguments: Sequence[str]) -> None:
    """Measure, and print or write the tables."""
    options = parse(arguments)
    log_to_nobody()
    report = "\n\n".join(
        [
            heading(arguments),
            times(options.rounds, options.requests),
            leftovers(options.leftovers),
        ]
    )
    print(report)
    if options.write_readme:
        README.write_text(with_report(README.read_text(), report))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])

    def number(option: str, default: int, help: str) -> None:
        help += "; default: %(default)s"
        parser.add_argument(option, type=int, default=default, metavar="N", help=help)

    number("--rounds", 2000, "rounds of each pair, two at least")
    number("--requests", 5, "requests to each of a pair in a round")
    number("--leftovers", 10_000, "requests after which to look for what is left of them")
    parser.add_argument("--write-readme", action="store_true", help="put the tables in README.md")
    return parser.parse_args(arguments)


def log_to_nobody() -> None:
    """Give the log a reader who does nothing: while it has none, it keeps the events."""
    globalLogBeginner.beginLoggingTo([nobody], discardBuffer=True, redirectStandardIO=False)


@provider(ILogObserver)
def nobody(event: LogEvent) -> None:
    """Read the log, and do nothing."""


def heading(arguments: Sequence[str], program: str = "inprocess.py") -> str:
    """With what the tables were made."""
    command = " ".join([f"python benchmarks/{program}", *arguments])
    software = f"{platform.python_implementation()} {platform.python_version()}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("Twisted", "attrs"))
    return (
        f"Made with `{command}` on {software}, {packages}; {platform.system()}, {processor()}, "
        f"{os.cpu_count()} processors."
    )


def processor() -> str:
    """What the machine's processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def times(rounds: int, requests: int) -> str:
    """The table of how long requests take."""
    header = ("case", "against", "its µs", "cancelweb's µs", "ratio", "more µs", "target", "met")
    rows = [time_row(case, time_case(case, rounds, requests)) for case in CASES]
    note = f"Medians of {rounds} rounds of {requests} requests each, with the quartiles behind."
    return f"{table(header, rows)}\n\n{note}"


def time_row(case: Case, timing: Timing) -> tuple[str, ...]:
    """What there is to tell of one case."""
    target, met = verdict(case, timing)
    return (
        case.name,
        case.against,
        f"{timing.theirs.median:.1f}",
        f"{timing.ours.median:.1f}",
        spread(timing.ratio, ".3f"),
        spread(timing.extra, "+.2f"),
        target,
        met,
    )


def verdict(case: Case, timing: Timing) -> tuple[str, str]:
    """The target, and whether it was met."""
    if case.ratio_at_most is not None:
        met = timing.ratio.median <= case.ratio_at_most
        return f"ratio ≤ {case.ratio_at_most:.2f}", yes_or_no(met)
    if case.extra_at_most is not None:
        met = timing.extra.median <= case.extra_at_most
        return f"≤ {case.extra_at_most:+.1f} µs", yes_or_no(met)
    return "", ""


def spread(of: Spread, form: str) -> str:
    """A median with its quartiles."""
    return f"{of.median:{form}} ({of.lower:{form}} to {of.upper:{form}})"


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
    """What there is to tell of one case; it is to leave no more than what it is compared with."""
    theirs = find_leftovers(case.theirs(), requests, case.is_abandoned)
    ours = find_leftovers(case.ours(), requests, case.is_abandoned)
    return (
        case.name,
        f"{theirs.garbage}",
        f"{ours.garbage}",
        f"{ours.scopes}",
        f"{ours.requests}",
        yes_or_no(is_clean(ours, theirs)),
    )


def is_clean(ours: Leftovers, theirs: Leftovers) -> bool:
    """Whether cancelweb has left nothing of its own behind."""
    return ours.garbage <= theirs.garbage and ours.scopes == ours.requests == 0


def yes_or_no(met: bool) -> str:
    """How a table says whether a target is met."""
    return "yes" if met else "**no**"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_report(text: str, report: str) -> str:
    """The text, with the report in its place."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{report}\n\n{END}{after}"


if __name__ == "__main__":
    main(sys.argv[1:])
