"""Jobs that still run in other processes after their clients have left, for `wasted_work`.

More clients ask than there are slots, so that most of the jobs are queued. What does not belong
here: the engines, the jobs, and the web server.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen
from engine_jobs import Notes
from engine_kinds import KINDS
from engine_server import LISTENING
from engine_workers import Engine, engine
from wasted_clients import PATIENCE, ask, sleep_until, wait_for
from wasted_counts import family_seconds

LATER = 1.0
"""Seconds after which nothing may run that looks or can be killed."""
QUIET = 1.0
"""Seconds without a run after which an engine has nothing left to do."""
SOON = 0.5
"""Seconds in which a free slot takes the next job of the queue."""


@frozen
class Waste:
    """What was found for one kind of job, and one way to stop it.

    Attributes:
        started: how many ran before the clients left; the others were queued.
        running: how many of these ran a second later.
        ran: how many of the others have ever run.
        seconds: what the processors of the workers spent from then on, while they were watched.
    """

    started: int
    running: int
    ran: int
    seconds: float


@frozen
class Server:
    """The web server in front of an engine."""

    process: int
    port: int

    @classmethod
    def start(
        cls, engine: Engine, kind: str, way: str, options: argparse.Namespace, notes: Notes
    ) -> Server:
        """Start it; it ends with the engine."""
        program = Path(__file__).with_name("engine_server.py")
        command = (sys.executable, "-Wignore", program, kind, way, options.seconds)
        limits = (options.clients, options.slots, notes.directory)
        process = engine.start("web", *command, *limits, ready=LISTENING)
        [port] = re.findall(rf"{LISTENING} (\d+)", (engine.directory / "web.log").read_text())
        return cls(process, int(port))

    def asked(self) -> int:
        """How many requests its handlers have begun to serve."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/asked") as answer:
            return int(answer.read())


def measured(options: argparse.Namespace) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """Yield a row for each kind of job, and what is wrong with it."""
    for kind in options.kinds:
        if kind in KINDS:
            wastes = {way: measure(kind, way, options) for way in options.ways}
            yield row(kind, list(wastes.values()), options.clients), list(unproven(kind, wastes))


def measure(kind: str, way: str, options: argparse.Namespace) -> Waste:
    """Have clients ask, and leave, and look."""
    what = f"{kind}, {way}"
    with engine(KINDS[kind].engine, options.slots) as started:
        notes = Notes(started.directory / "notes")
        notes.directory.mkdir()
        server = Server.start(started, kind, way, options, notes)
        clients = [ask(server.port) for _ in range(options.clients)]
        time.sleep(0.2)
        busy = (options.slots, options.clients)
        wait_for(busy, lambda: (notes.running(), server.asked()), what)
        before = workers_seconds(started, server)
        left = time.monotonic()
        for client in clients:
            client.close()
        sleep_until(left + LATER)
        running = notes.running()
        sleep_until(left + options.watch)
        seconds = workers_seconds(started, server) - before
        wait_until_quiet(notes, options.clients * options.seconds, what)
        serve_one_more(server, notes, what)
        return Waste(options.slots, running, notes.began() - options.slots - 1, seconds)


def workers_seconds(engine: Engine, server: Server) -> float:
    """What the processes that run the jobs have spent, and those that start them."""
    if not engine.workers:
        return family_seconds(server.process, itself=False)
    return sum(family_seconds(each, itself=True) for each in engine.workers)


def wait_until_quiet(notes: Notes, longest: float, what: str) -> None:
    """Wait until no job has run for some time."""
    busy = time.monotonic()
    end = busy + longest + PATIENCE
    while (now := time.monotonic()) < busy + QUIET:
        if notes.running():
            busy = now
        if now > end:
            raise TimeoutError(f"{what}: {notes.running()} still run")
        time.sleep(0.05)


def serve_one_more(server: Server, notes: Notes, what: str) -> None:
    """Have one more client ask, and wait for its job.

    No job runs in an engine that is dead, and none that is queued comes after this one.
    """
    before = notes.began()
    with ask(server.port):
        wait_for(True, lambda: notes.began() > before, f"{what}: one more")
        # Whatever was queued before it has begun by then, too.
        time.sleep(SOON)


def unproven(kind: str, wastes: Mapping[str, Waste]) -> Iterator[str]:
    """What cancelweb has left running, and what it has not kept from running."""
    waste = wastes.get("cancelweb", Waste(0, 0, 0, 0.0))
    if waste.running and not KINDS[kind].survives:
        yield f"{kind}: of {waste.started}, {waste.running} still ran with cancelweb"
    if waste.ran:
        yield f"{kind}: {waste.ran} that were queued have run with cancelweb"


def header(ways: Sequence[str]) -> Sequence[str]:
    """The titles of the columns."""
    columns = (f"{title}, {way}" for title in ("running", "ran", "CPU s") for way in ways)
    return "engine", "started", "queued", *columns


def row(kind: str, wastes: Sequence[Waste], clients: int) -> Sequence[str]:
    """One kind of job."""
    [started] = {waste.started for waste in wastes}
    return (
        kind,
        f"{started}",
        f"{clients - started}",
        *(f"{waste.running}" for waste in wastes),
        *(f"{waste.ran}" for waste in wastes),
        *(f"{waste.seconds:.2f}" for waste in wastes),
    )
