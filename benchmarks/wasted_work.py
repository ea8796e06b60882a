"""Work that still runs after its clients have left, and what it costs.

Run it with `python benchmarks/wasted_work.py`; it prints two tables, and writes them for
`docs/explanation/wasted-work.rst`. `--help` lists its options. It needs Linux.

For each kind of work, and each way to stop it, this starts a server. Many clients ask it for work
that takes seconds, and leave when all the work has begun. The program fails if the work does not
begin, if the server dies, or if any work is left running with cancelweb. `wasted_local` measures
what a server does itself or has another do, and `wasted_engines` what job queues and clusters do.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import engine_kinds
import wasted_engines
import wasted_kinds
import wasted_local
from attrs import define, field
from report import PACKAGES, heading, table, write
from wasted_counts import adopt_orphans
from wasted_server import WAYS

PROGRAM = "wasted_work.py"
PLACE = Path(__file__).parents[1] / "docs" / "explanation" / "wasted"
ENGINES = ("celery", "redis", "distributed", "rq")
"""The packages that take part where work is for a job queue or a cluster."""
KINDS = (*wasted_kinds.KINDS, *engine_kinds.KINDS)


@define
class Table:
    """A table, and what is wrong with it.

    Attributes:
        name: of its files.
        packages: those that take part.
    """

    name: str
    packages: Sequence[str]
    header: Sequence[str]
    rows: list[Sequence[str]] = field(factory=list)
    faults: list[str] = field(factory=list)

    def fill(self, measured: Iterable[tuple[Sequence[str], Sequence[str]]]) -> None:
        """Add rows as they are measured."""
        for row, faults in measured:
            self.rows.append(row)
            self.faults += faults
            print(*row, sep="; ", file=sys.stderr)

    def write(self, directory: Path, arguments: Sequence[str]) -> None:
        """Write it for the documentation, with what it was made with."""
        write(directory / f"{self.name}.csv", [self.header, *self.rows])
        made = heading(PROGRAM, arguments, self.packages).replace("`", "``")
        (directory / f"{self.name}.txt").write_text(f"{made}\n")


def main(arguments: Sequence[str]) -> None:
    """Measure, and print and write the tables that have rows."""
    options = parse(arguments)
    options.directory.mkdir(exist_ok=True)
    # So that what was started is ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    adopt_orphans()
    local = Table("wasted", PACKAGES, wasted_local.header(options.ways))
    local.fill(wasted_local.measured(options))
    engines = Table("engines", (*PACKAGES, *ENGINES), wasted_engines.header(options.ways))
    engines.fill(wasted_engines.measured(options))
    tables = [each for each in (local, engines) if each.rows]
    for each in tables:
        print(table(each.header, each.rows))
    if faults := [*local.faults, *engines.faults]:
        sys.exit("Not written, because of:\n" + "\n".join(faults))
    for each in tables:
        each.write(options.directory, arguments)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])

    def add(option: str, default: object, help: str, **more: object) -> None:
        help += "; default: %(default)s"
        parser.add_argument(option, default=default, help=help, **more)  # type: ignore[arg-type]

    add("--clients", 50, "how many ask at once", type=int, metavar="N")
    add("--seconds", 10.0, "how long the work takes", type=float, metavar="S")
    add("--watch", 5.0, "how long processors are watched", type=float, metavar="S")
    add("--slots", 10, "how many jobs an engine runs at once", type=int, metavar="N")
    add("--kinds", list(KINDS), "which work", nargs="+", choices=KINDS, metavar="KIND")
    add("--ways", list(WAYS), "how it is stopped", nargs="+", choices=WAYS, metavar="WAY")
    add("--directory", PLACE, "where to write", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
