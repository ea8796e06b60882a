"""How the programs here show what they found: tables in Markdown, in their place in README.md.

Nothing is measured here.
"""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

README = Path(__file__).with_name("README.md")
END = "<!-- to here -->"


def begin(program: str) -> str:
    """The mark before what this program writes."""
    return f"<!-- written by {program} from here -->"


def heading(program: str, arguments: Sequence[str]) -> str:
    """With what its tables were made."""
    command = shlex.join(["python", f"benchmarks/{program}", *arguments])
    machine = f"{platform.system()}, {processor()}, {os.cpu_count()} processors"
    return f"Made with `{command}` on {software()}; {machine}."


def software() -> str:
    """The Python that runs this, and the packages that count."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("Twisted", "attrs", "klein"))
    return f"{platform.python_implementation()} {platform.python_version()}, {packages}"


def processor() -> str:
    """What the machine's processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def yes_or_no(met: bool) -> str:
    """How a table says whether a target is met."""
    return "yes" if met else "**no**"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(text: str) -> list[list[str]]:
    """The rows of the tables in a text, their headers too."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def write_readme(program: str, report: str) -> None:
    """Put a program's report in its place in README.md."""
    README.write_text(with_report(README.read_text(), program, report))


def with_report(text: str, program: str, report: str) -> str:
    """The text, with the report in its place."""
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
