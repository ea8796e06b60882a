"""The system's own list of processes, to look for processes that should be gone.

What belongs here: reading `/proc`, or asking `ps` where there is none. What does not: starting and
stopping processes.
"""

import os
import subprocess
from pathlib import Path


def running(mark: str) -> list[int]:
    """The processes that run with this text in their command line; zombies do not run."""
    listed = subprocess.run(["ps", "-wweo", "pid=,stat=,args="], capture_output=True, text=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return [int(pid) for pid, state, args in rows if mark in args and not state.startswith("Z")]


def zombies() -> list[int]:
    """Children of this process that have ended, and whose status was not fetched."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,stat="], capture_output=True, text=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    mine = str(os.getpid())
    return [int(pid) for pid, parent, state in rows if parent == mine and state.startswith("Z")]


def open_files() -> int:
    """How many files this process has open."""
    return len(list(Path("/dev/fd").iterdir()))
