"""An example, served by the command in its docstring, and clients that can tell what has come.

What belongs here: what the tests of all examples share. What does not: tests.
"""

import ast
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from .._servers import ALARMING, LOOPBACK, REPOSITORY, LoggedProcess, Server, reactor
from .._sockets import SocketVisit

EXAMPLES = REPOSITORY / "examples"

# Less than each example takes to complete, and far more than a busy machine needs for "at once".
AT_ONCE = 1.5


def docstring(path: Path) -> str:
    """The docstring of an example."""
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text is not None, path
    return text


def command(example: str) -> list[str]:
    """The arguments that an example's docstring gives to `twist`."""
    found = re.search(r"^    PYTHONPATH=examples twist (.*)$", docstring(EXAMPLES / example), re.M)
    assert found is not None, example
    return shlex.split(found[1])


class Reader(SocketVisit):
    """A client of any method, with a body and a header."""

    def __init__(
        self, path: str, method: str = "GET", body: bytes = b"", header: str = "Accept: */*"
    ) -> None:
        super().__init__(path)
        self._request = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def connectionMade(self) -> None:
        """Send the request."""
        self.send(self._request)


class ExampleTestCase(TestCase):
    """A test of an example, which leaves no file behind."""

    timeout = 60

    def setUp(self) -> None:
        """Give the server an empty directory to run in, and for its temporary files."""
        self.directory = Path(self.mktemp()).resolve()
        self.directory.mkdir()
        # Runs after the server was stopped: that is a later cleanup.
        self.addCleanup(self.assert_nothing_is_left)

    def assert_nothing_is_left(self) -> None:
        """The server has left no file behind."""
        self.assertEqual(list(self.directory.iterdir()), [])

    async def serve(self, example: str, **environment: str) -> Server:
        """Run an example's command, on a port that the kernel chose, for the length of a test."""
        process = LoggedProcess()
        path = os.pathsep.join(filter(None, [str(EXAMPLES), os.environ.get("PYTHONPATH")]))
        twist = [sys.executable, "-m", "twisted", "--log-format=text"]
        reactor.spawnProcess(
            process,
            sys.executable,
            [*twist, *command(example), "--listen", f"tcp:0:interface={LOOPBACK}"],
            env={
                **os.environ,
                "PYTHONPATH": path,
                "TMPDIR": str(self.directory),
                **environment,
            },
            path=str(self.directory),
        )
        self.addCleanup(process.stop)
        self.process: Any = process
        started = await process.log.expect(r"Site.* starting on \d+", within=60)
        return Server(int(started.rpartition(" ")[2]), process.log)

    async def assert_stopped(self, server: Server) -> None:
        """The log of cancelweb tells at once that a request was stopped."""
        await server.log.expect(r"\[cancelweb#info\] .*: stopped .*disconnected", within=AT_ONCE)

    def assert_quiet(self, server: Server) -> None:
        """The server has logged nothing alarming."""
        self.assertEqual(server.log.matching(ALARMING), [])
