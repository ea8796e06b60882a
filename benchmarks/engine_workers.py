"""The job queues and clusters of `wasted_work`: servers and workers in processes of their own.

What belongs here: starting them, and ending them. What does not: the web server in front of them,
and what the workers run.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from attrs import define, field
from engine_jobs import ADDRESS
from wasted_counts import MARK, bury_orphans, marked

PATIENCE = 60.0
"""Seconds in which a process must be ready."""
HERE = Path(__file__).parent
DASK_WORKERS = 2


@define
class Engine:
    """Processes with one mark, and what is known about them.

    Attributes:
        mark: the value of the variable `MARK` in the environment of all of them.
        directory: where their files are.
        slots: how many jobs it runs at once.
        address: where its clients find it.
        workers: the processes that run jobs, or have their children do so.
    """

    mark: str
    directory: Path
    slots: int
    address: str = ""
    workers: list[int] = field(factory=list)
    _started: list[subprocess.Popen[bytes]] = field(factory=list, init=False)

    def start(self, name: str, *command: object, ready: str, times: int = 1) -> int:
        """Start a process, and wait until it has written so many times that it is ready.

        Raises:
            RuntimeError: it has ended, or is not ready in time; the message has its output.
        """
        log = self.directory / f"{name}.log"
        process = self._spawn(log, *command)
        end = time.monotonic() + PATIENCE
        while (written := log.read_text(errors="replace")).count(ready) < times:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{name} has not started:\n{written}")
            time.sleep(0.05)
        return process.pid

    def _spawn(self, log: Path, *command: object) -> subprocess.Popen[bytes]:
        # If this process is killed, the system ends the other.
        guard = ("setpriv", "--pdeathsig", "KILL")
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*guard, *map(str, command)],
                cwd=HERE,
                env={**os.environ, MARK: self.mark, ADDRESS: self.address},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self._started.append(process)
        return process

    def end(self) -> None:
        """End all processes that have the mark, and those that they start meanwhile."""
        # A server of Redis overwrites its environment, and so loses its mark.
        for process in self._started:
            process.kill()
            process.wait()
        while found := marked(self.mark):
            for each in found:
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            time.sleep(0.01)
            bury_orphans()


@contextmanager
def engine(name: str, slots: int) -> Iterator[Engine]:
    """Start an engine; in the end all its processes are gone."""
    with TemporaryDirectory(prefix="cancelweb-engine-") as directory:
        started = Engine(f"wasted-{uuid4().hex}", Path(directory), slots)
        try:
            ENGINES[name](started)
            yield started
        finally:
            started.end()


def redis(engine: Engine) -> None:
    """A Redis that writes nothing to a disk."""
    server = shutil.which("redis-server")
    if server is None:
        sys.exit("redis-server is not installed: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    serve = ("--save", "", "--bind", "127.0.0.1", "--port", port)
    engine.start("redis", server, *serve, ready="Ready to accept connections")
    engine.address = f"redis://127.0.0.1:{port}/0"


def celery(engine: Engine) -> None:
    """A worker with a process for each slot, and a Redis."""
    redis(engine)
    pool = ("--pool", "prefork", "--concurrency", engine.slots)
    # There are no other workers to look for, which takes a second.
    options = (*pool, "--without-mingle", "--loglevel", "INFO")
    command = (sys.executable, "-m", "celery", "-A", "engine_celery", "worker", *options)
    engine.workers.append(engine.start("worker", *command, ready=" ready."))


def rq(engine: Engine) -> None:
    """A pool of workers that run one job each, and a Redis."""
    redis(engine)
    options = ("--url", engine.address, "--num-workers", engine.slots)
    command = (sys.executable, "-m", "rq.cli", "worker-pool", "reports", *options)
    ready, times = "Listening on reports", engine.slots
    engine.workers.append(engine.start("worker", *command, ready=ready, times=times))


def dask(engine: Engine) -> None:
    """A scheduler, and workers that share the slots."""
    python = (sys.executable, "-m")
    where = engine.directory / "scheduler.json"
    local = ("--no-dashboard", "--host", "127.0.0.1", "--scheduler-file", where)
    scheduler = (*python, "distributed.cli.dask_scheduler", *local, "--port", 0)
    engine.start("scheduler", *scheduler, ready="Scheduler at:")
    engine.address = str(where)
    for number in range(DASK_WORKERS):
        threads = (engine.slots + number) // DASK_WORKERS
        place = ("--local-directory", engine.directory / f"{number}")
        worker = (*python, "distributed.cli.dask_worker", *local, "--nthreads", threads, *place)
        engine.workers.append(engine.start(f"worker {number}", *worker, ready="Registered to:"))


ENGINES: dict[str, Callable[[Engine], None]] = {
    "Celery": celery,
    "Dask": dask,
    "RQ": rq,
    "process pool": lambda engine: None,
}
