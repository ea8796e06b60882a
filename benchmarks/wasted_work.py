"""Work that still runs after its clients have left, and what it costs.

Run it with `python benchmarks/wasted_work.py`; it prints the table, and writes it for
`docs/explanation/wasted-work.rst`. `--help` lists its options. It needs Linux.

For each kind of work, and each way to stop it, this starts a server. Many clients ask it for work
that takes seconds, and leave when all the work has begun. The program fails if the work does not
begin, if the server dies, or if any work is left running with cancelweb. `wasted_kinds` does the
work, `wasted_server` stops it, and `wasted_counts` counts it.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from attrs import frozen
from report import heading, table
from wasted_counts import (
    MARK,
    Database,
    Upstream,
    adopt_orphans,
    bury_orphans,
    busy_threads,
    in_reactor,
    marked,
    processor_seconds,
    thread_times,
)
from wasted_kinds import KINDS
from wasted_server import WAYS

PROGRAM = "wasted_work.py"
PLACE = Path(__file__).parents[1] / "docs" / "explanation" / "wasted"
REQUEST = b"GET /work HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENCE = 60.0
"""Seconds in which all work must have begun."""


@frozen
class Subject:
    """A server that runs, with all that it can be looked at with."""

    process: subprocess.Popen[str]
    port: int
    mark: str
    database: Database
    upstream: Upstream


@frozen
class Where:
    """Where a kind of work is counted.

    Attributes:
        name: for the table.
        count: how many run; it is given what `thread_times` was some time before.
        each: how many there are for one client.
    """

    name: str
    count: Callable[[Subject, dict[int, int]], int]
    each: int = 1


IN_REACTOR = Where("in the reactor", lambda subject, _: in_reactor(subject.port))
THREADS = Where(
    "threads with processor time", lambda subject, before: busy_threads(subject.process.pid, before)
)
QUERIES = Where("``pg_stat_activity``", lambda subject, _: subject.database.queries(subject.mark))
CONNECTIONS = Where("connections, at the upstream", lambda subject, _: subject.upstream.open())


def descendants(each: int) -> Where:
    """So many for each client; of the processes with the mark, all but the server."""
    return Where("processes", lambda subject, _: len(marked(subject.mark)) - 1, each)


WHERE = {
    "thread": THREADS,
    "SQLite query": THREADS,
    "PostgreSQL query": QUERIES,
    "child process": descendants(1),
    "pipeline": descendants(4),
    "upstream, before its headers": CONNECTIONS,
    "upstream, in its body": CONNECTIONS,
}


@frozen
class Waste:
    """What was found for one kind of work, and one way to stop it.

    Attributes:
        started: how many ran before the clients left.
        running: how many ran half a second later.
        seconds: what processors spent from then on, while they were watched.
    """

    started: int
    running: int
    seconds: float


def main(arguments: Sequence[str]) -> None:
    """Measure, and print and write the table."""
    options = parse(arguments)
    options.directory.mkdir(exist_ok=True)
    # So that what was started is ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    adopt_orphans()
    with TemporaryDirectory(prefix="cancelweb-wasted-") as directory:
        place = Path(directory, "database")
        place.mkdir()
        database, upstream = Database.start(place), Upstream.start()
        rows: list[Sequence[str]] = []
        faults: list[str] = []
        for kind in options.kinds:
            wastes = {way: measure(kind, way, options, database, upstream) for way in options.ways}
            rows.append(row(kind, list(wastes.values())))
            faults += unproven(kind, wastes)
            print(*rows[-1], sep="; ", file=sys.stderr)
    print(table(header(options.ways), rows))
    if faults:
        sys.exit("Not written, because of:\n" + "\n".join(faults))
    with (options.directory / "wasted.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header(options.ways), *rows])
    made = heading(PROGRAM, arguments).replace("`", "``")
    (options.directory / "made.txt").write_text(f"{made}\n")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])

    def add(option: str, default: object, help: str, **more: object) -> None:
        help += "; default: %(default)s"
        parser.add_argument(option, default=default, help=help, **more)  # type: ignore[arg-type]

    add("--clients", 50, "how many ask at once", type=int, metavar="N")
    add("--seconds", 10.0, "how long the work takes", type=float, metavar="S")
    add("--watch", 5.0, "how long processors are watched", type=float, metavar="S")
    add("--kinds", list(KINDS), "which work", nargs="+", choices=KINDS, metavar="KIND")
    add("--ways", list(WAYS), "how it is stopped", nargs="+", choices=WAYS, metavar="WAY")
    add("--directory", PLACE, "where to write", type=Path)
    return parser.parse_args(arguments)


def measure(
    kind: str, way: str, options: argparse.Namespace, database: Database, upstream: Upstream
) -> Waste:
    """Have clients ask, and leave, and look."""
    where = WHERE.get(kind, IN_REACTOR)
    wanted = options.clients * where.each
    with server(kind, way, options, database, upstream) as subject:
        idle = thread_times(subject.process.pid)
        clients = [ask(subject.port) for _ in range(options.clients)]
        time.sleep(0.2)
        started = wait_for(wanted, lambda: where.count(subject, idle), f"{kind}, {way}")
        before = processor_seconds()
        left = time.monotonic()
        for client in clients:
            client.close()
        sleep_until(left + 0.5)
        running = where.count(subject, thread_times(subject.process.pid))
        sleep_until(left + options.watch)
        seconds = processor_seconds() - before
        # Nothing runs in a server that is dead: raises if this one is.
        in_reactor(subject.port)
    return Waste(started, running, seconds)


def unproven(kind: str, wastes: Mapping[str, Waste]) -> Iterator[str]:
    """What cancelweb has left running."""
    for way, waste in wastes.items():
        if way == "cancelweb" and waste.running:
            yield f"{kind}: of {waste.started}, {waste.running} still ran with cancelweb"


@contextmanager
def server(
    kind: str, way: str, options: argparse.Namespace, database: Database, upstream: Upstream
) -> Iterator[Subject]:
    """A server, in the end killed with all that it has started, here and in the database."""
    mark = f"wasted-{uuid4().hex}"
    program = Path(__file__).with_name("wasted_server.py")
    with TemporaryDirectory(prefix="cancelweb-wasted-") as directory:
        dsn = database.dsn_of(mark)
        url = f"http://127.0.0.1:{upstream.port}"
        numbers = (f"{options.seconds}", f"{options.clients}")
        process = subprocess.Popen(
            [sys.executable, "-Wignore", program, kind, way, *numbers, directory, dsn, url],
            env={**os.environ, MARK: mark},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield Subject(process, port, mark, database, upstream)
        finally:
            for each in marked(mark):
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            process.communicate()
            bury_orphans()
            database.end(mark)


def ask(port: int) -> socket.socket:
    """A client that has asked."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(REQUEST)
    return client


def wait_for(wanted: int, count: Callable[[], int], what: str) -> int:
    """Count until there are as many as wanted."""
    end = time.monotonic() + PATIENCE
    while (counted := count()) != wanted:
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: {counted} have started, not {wanted}")
        time.sleep(0.05)
    return counted


def sleep_until(moment: float) -> None:
    """Sleep until ``time.monotonic()`` says so."""
    time.sleep(max(0.0, moment - time.monotonic()))


def header(ways: Sequence[str]) -> Sequence[str]:
    """The titles of the columns."""
    running = (f"running, {way}" for way in ways)
    return "work", "counted", "started", *running, *(f"CPU s, {way}" for way in ways)


def row(kind: str, wastes: Sequence[Waste]) -> Sequence[str]:
    """One kind of work; what has started is the same for all ways, or it would not be here."""
    [started] = {waste.started for waste in wastes}
    return (
        kind,
        WHERE.get(kind, IN_REACTOR).name,
        f"{started}",
        *(f"{waste.running}" for waste in wastes),
        *(f"{waste.seconds:.2f}" for waste in wastes),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
