"""A Dask cluster for tests: a scheduler and workers, each in a process of its own.

What belongs here: starting and ending them, and clients. What does not: the functions that they
run.
"""

import atexit
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from distributed import Client
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cancelweb.dask import Calls

from ..._programs import find_program
from ..._servers import LOOPBACK, REPOSITORY
from .._examples import EXAMPLES
from ._dask_tasks import ROUND, Marks, never_looks

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

LONGEST_START = 60
# Workers import the functions of the tests and of the examples.
PATHS = (*filter(None, [os.environ.get("PYTHONPATH")]), str(REPOSITORY), str(EXAMPLES))
SCHEDULER = ("-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--host", LOOPBACK)
# Without a nanny, the process that is started is the worker itself.
WORKER = ("-m", "distributed.cli.dask_worker", "--no-nanny", "--no-dashboard", "--host", LOOPBACK)
THREADS = 2
"""Of each worker."""


@define(eq=False)
class DaskCluster:
    """A scheduler on a port of its own, which may end and start again, and its workers.

    Attributes:
        directory: where they log, and where tasks may leave files.
    """

    directory: Path
    scheduler: Any = field(default=None, init=False)
    workers: list[Any] = field(factory=list, init=False)
    address: str = field(default="", init=False)

    @classmethod
    def start(cls, workers: int = 2) -> "DaskCluster":
        """Start a cluster; end it with `close`."""
        cluster = cls(Path(tempfile.mkdtemp(prefix="cancelweb-dask-")))
        cluster.start_scheduler()
        for _ in range(workers):
            cluster.start_worker()
        return cluster

    def start_scheduler(self) -> None:
        """Start the scheduler: the first time on any port, then on the same again."""
        file = self.directory / "scheduler.json"
        file.unlink(missing_ok=True)
        port = self.address.rpartition(":")[2] or "0"
        self.scheduler = self._spawn(*SCHEDULER, "--port", port, "--scheduler-file", str(file))
        latest = time.monotonic() + LONGEST_START
        while not (address := _address_in(file)):
            assert self.scheduler.poll() is None and time.monotonic() < latest, self.log
            time.sleep(0.01)
        self.address = address

    def start_worker(self) -> None:
        """Start a worker with `THREADS` threads."""
        options = ("--nthreads", f"{THREADS}", "--memory-limit", "0")
        place = ("--local-directory", str(self.directory))
        self.workers.append(self._spawn(*WORKER, *options, *place, self.address))

    def _spawn(self, *arguments: str) -> "subprocess.Popen[bytes]":
        # `atexit` calls nothing in a process that is killed.
        guard = [find_program("setpriv", "apt-get install util-linux"), "--pdeathsig", "KILL"]
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [*guard, sys.executable, *arguments],
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)},
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        """What all processes have logged."""
        return (self.directory / "log").read_text()

    def connect(self, test: TestCase, **options: Any) -> Client:
        """A synchronous client for the length of a test, once all workers are there."""
        client = Client(self.address, timeout=LONGEST_START, set_as_default=False, **options)
        test.addCleanup(client.close)
        client.wait_for_workers(len(self.workers), timeout=LONGEST_START)
        return client

    def close(self) -> None:
        """End all processes at once, and remove their files; idempotent."""
        processes, self.workers = [*self.workers, self.scheduler], []
        for each in processes:
            with each:
                each.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def _address_in(file: Path) -> str:
    """The scheduler's address, or nothing if its file is not complete."""
    with suppress(FileNotFoundError, ValueError):
        return str(json.loads(file.read_text())["address"])
    return ""


@cache
def dask_cluster() -> DaskCluster:
    """A cluster for all tests of this process that leave it whole; it ends with the process."""
    cluster = DaskCluster.start()
    atexit.register(cluster.close)
    return cluster


@frozen
class Files:
    """The files that the tasks of a test leave.

    Attributes:
        test: at its end, the tasks that still run are told to go on.
        cluster: has the directory.
    """

    test: TestCase
    cluster: DaskCluster

    def marks(self, name: str = "task") -> Marks:
        """The files of a task."""
        directory = self.cluster.directory / self.test.id().rpartition(".")[2]
        directory.mkdir(exist_ok=True)
        marks = Marks(str(directory), name)
        self.test.addCleanup(marks.note, "go")
        return marks


class DaskTestCase(TestCase):
    """A test with a synchronous client of a running cluster."""

    timeout = 120

    def setUp(self) -> None:
        self.cluster = self.start_cluster()
        self.client = self.cluster.connect(self)
        self.calls = Calls(self.client)
        self.marks = Files(self, self.cluster).marks

    def start_cluster(self) -> DaskCluster:
        """The cluster to use."""
        return dask_cluster()

    def fill(self, name: str = "filler") -> tuple[list[Marks], list[Deferred[Any]]]:
        """Give each thread of the workers a task that never looks."""
        marks = [self.marks(f"{name}-{n}") for n in range(THREADS * len(self.cluster.workers))]
        return marks, [self.calls.run(never_looks, each) for each in marks]

    async def assert_cancelled(self, waiting: Deferred[Any]) -> None:
        """Wait for the end of a Deferred that was cancelled."""
        with self.assertRaises(CancelledError):
            await waiting

    async def assert_idle(self) -> None:
        """Wait until the scheduler has no task."""
        # From Python 3.12 on, futures may be in a cycle with an error that was caught.
        gc.collect()
        while self.client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
            await deferLater(reactor, ROUND)


def own_cluster(test: TestCase, workers: int = 2) -> DaskCluster:
    """A cluster for a test that kills a part of it."""
    cluster = DaskCluster.start(workers)
    test.addCleanup(cluster.close)
    return cluster
