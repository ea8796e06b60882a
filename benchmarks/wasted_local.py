"""Work that a server does itself or has another do for it, after its clients have left.

`wasted_kinds` does the work, and `wasted_server` stops it. What does not belong here: the tables,
and jobs that queues and clusters run.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from attrs import frozen
from wasted_clients import ask, sleep_until, wait_for
from wasted_counts import (
    MARK,
    Database,
    Upstream,
    bury_orphans,
    busy_threads,
    in_reactor,
    marked,
    processor_seconds,
    thread_times,
)
from wasted_kinds import KINDS


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


def measured(options: argparse.Namespace) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """Yield a row for each kind of work, and what is wrong with it."""
    kinds = [kind for kind in options.kinds if kind in KINDS]
    if not kinds:
        return
    with TemporaryDirectory(prefix="cancelweb-wasted-") as directory:
        place = Path(directory, "database")
        place.mkdir()
        database, upstream = Database.start(place), Upstream.start()
        for kind in kinds:
            wastes = {way: measure(kind, way, options, database, upstream) for way in options.ways}
            yield row(kind, list(wastes.values())), list(unproven(kind, wastes))


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
