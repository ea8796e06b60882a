"""What runs under valgrind for `instructions.py`: each contender in a process of its own.

Each is a fork of the same process, so none finds anything that another has left: no warm cache of
the interpreter, no memory in use. What is counted stands between two calls of `getppid`, which
nothing else here calls, and at which callgrind writes down its count.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence

from contenders import CASES, Contender
from inprocess import log_to_nobody
from measure import Runner, no_collector

WARM_UP = 60
"""Requests that do not count: they go by until the interpreter has adapted to its work."""


def main(requests: int, names: Sequence[str]) -> None:
    """Run the cases; prints the process numbers of each: theirs, then ours."""
    log_to_nobody()
    for case in CASES:
        if case.name in names:
            pids = [fork(each, case.is_abandoned, requests) for each in (case.theirs, case.ours)]
            print(json.dumps([case.name, *pids]), flush=True)


def fork(make: Callable[[], Contender], is_abandoned: bool, requests: int) -> int:
    """Run a contender in a child, and wait for its end; returns the child's number."""
    pid = os.fork()
    if not pid:
        run(Runner(make(), is_abandoned), requests)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        raise SystemExit(f"process {pid} ended with status {status}")
    return pid


def run(runner: Runner, requests: int) -> None:
    """Send requests, the last of them between two marks."""
    with no_collector():
        runner.prepare(WARM_UP)()
        send = runner.prepare(requests)
        os.getppid()
        send()
        os.getppid()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
