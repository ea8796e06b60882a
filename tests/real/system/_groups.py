"""Real children of `/bin/sh`, looked for in the system's list of processes.

What belongs here: what tests of more than one module need. What does not: tests.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorProcess
from twisted.internet.task import Clock, deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase
from zope.interface import alsoProvides

from cancelweb import Outcome, cancel_on_disconnect
from cancelweb.testing import Connection

from ..._pages import GetPage, Handler
from ..._servers import REPOSITORY
from ..._visits import connect
from .._procs import running, zombies

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


STUBBORN = "trap '' TERM; while :; do sleep 0.05; done"

DAEMON = (
    "import os, time; ready, tell = os.pipe(); "
    "os.fork() and os._exit(not os.read(ready, 1)); "
    "os.setsid(); os.write(tell, bytes(1)); time.sleep(600)"
)
"""A program that leaves a daemon behind, which holds its pipes."""

OUTPUT = 2**20
"""More than the pipe and our buffer hold."""


class GroupTestCase(TestCase):
    """A test with children.

    Attributes:
        mark: stands in the command lines of a test's own children, and nowhere else.
    """

    timeout = 30

    def setUp(self) -> None:
        self.mark = f"mark-{os.getpid()}-{id(self)}"
        self.addCleanup(self.kill_rest)

    def kill_rest(self) -> None:
        """Leave nothing running where a test has failed."""
        for pid in running(self.mark):
            os.kill(pid, signal.SIGKILL)

    def shell(self, script: str) -> list[str]:
        """A shell, and everything that it starts with `$0` in the arguments, is marked."""
        return ["sh", "-c", script, self.mark]

    def daemon(self) -> str:
        """A shell's command: it ends when a marked process sleeps in a session of its own."""
        return f"{sys.executable} -S -c '{DAEMON}' $0"

    def sleeper(self) -> str:
        """A shell's command: a marked process that sleeps for long."""
        return f"{sys.executable} -c 'import time; time.sleep(600)' $0"

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds, or the test's time is up."""
        while not condition():
            await deferLater(reactor, 0.01)

    async def started(self, count: int) -> None:
        """Wait until so many marked processes run."""
        await self.until(lambda: len(running(self.mark)) == count)

    async def settled(self) -> None:
        """Wait until nothing is left of children whose stream was dropped."""
        await self.until(lambda: not self.is_at_work())
        self.assert_gone()

    def is_at_work(self) -> bool:
        """Whether there are processes, or timers that look after them."""
        timers = any("Group." in str(each) for each in reactor.getDelayedCalls())
        return timers or bool(running(self.mark)) or bool(zombies())

    def assert_gone(self) -> None:
        """No marked process is running, and there are no zombies."""
        self.assertEqual(running(self.mark), [])
        self.assertEqual(zombies(), [])

    def visit(self, handler: Handler, **options: Any) -> tuple[Connection, Deferred[Outcome]]:
        """The connection of a client that has asked a page with this handler, and its outcome."""
        told: Deferred[Outcome] = Deferred()
        decorate: Any = cancel_on_disconnect(observers=told.callback, **options)
        connection = connect(GetPage(decorate(handler)), reactor)
        self.addCleanup(connection.disconnect)
        connection.get()
        return connection, told


class Timed:
    """The real reactor, except that a test's own clock tells and ends its times."""

    def __init__(self) -> None:
        alsoProvides(self, IReactorProcess)
        self.clock = Clock()
        self.callLater, self.seconds = self.clock.callLater, self.clock.seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


async def printed_by(program: str, *before: str) -> Any:
    """What a program of the tests prints, as JSON, run by another program if one is given.

    Raises:
        ProgramFailed: it failed; has what it wrote to its standard error.
    """
    command = [*before, sys.executable, "-m", f"{__package__}.{program}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    out, errors, status = await getProcessOutputAndValue(
        command[0], command[1:], environment, str(REPOSITORY)
    )
    if status:
        raise ProgramFailed(errors.decode())
    return json.loads(out)


class ProgramFailed(Exception):
    """A program of the tests has failed."""


async def ended(chunks: Any) -> Any:
    """Ask for a chunk where there is none."""
    return await anext(chunks)


if sys.platform == "win32":
    GroupTestCase.skip = "a shell and its signals are needed"  # type: ignore[attr-defined]
