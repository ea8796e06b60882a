"""Overhead per request, step by step: the tables of `docs/explanation/costs.rst`.

Run it with `python benchmarks/costs.py`; it needs valgrind, and writes the files that the page
includes. `steps` says what is measured.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from statistics import median
from types import CodeType

from cases import Case
from handlers import discard_log
from instructions import Count, count
from measure import time_in_turn
from report import TABLES, Parser, heading, write
from steps import STEPS, bytecodes

PROGRAM = "costs.py"
TRACED = {"deferred": "decorated", "abandoned": "decorated"}
"""The steps whose functions are listed."""
STEP_HEADER = ("", "µs", "over the floor", "instructions", "over the floor")


def main(arguments: Sequence[str]) -> None:
    """Measure all steps, and write the tables."""
    options = parse(arguments)
    discard_log()
    options.directory.mkdir(exist_ok=True)
    counts = iter(count(list(chain(*STEPS.values())), options.requests, options.seeds))
    for name, steps in STEPS.items():
        times = time_steps(steps, options.rounds)
        rows = [step_row(next(counts), *each) for each in times]
        write(options.directory / f"{name}.csv", [STEP_HEADER, *rows])
    for name, step in TRACED.items():
        [case] = [each for each in STEPS[name] if each.name == step]
        write(options.directory / f"{name}_functions.csv", function_rows(case))
    made = heading(PROGRAM, arguments).replace("`", "``")
    (options.directory / "made.txt").write_text(f"{made}\n")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(__doc__, in_readme=False)
    parser.number("--rounds", 2000, "rounds in which each step is timed, two at least")
    parser.number("--requests", 50, "requests whose instructions are counted")
    parser.number("--seeds", 3, "count so many times, each with another seed of the hashes")
    parser.add_argument(
        "--directory", type=Path, default=TABLES, help="where to write; default: the docs"
    )
    return parser.parse_args(arguments)


def time_steps(steps: Sequence[Case], rounds: int) -> list[tuple[float, float]]:
    """The microseconds that each step takes, and those over the floor, from the same rounds."""
    contenders = [*(step.ours() for step in steps), steps[0].theirs()]
    *taken, floor = time_in_turn(contenders, steps[0].is_abandoned, rounds, requests=5)
    return [
        (median(each), median(one - low for one, low in zip(each, floor, strict=True)))
        for each in taken
    ]


def step_row(count: Count, taken: float, over_the_floor: float) -> Sequence[str]:
    """What a step takes."""
    return (
        count.case.name.replace("`", "``"),
        f"{taken:.1f}",
        f"{over_the_floor:+.2f}",
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
    """Its module and its name in it; what attrs generates has its class in the name of the file."""
    generated = re.match(r"<attrs generated methods cancelweb\.(.+)>", function.co_filename)
    place = generated[1] if generated else Path(function.co_filename).stem
    return f"{place}.{function.co_qualname.replace('.<locals>', '')}"


if __name__ == "__main__":
    main(sys.argv[1:])
