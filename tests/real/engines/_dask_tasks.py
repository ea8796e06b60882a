"""What Dask's workers run in tests: functions that leave files, by which a test follows them.

What belongs here: functions for workers, and waiting for their files. What does not: the cluster.
"""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from attrs import frozen
from distributed import secede
from twisted.internet import reactor as _installed_reactor
from twisted.internet.task import deferLater

from cancelweb.dask import check

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

ROUND = 0.01
LONGEST = 60


@frozen
class Marks:
    """The files of one task.

    Attributes:
        directory: a directory of the test.
        name: the name of the task.
    """

    directory: str
    name: str = "task"

    def path(self, event: str) -> Path:
        """The file that says that something has happened."""
        return Path(self.directory, f"{self.name}.{event}")

    def note(self, event: str) -> None:
        """Say that something has happened, once more."""
        with self.path(event).open("a") as file:
            file.write(f"{os.getpid()}\n")

    def has(self, event: str) -> bool:
        """Whether something has happened."""
        return self.path(event).exists()

    def pids(self, event: str) -> list[int]:
        """The processes in which something has happened, in order."""
        return [int(each) for each in self.path(event).read_text().split()]

    async def until(self, event: str) -> None:
        """Wait until something has happened."""
        while not self.has(event):
            await deferLater(reactor, ROUND)


def double(number: int) -> int:
    """Return a number twice as big."""
    return 2 * number


def add(one: int, other: int) -> int:
    """Return the sum of two numbers."""
    return one + other


def fail(message: str) -> None:
    """Raise an error."""
    raise KeyError(message)


def looks(marks: Marks, value: Any = "done") -> Any:
    """Run until the task is given up, or told to go on."""
    marks.note("begun")
    try:
        for _ in range(int(LONGEST / ROUND)):
            check()
            if marks.has("go"):
                return value
            time.sleep(ROUND)
    finally:
        marks.note("ended")


def looks_seceded(marks: Marks) -> Any:
    """Run until the task is given up, outside the worker's pool of threads."""
    secede()
    return looks(marks)


async def looks_too(marks: Marks) -> None:
    """Run as a coroutine until the task is given up."""
    marks.note("begun")
    try:
        for _ in range(int(LONGEST / ROUND)):
            check()
            await asyncio.sleep(ROUND)
    finally:
        marks.note("ended")


def never_looks(marks: Marks, value: Any = "done", *rest: Any) -> Any:
    """Run until told to go on."""
    marks.note("begun")
    for _ in range(int(LONGEST / ROUND)):
        if marks.has("go"):
            break
        time.sleep(ROUND)
    marks.note("ended")
    return value


def kills_its_first_worker(marks: Marks) -> str:
    """Kill the worker the first time, as a crash does; the second time, return."""
    marks.note("begun")
    if len(marks.pids("begun")) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"
