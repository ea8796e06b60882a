"""Connections from which the server does not read, so that it cannot see a disconnect.

What belongs here: what a monitor says of them, on real connections.
"""

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    connectProtocol,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import Request, Site

from cancelweb import CancellingResource, Scope
from cancelweb.monitor import Monitor

from .._docs import DOCS
from .._logs import log_events, of_cancelweb
from .._loopback import listen
from .._pages import Page, waiting
from .._servers import LOOPBACK, SelfSigned, reactor
from .._sockets import SocketConnection
from .._visits import connect

GET = b"GET /slow?secret HTTP/1.1\r\nHost: localhost\r\n\r\n"


class BlindSpotTests(TestCase):
    """A client that sends more behind its request than Twisted reads ahead."""

    timeout = 20

    async def setUp(self) -> None:  # type: ignore[override]
        """Send a request over loopback, and wait until it is in flight."""
        self.monitor = Monitor()
        site = Site(CancellingResource(Page(self.handler), monitor=self.monitor))
        self.connections: list[Any] = []
        self.endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, listen(self, site))
        await self.ask(self.endpoint)
        self.events = log_events(self)

    async def tearDown(self) -> None:  # type: ignore[override]
        """Abort each connection at both sides: the server may not see that the client has left."""
        for scope in self.monitor.scopes:
            request: Any = scope.request
            request.transport.abortConnection()
        for connection in self.connections:
            connection.transport.abortConnection()
            await connection.closed
        while self.monitor.scopes:
            await deferLater(reactor, 0.01)

    async def ask(self, endpoint: IStreamClientEndpoint) -> None:
        """Send a request, and wait until its handler has begun."""
        self.begun: Deferred[None] = Deferred()
        self.connections.append(await connectProtocol(endpoint, SocketConnection()))
        self.connections[-1].send(GET)
        await self.begun

    def handler(self, request: Request) -> Deferred[bytes]:
        """Say that the handler has begun, and wait forever."""
        self.begun.callback(None)
        return waiting(request)

    async def until_blind(self) -> Scope:
        """Send until the monitor has one blind spot more, and return its scope."""
        blind = len(self.monitor.blind_spots())
        self.connections[-1].send(GET * 1000)
        while len(self.monitor.blind_spots()) == blind:
            await deferLater(reactor, 0.01)
        return self.monitor.blind_spots()[-1]

    async def test_a_usual_request(self) -> None:
        """A request whose connection is read is not a blind spot, and logs nothing."""
        self.assertEqual(self.monitor.blind_spots(), ())
        self.assertEqual(of_cancelweb(self.events), [])

    async def test_is_told(self) -> None:
        """The monitor names the scope of a blind spot, and logs one warning."""
        scope = await self.until_blind()
        self.assertEqual(scope, self.monitor.scopes[0])
        (event,) = of_cancelweb(self.events, LogLevel.warn)
        shown = (DOCS / "howto" / "troubleshooting.rst").read_text()
        self.assertIn(f"   {formatEvent(event)}\n".replace("/slow", "/report"), shown)

    async def test_is_one_indeed(self) -> None:
        """The client of a blind spot leaves, and its scope is not cancelled."""
        scope = await self.until_blind()
        self.connections[0].transport.abortConnection()
        await self.connections[0].closed
        # By the time another client's request has arrived, the server would have seen the loss.
        await self.ask(self.endpoint)
        self.assertEqual((scope.cause, self.monitor.blind_spots()), (None, (scope,)))

    async def test_over_tls(self) -> None:
        """A blind spot over TLS is told, and each of two blind spots has its own warning."""
        first = await self.until_blind()
        certificate = SelfSigned.make(Path(self.mktemp()))
        site = Site(CancellingResource(Page(self.handler), monitor=self.monitor))
        port = await serverFromString(reactor, certificate.listen()).listen(site)
        self.addCleanup(port.stopListening)
        endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, port.getHost().port)
        await self.ask(wrapClientTLS(certificate.trusting(), endpoint))
        self.assertEqual(self.monitor.blind_spots(), (first,))
        second = await self.until_blind()
        self.assertEqual(self.monitor.blind_spots(), (first, second))
        self.assertEqual(len(of_cancelweb(self.events, LogLevel.warn)), 2)


class ElsewhereTests(SynchronousTestCase):
    """Reactors that do not tell from which connections they read."""

    def test_without_a_reactor_that_tells(self) -> None:
        """A monitor on a reactor that does not tell what it reads has no blind spots."""
        monitor = Monitor()
        connection = connect(CancellingResource(Page(waiting), monitor=monitor))
        connection.get()
        self.assertEqual(monitor.blind_spots(), ())
