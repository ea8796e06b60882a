"""A real Redis for tests.

What belongs here: starting a server, and ending it. What does not: what it is used for.
"""

import subprocess
import time

from attrs import define, field

from .._programs import find_program
from .._servers import LOOPBACK

REMEDY = "apt-get install redis-server"
SERVE = ("--save", "", "--appendonly", "no", "--bind", LOOPBACK)
"""In memory alone: nothing must survive a crash."""
LONGEST_START = 20


@define
class Redis:
    """A server on a port of loopback, which may be stopped and started again.

    Attributes:
        port: its port, the same after each start.
    """

    port: int
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """Where it is, for any of its clients."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it accepts connections. It ends with this process at the latest.

        Raises:
            SkipTest: Redis is not installed.
        """
        server = find_program("redis-server", REMEDY)
        # `atexit` calls nothing in a process that is killed.
        guard = [find_program("setpriv", "apt-get install util-linux"), "--pdeathsig", "KILL"]
        self._process = subprocess.Popen(
            [*guard, server, *SERVE, "--port", f"{self.port}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._await_readiness(self._process, time.monotonic() + LONGEST_START)

    def _await_readiness(self, process: "subprocess.Popen[str]", latest: float) -> None:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ready to accept connections" in line:
                return
            if time.monotonic() > latest:
                break
        self.kill()
        raise AssertionError(f"Redis has not started:\n{''.join(lines)}")

    def kill(self) -> None:
        """End it at once, as if its machine had failed; idempotent."""
        process, self._process = self._process, None
        if process is not None:
            with process:
                process.kill()
