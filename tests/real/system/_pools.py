"""Pools with real children, which the system's list of processes shows.

What belongs here: what tests of more than one module need. What does not: tests.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from cancelweb.processes import Pool

from ._groups import GroupTestCase


def children() -> list[int]:
    """The children of this process that run."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,stat=,comm="], capture_output=True, text=True)
    rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
    mine = str(os.getpid())
    # The last condition leaves out the list's own process.
    return [
        int(pid)
        for pid, parent, state, name in rows
        if parent == mine and not state.startswith("Z") and name != "ps"
    ]


class PoolTestCase(GroupTestCase):
    """A test with pools.

    Attributes:
        path: a file that does not exist yet, by which children tell what they do.
    """

    def setUp(self) -> None:
        super().setUp()
        self.path = self.mktemp()

    def pool(self, *args: Any, **options: Any) -> Pool:
        """A pool that is closed at the end of the test."""
        pool = Pool(*args, **options)
        self.addCleanup(pool.close)
        return pool

    def told(self) -> list[str]:
        """The lines that children have written."""
        return Path(self.path).read_text().split() if Path(self.path).exists() else []

    async def begun(self) -> int:
        """Wait until a child has begun; its process id."""
        await self.until(self.told)
        return int(self.told()[0])

    async def cancelled(self, deferred: Deferred[Any]) -> None:
        """Cancel a call, and wait until its Deferred fires."""
        deferred.cancel()
        await self.assertFailure(deferred, CancelledError)
