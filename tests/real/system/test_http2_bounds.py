"""`bound_http2` over real sockets: clients that break the protocol of HTTP/2, and stay.

What belongs here: TLS, and clients that go on sending or do not read. What does not: what is done
with each frame (`operating.test_http2_bounds`), and resets (`real.storms`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from hyperframe.frame import ContinuationFrame, HeadersFrame
from twisted.application.service import IServiceCollection
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from cancelweb.connections import bound_http2, notice_vanished

from ..._docs import HTTP2, run
from ..._http2 import HTTP2Client
from ..._pages import PAGE, GetPage
from ..._servers import Log, SelfSigned, Server, reactor

CONTINUATION = ContinuationFrame(1, b"." * 16384).serialize()


@implementer(IPullProducer)
class Flooder(Protocol):
    """A client that begins a header block, sends more and more of it, and never hangs up."""

    def __init__(self) -> None:
        self.sent = 0
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """Begin."""
        transport: Any = self.transport
        h2 = H2Connection(H2Configuration(client_side=True))
        h2.initiate_connection()
        transport.write(h2.data_to_send() + HeadersFrame(1, b"\x82").serialize())
        transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Send more."""
        transport: Any = self.transport
        self.sent += len(CONTINUATION)
        transport.write(CONTINUATION)

    def stopProducing(self) -> None:
        """See `IPullProducer`."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell."""
        self.lost.callback(None)


class BoundTestCase(TestCase):
    """A Site over TLS whose connections are bounded."""

    timeout = 30

    def setUp(self) -> None:
        """Have no connections yet, and a clock for those of the Site."""
        self.clock: Any = Clock()
        self.protocols: list[Any] = []

    async def serve(
        self, page: Callable[[Any], object], wrap: Callable[[Any], Any] = bound_http2
    ) -> Server:
        """Serve a page."""
        site = Site(GetPage(page), reactor=self.clock)
        site.timeOut = None
        self.note(site)
        certificate = SelfSigned.make(Path(self.mktemp()))
        endpoint = serverFromString(reactor, certificate.listen())
        port = await endpoint.listen(wrap(site))
        self.addCleanup(port.stopListening)
        return Server(port.getHost().port, Log(), certificate)

    def note(self, site: Any) -> None:
        """Keep the protocols that a Site builds."""
        build = site.buildProtocol

        def noted(address: object) -> Any:
            self.protocols.append(build(address))
            return self.protocols[-1]

        site.buildProtocol = noted

    async def until(self, wanted: Callable[[], object]) -> None:
        """Let turns of the reactor pass until something holds."""
        while not wanted():
            await deferLater(reactor, 0)

    @property
    def channel(self) -> Any:
        """Twisted's side of the first connection."""
        return self.protocols[0]._channel

    @property
    def connection(self) -> Any:
        """The server's end of the first connection, below TLS."""
        return self.channel.transport.transport

    @property
    def kept(self) -> int:
        """The bytes that h2 keeps of the connection, without those of a frame that is not whole."""
        buffer = self.channel.conn.incoming_buffer
        frames = sum(len(each.data) for each in buffer._headers_buffer)
        return len(buffer._data) + frames


class Deaf(Protocol):
    """A client that asks for a page, takes a little of it, and reads no more."""

    transport: Any

    def connectionMade(self) -> None:
        """Ask, and allow the server to send all of it."""
        self._h2 = H2Connection(H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self._h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
        self._h2.increment_flow_control_window(2**30)
        names = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "a")]
        self._h2.send_headers(1, names, end_stream=True)
        self.transport.write(self._h2.data_to_send())

    def dataReceived(self, data: bytes) -> None:
        """Read no more."""
        self.transport.pauseProducing()

    def break_protocol(self) -> None:
        """Go on with a header block that was never begun."""
        self.transport.write(CONTINUATION)


def both_ways(site: Any) -> Any:
    """Bound, and notice clients that vanish."""
    return bound_http2(notice_vanished(site, 60))


def both_ways_round(site: Any) -> Any:
    """Do the same the other way round."""
    return notice_vanished(bound_http2(site), 60)


class FloodTests(BoundTestCase):
    """A CONTINUATION flood, whose client stays."""

    async def test_is_closed(self) -> None:
        """A client that floods is disconnected at once, and h2 keeps no more than 256 KiB."""
        server = await self.serve(lambda _: PAGE)
        flooder = await server.connect(Flooder(), b"h2")
        await flooder.lost
        # And what came with the last of that in one read.
        self.assertLess(self.kept, 2**18 + 65536)
        # What was sent beyond that was in the buffers of the sockets.
        self.assertLess(flooder.sent, 16_000_000)

    async def test_is_closed_although_it_does_not_read(self) -> None:
        """A client that takes nothing is disconnected a second after it has broken the protocol."""

        def page(request: Request) -> int:
            for _ in range(30):
                request.write(b"." * 1_000_000)
            return NOT_DONE_YET

        server = await self.serve(page)
        client = await server.connect(Deaf(), b"h2")
        # Twisted is told to write no more when the buffers of both sockets are full.
        await self.until(lambda: self.protocols and getattr(self.channel, "_consumerBlocked", None))
        client.break_protocol()
        await self.until(lambda: self.connection.disconnecting)
        self.assertTrue(self.connection.connected)
        self.clock.advance(1)
        await self.until(lambda: not self.connection.connected)
        client.transport.abortConnection()

    async def test_others_are_served(self) -> None:
        """A connection is served over HTTP/2 as ever, also beside one that floods."""
        for wrap in (both_ways, both_ways_round):
            server = await self.serve(lambda _: PAGE, wrap)
            flooder = await server.connect(Flooder(), b"h2")
            client = await server.connect(HTTP2Client(), b"h2")
            stream = await client.get("/").until(lambda stream: stream.ended)
            self.assertEqual(stream.body, PAGE)
            await flooder.lost
            await client.close()


class HowToTests(SynchronousTestCase):
    """The program of the how-to."""

    def test_listens_with_it(self) -> None:
        """The how-to's application listens with a Site whose HTTP/2 connections are bounded."""
        certificate = SelfSigned.make(Path(self.mktemp()))
        text = HTTP2.read_text().replace("key.pem", str(certificate.private_key))
        names = run(text.replace("cert.pem", str(certificate.certificate)))
        (service,) = names["application"].getComponent(IServiceCollection)
        self.assertRegex(repr(service.factory), "^<bound_http2 <.*Site")
