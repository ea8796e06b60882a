"""The tables that README.md has for each Python, and their ratios side by side.

`python benchmarks/pythons.py` makes the table of ratios again, from the existing tables.
"""

from __future__ import annotations

import re
import sys

from cases import CASES, Case
from report import README, TABLES, begin, cells, columns, deliver, report_in, table, write

PYTHON = "{}.{}".format(*sys.version_info)
"""The Python that runs this, without its patch number."""

COUNTED, TIMED = "instructions.py", "inprocess.py"
SIDE_BY_SIDE = f"{COUNTED} and {TIMED}"

RATIOS = TABLES / "ratios.csv"
"""The same table for the docs."""

Ratios = dict[str, float]
"""How many times what theirs costs ours costs, by case."""


def deliver_here(program: str, report: str, write_readme: bool) -> None:
    """Print a report; if wanted, put it in README.md for this Python, and the ratios with it."""
    deliver(on_python(program), report, write_readme)
    if write_readme:
        deliver_side_by_side()


def deliver_side_by_side() -> None:
    """Put the ratios of all Pythons side by side, in README.md and for the docs."""
    report = side_by_side(README.read_text())
    deliver(SIDE_BY_SIDE, report, True)
    write(RATIOS, for_docs(report))


def for_docs(report: str) -> list[list[str]]:
    """The rows of the table that is in Markdown, as the docs include it."""
    header, _, *rows = map(cells, report.splitlines())
    return [[text.replace("`", "``") for text in each] for each in [header, *rows]]


def on_python(program: str, python: str = PYTHON) -> str:
    """The place in README.md of a program's report on one Python."""
    return f"{program} on Python {python}"


def pythons_of(text: str, program: str) -> list[str]:
    """The Pythons for which there is a place for this program's report."""
    return re.findall(begin(on_python(program, r"([\d.]+)")), text)


def ratios_in(report: str) -> Ratios:
    """The ratios in the first table of a report; none where there is no table."""
    return {row["case"]: float(row["ratio"].split()[0]) for row in columns(report)}


def side_by_side(text: str) -> str:
    """The table of all ratios in the README, a column for each Python."""
    counted, timed = (ratios_by_python(text, program) for program in (COUNTED, TIMED))
    header = (
        *("case", "against"),
        *("instructions, at most", *counted),
        *("time, at most", *timed),
    )
    return table(header, (row(case, [*counted.values()], [*timed.values()]) for case in CASES))


def ratios_by_python(text: str, program: str) -> dict[str, Ratios]:
    """The ratios of each of a program's tables."""
    pythons = pythons_of(text, program)
    return {each: ratios_in(report_in(text, on_python(program, each))) for each in pythons}


def row(case: Case, counted: list[Ratios], timed: list[Ratios]) -> list[str]:
    """The targets and the ratios of a case."""
    return [
        case.name,
        case.against,
        *cells_of(case, case.at_most.instructions, counted),
        *cells_of(case, case.at_most.time, timed),
    ]


def cells_of(case: Case, at_most: float | None, found: list[Ratios]) -> list[str]:
    """A target, and the ratio on each Python; a ratio above the target is bold."""
    target = "" if at_most is None else f"{at_most:.2f}"
    return [target, *(cell(ratios.get(case.name), at_most) for ratios in found)]


def cell(ratio: float | None, at_most: float | None) -> str:
    """A ratio, bold if it is above the target; empty where there is none."""
    if ratio is None:
        return ""
    is_above = at_most is not None and ratio > at_most
    return f"**{ratio:.3f}**" if is_above else f"{ratio:.3f}"


if __name__ == "__main__":
    deliver_side_by_side()
