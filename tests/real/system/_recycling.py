"""A program for a namespace of process ids: is the id of a child given away, and then signalled?

What belongs here: the program, which `test_process_groups_ids` runs as the first process of such a
namespace. What does not: tests.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater, react

from cancelweb.processes import run

from ._groups import DAEMON

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

CHILD, ITS_DAEMON = 1001, 1002
"""The ids of a child of cancelweb, and of the daemon that holds its output open."""


def begin_after(pid: int) -> None:
    """Have the kernel look for the next free id behind this one."""
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid))


def has_exited(pid: int) -> bool:
    """Whether a process is a zombie, or gone."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


async def main(_: object) -> None:
    """Cancel a child that has exited, beside an unrelated process, and print what happens to it."""
    begin_after(CHILD - 1)
    child = run([sys.executable, "-S", "-c", DAEMON], wait_delay=None)
    while not has_exited(CHILD):
        await deferLater(reactor, 0.01)
    await deferLater(reactor, 0.01)
    begin_after(CHILD - 1)
    unrelated = subprocess.Popen(["sleep", "600"], start_new_session=True)
    child.cancel()
    with suppress(CancelledError):
        await child
    lived = unrelated.poll() is None
    unrelated.kill()
    os.kill(ITS_DAEMON, signal.SIGKILL)
    json.dump({"pid": unrelated.pid, "lived": lived, "status": unrelated.wait()}, sys.stdout)


if __name__ == "__main__":
    react(main)
