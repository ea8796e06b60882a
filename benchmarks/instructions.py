"""How many machine instructions a request takes with cancelweb: a figure that does not vary.

Run it with `python benchmarks/instructions.py`; it needs valgrind, prints Markdown, and `--help`
lists its options. `cases` says what is counted; `counted` runs under valgrind.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from attrs import frozen
from cases import CASES, Case
from counted import place_of
from pythons import COUNTED, Ratios, deliver_here, on_python, ratios_in
from report import README, Parser, heading, report_in, software, table, verdict

PROGRAM = COUNTED
RUN = Path(__file__).with_name("counted.py")
WORSE = 1.03
"""How many times its ratio in the table a ratio may be."""


@frozen
class Count:
    """Instructions a request, once for each seed of the hashes.

    Attributes:
        case: what was counted.
        theirs: those of what is compared with.
        ours: those with cancelweb.
    """

    case: Case
    theirs: tuple[float, ...]
    ours: tuple[float, ...]

    @property
    def their_median(self) -> float:
        """Those of what is compared with, in the middle."""
        return median(self.theirs)

    @property
    def our_median(self) -> float:
        """Those with cancelweb, in the middle."""
        return median(self.ours)

    @property
    def ratios(self) -> list[float]:
        """Ours by theirs, in rising order."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return sorted(our / their for our, their in pairs)

    @property
    def ratio(self) -> float:
        """The one in the middle."""
        return median(self.ratios)


def main(arguments: Sequence[str]) -> None:
    """Count, and print, write or check the table."""
    options = parse(arguments)
    before = committed() if options.check else {}
    cases = [case for case in CASES if not options.case or case.name in options.case]
    counts = count(cases, options.requests, options.seeds)
    report = f"{heading(PROGRAM, arguments)}\n\n{counts_table(counts)}"
    deliver_here(PROGRAM, report, options.write_readme)
    if options.check:
        raise SystemExit("\n".join(worsened(counts, before)) or 0)


def committed() -> Ratios:
    """The ratios in README.md for this Python.

    Raises:
        SystemExit: there are none that can be compared with.
    """
    report = report_in(README.read_text(), on_python(PROGRAM))
    if not is_comparable(report, software()):
        made = next(iter(report.splitlines()), "README.md has no table for this Python")
        raise SystemExit(f"cannot compare on {software()}: {made}")
    return ratios_in(report)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(__doc__)
    parser.number("--requests", 50, "requests to count")
    parser.number("--seeds", 3, "count so many times, each with another seed of the hashes")
    parser.add_argument(
        "--case",
        action="append",
        choices=[case.name for case in CASES],
        metavar="NAME",
        help="count this case of README.md's table, and no other that is not named likewise",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        # argparse takes one of two percent signs away.
        help=f"fail where a ratio is more than {WORSE - 1:.0%}% above the one in README.md",
    )
    options = parser.parse_args(arguments)
    if options.case and options.write_readme:
        parser.error("the table in README.md has all cases: leave out --case")
    return options


def count(cases: Sequence[Case], requests: int, seeds: int) -> list[Count]:
    """Count the instructions of these cases, on all processors."""
    compile_all()

    def with_seed(seed: int) -> list[tuple[float, float]]:
        return count_once(cases, requests, seed)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        by_seed = list(pool.map(with_seed, range(seeds)))
    by_case = zip(*by_seed, strict=True)
    return [
        Count(case, *zip(*counts, strict=True)) for case, counts in zip(cases, by_case, strict=True)
    ]


def compile_all() -> None:
    """Keep the bytecode of all that is imported: compiling takes long under valgrind."""
    subprocess.run([sys.executable, RUN, "0"], check=True, env=environment(0))


def count_once(cases: Sequence[Case], requests: int, seed: int) -> list[tuple[float, float]]:
    """Their instructions a request and ours, of each case, where hashes have this seed."""
    with TemporaryDirectory() as directory:
        run = subprocess.run(
            [
                valgrind(),
                "--tool=callgrind",
                "--dump-before=getppid",
                "--zero-before=getpgrp",
                "--dump-line=no",
                f"--callgrind-out-file={directory}/%p",
                sys.executable,
                RUN,
                f"{requests}",
                *map(place_of, cases),
            ],
            capture_output=True,
            env=environment(seed),
            text=True,
        )
        if run.returncode:
            raise SystemExit(run.stderr)
        pairs = [json.loads(line) for line in run.stdout.splitlines()]
        return [
            (total(directory, theirs) / requests, total(directory, ours) / requests)
            for theirs, ours in pairs
        ]


def valgrind() -> str:
    """Where valgrind is."""
    path = shutil.which("valgrind")
    if path is None:
        raise SystemExit("instructions are counted by valgrind: apt-get install valgrind")
    return path


def environment(seed: int) -> dict[str, str]:
    """What hashes depend on, and as little as can be of what is the caller's."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, "PYTHONHASHSEED": f"{seed}"}


def total(directory: str, pid: int) -> int:
    """How many instructions this process took from its first mark to its second."""
    dump = Path(directory, f"{pid}.2").read_text()
    [number] = re.findall(r"^totals: (\d+)$", dump, re.M)
    return int(number)


def counts_table(counts: Sequence[Count]) -> str:
    """The table of how many instructions requests take."""
    header = (
        *("case", "against", "its instructions", "cancelweb's"),
        *("ratio", "from", "to", "target", "met"),
    )
    rows = [
        (
            each.case.name,
            each.case.against,
            f"{each.their_median:,.0f}",
            f"{each.our_median:,.0f}",
            f"{each.ratio:.3f}",
            f"{each.ratios[0]:.3f}",
            f"{each.ratios[-1]:.3f}",
            *verdict(each.ratio, each.case.at_most.instructions),
        )
        for each in counts
    ]
    return table(header, rows)


def worsened(counts: Sequence[Count], before: Ratios) -> list[str]:
    """A line for each case whose ratio is too much above the one that it had before."""
    lines = []
    for each in counts:
        name, was = each.case.name, before.get(each.case.name)
        if was is None:
            lines.append(f"{name}: not in README.md; --write-readme puts it there")
        elif each.ratio > was * WORSE:
            lines.append(
                f"{name}: {each.ratio:.3f} times the instructions of {each.case.against}, "
                f"{each.ratio / was - 1:+.1%} from {was:.3f}"
            )
    return lines


def is_comparable(report: str, software: str) -> bool:
    """Whether the ratios in a report were made with this software.

    On another Python, or another Twisted, the same code has ratios that differ by more than what is
    looked for; on another patch of the same Python they do not.
    """
    return f" {without_patch(software)};" in without_patch(report)


def without_patch(text: str) -> str:
    """The text, with no third number in the version of Python."""
    return re.sub(r"(Python \d+\.\d+)[\w.+]*", r"\1", text)


if __name__ == "__main__":
    main(sys.argv[1:])
