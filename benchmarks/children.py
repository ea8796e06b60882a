"""The processes that take part, seen from their parent: start, ask, end.

A child that dies, or does not answer in time, is an error here, never a figure.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

PATIENCE = 300.0
"""Seconds after which a child that does not answer is an error."""


class Child:
    """A process that answers lines with lines of JSON."""

    def __init__(self, program: str, *arguments: str) -> None:
        self.name = " ".join([program, *arguments])
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name(program)), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            # Else a connection takes some hundred bytes more in one run than in the next.
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End it at once, and wait until it has ended."""
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()

    def send(self, line: str) -> None:
        """Send a line, and do not wait for the answer."""
        self._stdin.write(line.encode() + b"\n")

    def answer(self) -> Any:
        """The next line that it sends."""
        while b"\n" not in self._received:
            readable, _, _ = select.select([self._stdout], [], [], PATIENCE)
            more = self._stdout.read(65536) if readable else None
            if not more:
                why = "has died" if readable else f"has not answered in {PATIENCE:g} s"
                raise ChildProcessError(f"{self.name} {why}")
            self._received += more
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)


class Server(Child):
    """A contender."""

    def __init__(self, name: str) -> None:
        super().__init__("serve.py", name)
        self.contender = name
        self.port: int = self.answer()["port"]

    def ask(self, command: str) -> Any:
        """Send a command, and wait for the answer."""
        self.send(command)
        return self.answer()

    def status(self) -> Any:
        """What it knows of itself."""
        return self.ask("status")

    def wait_for(self, condition: Callable[[Any], bool]) -> Any:
        """Ask for the status until it is as it should be; returns that."""
        give_up = time.monotonic() + PATIENCE
        while not condition(status := self.status()):
            if time.monotonic() > give_up:
                raise ChildProcessError(f"{self.name} has not come further than {status}")
            time.sleep(0.02)
        return status


class Clients(Child):
    """A process full of clients."""

    def __init__(self) -> None:
        super().__init__("load.py")

    def begin(self, *command: object) -> None:
        """Send a command, and do not wait for the answer."""
        self.send(json.dumps(command))

    def ask(self, *command: object) -> Any:
        """Send a command, and wait for the answer."""
        self.begin(*command)
        return self.answer()

    def begin_load(self, port: int, connections: int) -> None:
        """Have them send requests, one behind the other on each connection, from now on."""
        self.ask("load", port, connections)

    def end_load(self) -> Any:
        """Have them stop; returns what `Load.run` does."""
        self.send("")
        return self.answer()
