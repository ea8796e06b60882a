"""What runs under valgrind for `instructions.py`: each contender in a process of its own.

Each is a fork of the same process, so that no contender finds a warm cache or used memory of
another. The count begins and ends with a call of `getppid`, at which callgrind writes its count.
No other code here calls it. At `getpgrp` callgrind resets its count: otherwise the count of each
process would include the imports.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from functools import cache

from cases import CASES, Case
from contenders import Contender, End, MakeRoot
from handlers import discard_log
from measure import Runner, no_collector
from steps import STEPS

TABLES = {"cases": CASES, **STEPS}

WARM_UP = 120
"""Requests that do not count: they go by until the interpreter has adapted to its work, and until
a burst is counted and no more logged one by one (`FIRST` in cancelweb's `bursts`)."""


def main(requests: int, cases: Sequence[Case]) -> None:
    """Run the cases; prints the process numbers of each: theirs, then ours."""
    discard_log()
    os.getpgrp()
    # The processes need not look for garbage in what has been imported.
    with no_collector():
        for case in cases:
            pids = [
                fork(make, case.end, case.is_abandoned, requests)
                for make in (case.make_theirs, case.make_ours)
            ]
            print(json.dumps(pids), flush=True)


def place_of(case: Case) -> str:
    """The place of a case: the name of its table, and its index there."""
    [place] = [f"{name}:{cases.index(case)}" for name, cases in TABLES.items() if case in cases]
    return place


def find_case(place: str) -> Case:
    """The case in a place."""
    name, _, index = place.partition(":")
    return TABLES[name][int(index)]


@cache
def fork(make_root: MakeRoot, end: End, is_abandoned: bool, requests: int) -> int:
    """Run a contender in a child, and wait for its end; returns the child's number."""
    pid = os.fork()
    if not pid:
        run(Runner(Contender.of(make_root, end), is_abandoned), requests)
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
    main(int(sys.argv[1]), [find_case(each) for each in sys.argv[2:]])
