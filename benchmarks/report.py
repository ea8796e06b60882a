"""What the programs share: their options, their tables, and their places in README.md.

This module measures nothing and imports no module of the project.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import shlex
import statistics
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from attrs import frozen

PACKAGES = ("Twisted", "attrs", "klein")
"""What takes part in every program."""

README = Path(__file__).with_name("README.md")
END = "<!-- to here -->"

TABLES = Path(__file__).parents[1] / "docs" / "explanation" / "costs"
"""Where the tables are that the docs include."""


@frozen
class Spread:
    """A median and its quartiles."""

    lower: float
    median: float
    upper: float

    @classmethod
    def of(cls, samples: Iterable[float]) -> Spread:
        """The spread of some samples; one has none."""
        found = list(samples)
        if len(found) == 1:
            found *= 2  # before Python 3.13 quantiles need two
        return cls(*statistics.quantiles(found, n=4, method="inclusive"))


class Parser(argparse.ArgumentParser):
    """The options of a program."""

    def __init__(self, about: str | None, *, in_readme: bool = True) -> None:
        super().__init__(description=str(about).splitlines()[0])
        if in_readme:
            help = "put the tables in README.md"
            self.add_argument("--write-readme", action="store_true", help=help)

    def number(self, option: str, default: int, about: str) -> None:
        """Add an option that is a number."""
        about += "; default: %(default)s"
        self.add_argument(option, type=int, default=default, metavar="N", help=about)

    def numbers(self, option: str, default: Sequence[int], about: str) -> None:
        """Add an option that is one number or more."""
        about += "; default: %(default)s"
        self.add_argument(option, type=int, nargs="+", default=default, metavar="N", help=about)


def deliver(place: str, report: str, write_readme: bool) -> None:
    """Print a report, and put it in its place in the README if that is wanted."""
    print(report)
    if write_readme:
        README.write_text(with_report(README.read_text(), place, report))


def with_report(text: str, place: str, report: str) -> str:
    """The text, with the report in its place."""
    before, _, after = divide(text, place)
    return f"{before}{begin(place)}\n\n{report}\n\n{END}{after}"


def report_in(text: str, place: str) -> str:
    """The report in this place."""
    return divide(text, place)[1].strip()


def divide(text: str, place: str) -> tuple[str, str, str]:
    """The text before the report in this place, the report, and the text after it."""
    if begin(place) not in text:
        raise SystemExit(f"README.md has no place for {place}: put this there: {begin(place)}{END}")
    before, rest = text.split(begin(place))
    report, _, after = rest.partition(END)
    return before, report, after


def begin(place: str) -> str:
    """The mark in front of the report in a place."""
    return f"<!-- written by {place} from here -->"


def heading(program: str, arguments: Sequence[str], packages: Sequence[str] = PACKAGES) -> str:
    """With what the tables were made."""
    command = shlex.join(["python", f"benchmarks/{program}", *arguments])
    machine = f"{platform.system()}, {processor()}, {os.cpu_count()} processors"
    return f"Made with `{command}` on {software(packages)}; {machine}."


def software(packages: Sequence[str] = PACKAGES) -> str:
    """The Python that runs this, and the packages that count."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{platform.python_implementation()} {platform.python_version()}, {versions}"


def processor() -> str:
    """What the machine's processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def columns(text: str) -> list[dict[str, str]]:
    """The rows of the first table in a text, by the names of its columns."""
    tables = [part for part in text.split("\n\n") if part.startswith("| ")]
    lines = [cells(line) for line in "".join(tables[:1]).splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def cells(line: str) -> list[str]:
    """The cells of a line of a table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def write(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a table as CSV."""
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def spread(of: Spread, form: str) -> str:
    """A median with its quartiles."""
    return f"{of.median:{form}} ({of.lower:{form}} to {of.upper:{form}})"


def verdict(found: float, at_most: float | None) -> tuple[str, str]:
    """The target of a figure, and whether the figure, as it is shown, meets it."""
    if at_most is None:
        return "", ""
    return f"≤ {at_most:.2f}", yes_or_no(round(found, 3) <= at_most)


def yes_or_no(met: bool) -> str:
    """How a table says whether a target is met."""
    return "yes" if met else "**no**"
