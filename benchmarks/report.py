"""What the programs share: their options, their tables, and their places in README.md.

Nothing is measured here, and no module of the project imported.
"""

from __future__ import annotations

import argparse
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

    def names(self, option: str, known: Sequence[str], about: str) -> None:
        """Add an option that is some names of these, or all."""
        about += f", of {', '.join(known)}; default: all"
        self.add_argument(
            option, nargs="+", choices=known, default=known, metavar="NAME", help=about
        )


def deliver(program: str, report: str, write_readme: bool) -> None:
    """Print the report of a program, and put it in the README if that is wanted."""
    print(report)
    if write_readme:
        README.write_text(with_report(README.read_text(), program, report))


def with_report(text: str, program: str, report: str) -> str:
    """The text, with the program's report in its place."""
    before, _, after = divide(text, program)
    return f"{before}{begin(program)}\n\n{report}\n\n{END}{after}"


def report_in(text: str, program: str) -> str:
    """The report that the text has of this program."""
    return divide(text, program)[1].strip()


def divide(text: str, program: str) -> tuple[str, str, str]:
    """What stands before this program's report, the report, and what stands after it."""
    before, rest = text.split(begin(program))
    report, _, after = rest.partition(END)
    return before, report, after


def begin(program: str) -> str:
    """The mark behind which the report of a program stands."""
    return f"<!-- written by {program} from here -->"


def heading(program: str, arguments: Sequence[str], others: Sequence[str] = ()) -> str:
    """With what the tables were made; others are packages that take part in this program only."""
    command = shlex.join(["python", f"benchmarks/{program}", *arguments])
    machine = f"{platform.system()}, {processor()}, {os.cpu_count()} processors"
    return f"Made with `{command}` on {software(others)}; {machine}."


def software(others: Sequence[str] = ()) -> str:
    """The Python that runs this, and the packages that count."""
    packages = ", ".join(f"{name} {version(name)}" for name in (*PACKAGES, *others))
    return f"{platform.python_implementation()} {platform.python_version()}, {packages}"


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


def cells(text: str) -> list[list[str]]:
    """The rows of the tables in a text, their headers too."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def spread(of: Spread, form: str) -> str:
    """A median with its quartiles."""
    return f"{of.median:{form}} ({of.lower:{form}} to {of.upper:{form}})"


def yes_or_no(met: bool) -> str:
    """How a table says whether a target is met."""
    return "yes" if met else "**no**"
