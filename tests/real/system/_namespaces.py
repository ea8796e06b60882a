"""Two network namespaces, a cable between them, and processes at its ends.

What belongs here: making and cutting the cable. What does not: the programs that use it.
"""

import os
import subprocess
import sys
from pathlib import Path

from attrs import define
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import TestCase

from ..._programs import find_program, refusal
from ..._servers import REPOSITORY, reactor

ADDRESSES = ("10.99.0.1", "10.99.0.2")
"""The addresses of the two ends, which exist in the namespaces only."""


@define(frozen=True)
class Cable:
    """A cable between two namespaces. The first is the server's."""

    namespaces: tuple[str, str]
    _ip: str

    @classmethod
    def lay(cls, test: TestCase) -> "Cable":
        """Lay a cable for the length of a test.

        Raises:
            SkipTest: This machine cannot, and is not CI; says what is missing.
            FailTest: This machine cannot, and is CI, where a skip would go unseen.
        """
        ends = (f"cancelweb-{os.getpid()}-a", f"cancelweb-{os.getpid()}-b")
        cable = cls(ends, find_program("ip", "apt-get install iproute2"))
        try:
            for each in cable.namespaces:
                cable._run("netns", "add", each)
                test.addCleanup(cable._run, "netns", "del", each)
            cable._connect()
        except subprocess.CalledProcessError as error:
            raise refusal(f"network namespaces are needed, and root: {error.stderr}") from error
        return cable

    def _connect(self) -> None:
        here, there = self.namespaces
        self._run(
            "-n", here, "link", "add", "cable", "type", "veth", "peer", "cable", "netns", there
        )
        for namespace, address in zip(self.namespaces, ADDRESSES, strict=True):
            self._run("-n", namespace, "address", "add", f"{address}/24", "dev", "cable")
            self._run("-n", namespace, "link", "set", "cable", "up")

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._ip, *arguments], check=True, capture_output=True, text=True)

    def cut(self) -> None:
        """Cut the cable: from now on nothing arrives at either end, and neither is told."""
        self._run("-n", self.namespaces[1], "link", "set", "cable", "down")

    def spawn(self, end: int, process: ProcessProtocol, *arguments: str) -> None:
        """Run Python with these arguments at one end."""
        reactor.spawnProcess(
            process,
            self._ip,
            [self._ip, "netns", "exec", self.namespaces[end], sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _paths()))},
            path=str(REPOSITORY),
        )


def _paths() -> list[Path | str]:
    return [REPOSITORY, *filter(None, [os.environ.get("PYTHONPATH")])]
