"""The limit on clients that take nothing, over real sockets, in the clear and over TLS.

What belongs here: that what a real transport has still to send tells whether a client takes
anything. Time is that of a clock which the tests move.
"""

from pathlib import Path
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import Request, Site

from cancelweb import Outcome, TimedOut, cancel_on_disconnect

from ._pages import Page
from ._servers import LOOPBACK, SelfSigned

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

PLENTY = bytes(2**26)
"""More than the buffers of both sockets hold."""


class Reader(Protocol):
    """A client that asks, and reads no more once the response has begun, until it is told to."""

    has_begun = False

    def connectionMade(self) -> None:
        """Ask."""
        transport: Any = self.transport
        transport.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        """Stop reading, the first time."""
        transport: Any = self.transport
        if not self.has_begun:
            self.has_begun = True
            transport.pauseProducing()


class SlowReaderTests(TestCase):
    """Promise 14: a client that reads slowly is not cut, one that reads nothing is."""

    timeout = 60

    def setUp(self) -> None:
        self.clock = Clock()
        self.requests: list[Any] = []
        self.outcome: Deferred[Outcome] = Deferred()

    async def plenty(self, request: Request) -> None:
        """Send more than is taken, and wait."""
        self.requests.append(request)
        request.write(PLENTY)
        await Deferred[None]()

    async def connect(self, is_secure: bool) -> Any:
        """A client that has asked, and reads nothing, once the server can send no more."""
        decorate: Any = cancel_on_disconnect(
            observers=self.outcome.callback, clock=self.clock, stall_timeout=10
        )
        site = Site(Page(decorate(self.plenty)))
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        pem = certificate.private_key.read_bytes() + certificate.certificate.read_bytes()
        tls = PrivateCertificate.loadPEM(pem).options()
        if is_secure:
            port = reactor.listenSSL(0, site, tls, interface=LOOPBACK)
        else:
            port = reactor.listenTCP(0, site, interface=LOOPBACK)
        self.addCleanup(port.stopListening)
        endpoint: Any = TCP4ClientEndpoint(reactor, LOOPBACK, port.getHost().port)
        if is_secure:
            endpoint = wrapClientTLS(certificate.trusting(), endpoint)
        self.client: Any = Reader()
        await endpoint.connect(ClientFactory.forProtocol(lambda: self.client))
        await self.standstill()

    async def standstill(self) -> None:
        """Wait until many turns have passed in which the server could send nothing."""
        quiet_turns, before = 0, None
        while quiet_turns < 200:
            await deferLater(reactor, 0.001)
            sent = self.sent
            quiet_turns = quiet_turns + 1 if sent is not None and sent == before else 0
            before = sent

    @property
    def sent(self) -> int | None:
        """How much of the response the kernel has taken."""
        if not self.requests:
            return None
        transport = self.requests[0].channel.transport
        while hasattr(transport, "transport"):
            transport = transport.transport
        offset: int = transport.offset
        return offset

    async def read_some(self) -> None:
        """Have the client read until the kernel has taken more, and then nothing again."""
        before = self.sent
        self.client.transport.resumeProducing()
        while self.sent == before:
            await deferLater(reactor, 0)
        self.client.transport.pauseProducing()
        await self.standstill()

    async def assert_cut(self, is_secure: bool) -> None:
        """It is cut when it takes nothing, and not before."""
        await self.connect(is_secure)
        for _ in range(3):
            self.clock.advance(10)
            await self.read_some()
        self.assertFalse(self.outcome.called)
        self.clock.advance(10)
        self.assertFalse(self.outcome.called)
        self.clock.advance(10)
        self.assertEqual((await self.outcome).cause, TimedOut(10, "stall_timeout"))
        self.client.transport.abortConnection()

    async def test_in_the_clear(self) -> None:
        """Over TCP."""
        await self.assert_cut(is_secure=False)

    async def test_over_tls(self) -> None:
        """Over TLS."""
        await self.assert_cut(is_secure=True)
