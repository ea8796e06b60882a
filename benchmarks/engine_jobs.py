"""What the workers of job queues and clusters run for `wasted_work`.

Each run of a job leaves a note: a file with the name of its process. `Notes` reads them. What does
not belong here: starting workers, and handing them jobs. `engine_celery` has Celery's own tasks.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from attrs import frozen

ADDRESS = "CANCELWEB_ENGINE"
"""The environment variable that says where the engine is, to its workers and its clients."""

STEP = 0.02
"""Seconds that a job waits between two steps."""
BURST = 0.002
"""Seconds of a processor that a step takes: ten jobs at once keep one processor busy."""
BLOCK = bytes(2**16)
ENDED = ".ended"

STATE, BORN = 0, 19
"""The places of a process's state and its time of birth in /proc/PID/stat, after its name."""


def job(directory: str, seconds: float, look: Callable[[], object] = lambda: False) -> None:
    """Wait and work by turns, and look before each step: what is true, or raises, ends the job."""
    with noted(Path(directory)):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not look():
            burn()
            time.sleep(STEP)


def burn() -> None:
    """Keep a processor busy for a moment."""
    end = time.thread_time() + BURST
    while time.thread_time() < end:
        hashlib.sha256(BLOCK).digest()


@contextmanager
def noted(directory: Path) -> Iterator[None]:
    """Note that a run has begun and, if its process lives so long, that it has ended."""
    pid = os.getpid()
    note = directory / f"{pid}-{facts(pid)[BORN]}-{uuid4().hex}"
    note.touch()
    try:
        yield
    finally:
        note.rename(f"{note}{ENDED}")


@frozen
class Notes:
    """What the runs of jobs have noted in a directory."""

    directory: Path

    def began(self) -> int:
        """How many runs have begun, ended or not."""
        return len(os.listdir(self.directory))

    def running(self) -> int:
        """How many have not ended and have a process that lives."""
        names = os.listdir(self.directory)
        return sum(lives(name) for name in names if not name.endswith(ENDED))


def lives(note: str) -> bool:
    """Whether the process that left this note runs: a later one may have got its number."""
    pid, born, _ = note.split("-")
    found = facts(int(pid))
    return bool(found) and found[STATE] != "Z" and found[BORN] == born


def facts(pid: int) -> list[str]:
    """What proc(5) says about a process after its name; nothing if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
