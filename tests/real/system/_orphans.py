"""A program beside an init that does not collect its orphans: is a child's group waited for?

What belongs here: the program, which `test_process_groups_zombies` runs. It has two parts: an init,
and a program that uses `cancelweb.processes`. What does not: tests.
"""

import json
import subprocess
import sys
from pathlib import Path

from twisted.internet.task import react

from cancelweb.processes import run

from ._reaping import inherit_orphans

ORPHAN = (
    "import os; end, held = os.pipe(); pid = os.fork(); "
    "pid and (print(pid, flush=True), os._exit(0)); "
    "os.close(held); os.read(end, 1)"
)
"""A program that leaves a process behind, which ends after it."""


async def main(_: object) -> None:
    """Run a child that leaves a zombie to the init, and print what is left of its group."""
    done = await run([sys.executable, "-S", "-c", ORPHAN], grace=600)
    stat = Path(f"/proc/{int(done.stdout)}/stat").read_text()
    json.dump({"state": stat.rpartition(")")[2].split()[0]}, sys.stdout)


def be_init() -> int:
    """Run the second part, and collect no orphan meanwhile."""
    inherit_orphans(True)
    return subprocess.run([sys.executable, "-m", __spec__.name, "below"]).returncode


if __name__ == "__main__":
    if sys.argv[1:]:
        react(main)
    sys.exit(be_init())
