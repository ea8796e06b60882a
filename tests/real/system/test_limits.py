"""The limit on clients that take nothing, over real sockets, in the clear and over TLS.

What belongs here: that what a real transport has still to send tells whether a client takes
anything. Time is that of a clock which the tests move.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock, LoopingCall, deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import Request, Site
from twisted.web.static import File

from cancelweb import CancellingResource, Outcome, TimedOut, cancel_on_disconnect

from ..._pages import GetPage
from ..._servers import LOOPBACK, SelfSigned

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

PLENTY = bytes(2**26)
"""More than the buffers of both sockets hold."""

CHUNK = bytes(2**17)


class Reader(Protocol):
    """A client that stops reading when the response begins, until it is told to read."""

    has_begun = False

    def connectionMade(self) -> None:
        """Send the request."""
        transport: Any = self.transport
        transport.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        """Stop reading when the first data comes."""
        transport: Any = self.transport
        if not self.has_begun:
            self.has_begun = True
            transport.pauseProducing()


class ReadersTestCase(TestCase):
    """A test with a client that reads when it is told to."""

    timeout = 60

    def setUp(self) -> None:
        self.clock = Clock()
        self.requests: list[Any] = []
        self.outcome: Deferred[Outcome] = Deferred()

    def make_request(self, *args: Any, **kwargs: Any) -> Request:
        """Make a request, and keep it for the test."""
        self.requests.append(Request(*args, **kwargs))
        request: Request = self.requests[-1]
        return request

    async def connect(self, resource: Any, is_secure: bool) -> Any:
        """Connect a client that reads nothing, and wait until the server can send no more."""
        root = CancellingResource(
            resource, observers=self.outcome.callback, clock=self.clock, stall_timeout=10
        )
        factory: Any = self.make_request
        site = Site(root, requestFactory=factory)
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
        self.connection: Any = Reader()
        await endpoint.connect(ClientFactory.forProtocol(lambda: self.connection))
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
    def sent(self) -> tuple[int, int] | None:
        """How far the response has come: what was written, and what the kernel took of the last."""
        if not any(each.startedWriting for each in self.requests):
            return None
        return self.requests[0].sentLength, self.transport.offset

    @property
    def transport(self) -> Any:
        """The server's transport, below TLS."""
        transport = self.requests[0].channel.transport
        while hasattr(transport, "transport"):
            transport = transport.transport
        return transport

    async def read_some(self) -> None:
        """Have the client read until the kernel has taken more, and then nothing again."""
        before = self.sent
        self.connection.transport.resumeProducing()
        while self.sent == before:
            await deferLater(reactor, 0)
        self.connection.transport.pauseProducing()
        await self.standstill()


class SlowReaderTests(ReadersTestCase):
    """Promise 14: a client that reads slowly is not cut, one that reads nothing is."""

    async def plenty(self, request: Request) -> None:
        """Send more than the client takes, and wait."""
        request.write(PLENTY)
        await Deferred[None]()

    async def assert_cut(self, is_secure: bool) -> None:
        """A client is cut when it takes nothing, and not while it takes something."""
        await self.connect(GetPage(cancel_on_disconnect(self.plenty)), is_secure)
        for _ in range(3):
            self.clock.advance(10)
            await self.read_some()
        self.assertFalse(self.outcome.called)
        self.clock.advance(10)
        self.assertFalse(self.outcome.called)
        self.clock.advance(10)
        self.assertEqual((await self.outcome).cause, TimedOut(10, "stall_timeout"))
        self.connection.transport.abortConnection()

    async def test_in_the_clear(self) -> None:
        """Over TCP, a client that reads slowly is not cut, and one that reads nothing is."""
        await self.assert_cut(is_secure=False)

    async def test_over_tls(self) -> None:
        """Over TLS, a client that reads slowly is not cut, and one that reads nothing is."""
        await self.assert_cut(is_secure=True)


class FlowsTests(ReadersTestCase):
    """Promise 14: what is written as fast as a client reads is not cut, unless it stops reading."""

    async def chunks(self, _: Request) -> AsyncIterator[bytes]:
        """More than a transport takes before it pauses a producer, without end."""
        while True:
            yield CHUNK

    def streamed(self) -> GetPage:
        """A page that streams without end."""
        turns = LoopingCall(self.clock.advance, 0)
        turns.start(0.001)
        self.addCleanup(turns.stop)
        return GetPage(self.chunks)

    def file(self) -> File:
        """A large file, all of it a hole."""
        path = Path(self.mktemp())
        with path.open("wb") as hole:
            hole.truncate(2**40)
        resource = File(str(path))
        resource.isLeaf = True
        return resource

    async def read_on(self) -> None:
        """Have the client read until more waits in a transport that looks as it did before."""
        request, transport = self.requests[0], self.transport
        before = request.sentLength

        def is_alike() -> bool:
            is_paused: bool = request.channel._waitingForTransport
            return is_paused and request.sentLength > before and not transport.dataBuffer

        self.connection.transport.resumeProducing()
        while not self.outcome.called and not is_alike():
            await deferLater(reactor, 0)

    async def assert_flows(self, resource: Any, is_secure: bool) -> None:
        """A client is cut when it stops reading, and not while it reads."""
        await self.connect(resource, is_secure)
        for _ in range(3):
            await self.read_on()
            self.clock.advance(10)
        self.assertFalse(self.outcome.called)
        self.connection.transport.pauseProducing()
        await self.standstill()
        self.clock.pump([10, 10])
        self.assertEqual((await self.outcome).cause, TimedOut(10, "stall_timeout"))
        self.connection.transport.abortConnection()

    async def test_stream(self) -> None:
        """The reader of a stream is not cut while it reads, and is when it stops."""
        await self.assert_flows(self.streamed(), is_secure=False)

    async def test_stream_over_tls(self) -> None:
        """The reader of a stream over TLS is not cut while it reads, and is when it stops."""
        await self.assert_flows(self.streamed(), is_secure=True)

    async def test_file(self) -> None:
        """The reader of a file is not cut while it reads, and is when it stops."""
        await self.assert_flows(self.file(), is_secure=False)

    async def test_file_over_tls(self) -> None:
        """The reader of a file over TLS is not cut while it reads, and is when it stops."""
        await self.assert_flows(self.file(), is_secure=True)
