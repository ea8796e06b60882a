"""What the tests of `twist cancelweb` as a process share: clients, and starting it.

What belongs here: setting up. What does not: tests, and what is served (`_served`).
"""

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from ..._servers import (
    TWIST_CANCELWEB,
    LoggedProcess,
    Server,
    launch,
)
from ..._sockets import SocketVisit

PAGES = ("--class", "tests.operating._served.Pages")


# Far less than the time that must not be waited for.
AT_ONCE = 2.5


STOPPING = (
    r"stopping( in [\d.]+ s)?: "
    r"(no requests in flight|\d+ requests? in flight ha(s|ve) [\d.]+ s to finish); "
    r"SIGINT stops at once"
)


ALARMING = r"#(warn|error|critical)\]|Traceback|[Uu]nhandled|ReactorNotRunning"


class Lasting(Protocol):
    """A connection that stays open, for one request after the other."""

    def __init__(self) -> None:
        self.received = b""

    def ask(self, path: str) -> None:
        """Send a request."""
        assert self.transport is not None
        self.transport.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def dataReceived(self, data: bytes) -> None:
        """Keep what comes."""
        self.received += data


class Keen(Lasting):
    """A client that asks again as soon as it was answered, while the connection is open.

    Attributes:
        lost: Fires when it is closed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.answered_often: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """Ask for the first time."""
        self._ask_again()

    def dataReceived(self, data: bytes) -> None:
        """Ask again when an answer is complete."""
        super().dataReceived(data)
        if self.received.endswith(b"quick"):
            self._ask_again()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell that the connection is closed."""
        self.lost.callback(None)

    def _ask_again(self) -> None:
        self.asked += 1
        self.ask("/quick")
        if self.asked == 10:
            self.answered_often.callback(None)


class ServerTestCase(TestCase):
    """A test of `twist cancelweb` as a process."""

    timeout = 60

    async def start(self, *options: str, **settings: Any) -> tuple[LoggedProcess, Server]:
        """Run `twist cancelweb`."""
        return await launch(self, (*TWIST_CANCELWEB, *options), **settings)

    async def visit(self, server: Server, path: str) -> SocketVisit:
        """Ask for a page, and wait until the log tells that it is being made."""
        visit = await server.connect(SocketVisit(path))
        await server.log.expect(f"at {re.escape(path)}$")
        return visit

    def assert_quiet(self, process: LoggedProcess) -> None:
        """The process has logged nothing alarming."""
        self.assertEqual(process.log.matching(ALARMING), [])
