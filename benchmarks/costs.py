"""What a request pays, step by step: the tables of `docs/explanation/costs.rst`.

Run it with `python benchmarks/costs.py`; it needs valgrind, and writes the files that the page
includes. What is measured stands in `steps`.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from types import CodeType

from contenders import Case
from inprocess import log_to_nobody
from instructions import Count, count
from measure import Timing, time_case
from report import heading
from steps import STEPS, bytecodes

PROGRAM = "costs.py"
TABLES = Path(__file__).parents[1] / "docs" / "explanation" / "costs"
TRACED = {"deferred": "decorated", "abandoned": "decorated"}
"""The steps whose functions are listed."""
STEP_HEADER = ("", "µs", "over the floor", "instructions", "over the floor")


def main(arguments: Sequence[str]) -> None:
    """Measure all steps, and write the tables."""
    options = parse(arguments)
    log_to_nobody()
    options.directory.mkdir(exist_ok=True)
    counts = iter(count(list(chain(*STEPS.values())), options.requests, options.seeds))
    for name, steps in STEPS.items():
        rows = [step_row(time_case(step, options.rounds, 5), next(counts)) for step in steps]
        write(options.directory / f"{name}.csv", [STEP_HEADER, *rows])
    for name, step in TRACED.items():
        [case] = [each for each in STEPS[name] if each.name == step]
        write(options.directory / f"{name}_functions.csv", function_rows(case))
    made = heading(PROGRAM, arguments).replace("`", "``")
    (options.directory / "made.txt").write_text(f"{made}\n")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])

    def number(option: str, default: int, help: str) -> None:
        help += "; default: %(default)s"
        parser.add_argument(option, type=int, default=default, metavar="N", help=help)

    number("--rounds", 2000, "rounds in which each step is timed, two at least")
    number("--requests", 50, "requests whose instructions are counted")
    number("--seeds", 3, "count so many times, each with another seed of the hashes")
    parser.add_argument(
        "--directory", type=Path, default=TABLES, help="where to write; default: the docs"
    )
    return parser.parse_args(arguments)


def write(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a table as CSV."""
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def step_row(timing: Timing, count: Count) -> Sequence[str]:
    """What a step takes."""
    return (
        count.case.name.replace("`", "``"),
        f"{timing.ours.median:.1f}",
        f"{timing.extra.median:+.2f}",
        f"{count.our_median:,.0f}",
        f"{count.our_median - count.their_median:+,.0f}",
    )


def function_rows(case: Case) -> Iterable[Sequence[str]]:
    """The table of the functions of cancelweb that one request runs."""
    yield "function", "calls", "bytecodes"
    functions = bytecodes(case.ours(), case.is_abandoned)
    for function, (calls, codes) in functions.items():
        yield f"``{name_of(function)}``", f"{calls}", f"{codes}"
    yield "all", *(f"{sum(column)}" for column in zip(*functions.values(), strict=True))


def name_of(function: CodeType) -> str:
    """Its module and its name in it."""
    return f"{Path(function.co_filename).stem}.{function.co_qualname.replace('.<locals>', '')}"


if __name__ == "__main__":
    main(sys.argv[1:])
