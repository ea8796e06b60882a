"""Real child processes of `reactor.spawnProcess`, and handlers that start them.

What belongs here: what tests of more than one module need. What does not: tests.
"""

import sys
from contextlib import suppress
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from cancelweb import Ended, Outcome, cancel_on_disconnect
from cancelweb.testing import Connection

from .._pages import GetPage, Handler
from .._visits import connect

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


SLEEP = "echo begun; exec sleep 60"

STUBBORN = "trap '' TERM; echo begun; while :; do sleep 0.05; done"


class Child(ProcessProtocol):
    """A shell that tells when it has begun, and when it has ended.

    Args:
        request: Answered with the child's output when it ends, if it is given.
    """

    def __init__(self, request: Any = None) -> None:
        self.begun: Deferred[None] = Deferred()
        self.ended: Deferred[Any] = Deferred()
        self.output = b""
        self.request = request

    def outReceived(self, data: bytes) -> None:
        if not self.output:
            self.begun.callback(None)
        self.output += data

    def processEnded(self, reason: Failure) -> None:
        # Reports it when everything that this call tells has been told.
        reactor.callLater(0, self.ended.callback, reason.value)
        if self.request is not None and reason.check(ProcessDone):
            self.request.write(self.output)
            self.request.finish()


def kill(process: IProcessTransport) -> None:
    """End a process that has not ended yet."""
    with suppress(ProcessExitedAlready):
        process.signalProcess("KILL")


class ProcessTestCase(TestCase):
    """A test with child processes.

    Attributes:
        child: The last that was started.
    """

    timeout = 20

    def setUp(self) -> None:
        self.clock = Clock()
        self.outcomes: list[Outcome] = []

    def start(self, script: str, request: Any = None, child: Child | None = None) -> Any:
        """Start a shell."""
        self.child = Child(request) if child is None else child
        process = reactor.spawnProcess(self.child, "/bin/sh", ["sh", "-c", script], env=None)
        # A test that fails leaves no shell behind.
        self.addCleanup(kill, process)
        return process

    def visit(self, handler: Handler, **options: Any) -> Connection:
        """The connection of a client that has asked a page with this handler."""
        options.setdefault("observers", self.outcomes.append)
        decorate: Any = cancel_on_disconnect(**options)
        connection = connect(GetPage(decorate(handler)), self.clock)
        connection.get()
        return connection

    def assert_ended(self, ended: Ended) -> None:
        """There is one outcome, and the request ended like this."""
        self.assertEqual([each.ended for each in self.outcomes], [ended])


if sys.platform == "win32":
    ProcessTestCase.skip = "a shell and its signals are needed"  # type: ignore[attr-defined]
