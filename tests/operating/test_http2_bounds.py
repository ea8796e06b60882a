"""`bound_http2`: what the client of one HTTP/2 connection can make a server keep, in memory.

What belongs here: each way in which a connection ends, and what is bounded. What does not: TLS and
real sockets (`real.system.test_http2_bounds`), and abandoned requests (`http.test_rapid_reset`).
"""

import gc
from typing import Any, cast
from weakref import ref

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._http2 import H2Connection as ServerSide
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import providedBy

from cancelweb import connections
from cancelweb._operating.http2_bounds import LARGEST_TABLE
from cancelweb.connections import bound_http2, notice_vanished

from .._frames import frames
from .._pages import PAGE, GetPage
from .._servers import reactor

PING = PingFrame(0, b"are you?").serialize()
FLOOD = {
    "CONTINUATION": HeadersFrame(1, b"\x82").serialize()
    + ContinuationFrame(1, b"." * 1000).serialize() * 70,
    "empty CONTINUATION": HeadersFrame(1, b"\x82").serialize()
    + ContinuationFrame(1, b"").serialize() * 70,
    "WINDOW_UPDATE": WindowUpdateFrame(0, window_increment=2**31 - 1).serialize(),
    "DATA of no stream": DataFrame(1, b"...").serialize(),
    "a frame that is too long": b"\x00\x40\x01\x55" + bytes(5) + b"." * 16385,
}
"""What breaks the protocol."""


class TLS(StringTransport):
    """A transport that has negotiated a protocol."""

    aborted = False

    def __init__(self, negotiated: bytes | None) -> None:
        super().__init__()
        self.negotiatedProtocol = negotiated

    def abortConnection(self) -> None:
        """Note it."""
        self.aborted = True


class BoundTestCase(SynchronousTestCase):
    """A connection whose client is in the hands of the test."""

    def setUp(self) -> None:
        """A Site that is bounded."""
        self.clock: Any = Clock()
        self.answers = 0
        self.site = Site(GetPage(self.page), reactor=self.clock)
        self.addCleanup(self.tidy)

    def tidy(self) -> None:
        """Cancel what Twisted has scheduled, always with the global reactor, to send data."""
        for call in reactor.getDelayedCalls():
            if isinstance(getattr(call.func, "__self__", None), ServerSide):
                call.cancel()

    def page(self, request: Request) -> bytes:
        """Answer with a header that no other answer has."""
        self.answers += 1
        request.setHeader(b"x-number", b"%0100d" % self.answers)
        return PAGE

    def connect(self, negotiated: bytes | None = b"h2", factory: Any = None) -> None:
        """Connect, over HTTP/2 if that was negotiated."""
        self.transport = TLS(negotiated)
        self.protocol: Any = (factory or bound_http2(self.site)).buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        if negotiated == b"h2":
            self.client = H2Connection(H2Configuration(client_side=True))
            self.client.initiate_connection()
            self.send(self.client.data_to_send())

    def send(self, data: bytes) -> None:
        """Have the server read this."""
        self.protocol.dataReceived(data)

    @property
    def h2(self) -> Any:
        """The connection of h2."""
        return self.protocol._channel.conn

    @property
    def kept(self) -> int:
        """How many bytes h2 keeps."""
        buffer = self.h2.incoming_buffer
        return len(buffer._data) + sum(len(each.data) for each in buffer._headers_buffer)

    def assert_keeps_nothing_more(self) -> None:
        """Whatever the client sends from now on is dropped."""
        before = self.kept
        for _ in range(100):
            self.send(PING * 100)
        self.assertEqual(self.kept, before)


class ErrorTests(BoundTestCase):
    """Clients that break the protocol."""

    def test_is_closed_at_once(self) -> None:
        """A connection whose client breaks the protocol gets GOAWAY and is closed at once."""
        for name, flood in FLOOD.items():
            self.connect()
            self.transport.clear()
            self.send(flood)
            self.assertTrue(self.transport.disconnecting, name)
            self.assertEqual(list(frames(self.transport.value()))[-1], "GoAwayFrame", name)

    def test_nothing_more_is_kept(self) -> None:
        """What a client sends after it has broken the protocol is not given to h2."""
        for flood in FLOOD.values():
            self.connect()
            self.send(flood)
            self.assert_keeps_nothing_more()

    def test_in_the_first_read(self) -> None:
        """A client that breaks the protocol in the first read is disconnected, too."""
        self.transport = TLS(b"h2")
        self.protocol = bound_http2(self.site).buildProtocol(cast(Any, None))
        self.protocol.makeConnection(self.transport)
        self.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(self.transport.disconnecting)
        self.assert_keeps_nothing_more()

    def test_is_aborted_if_it_does_not_read(self) -> None:
        """A client that has not taken what it was sent is cut off after a second."""
        self.connect()
        self.send(FLOOD["WINDOW_UPDATE"])
        self.clock.advance(0.9)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(0.1)
        self.assertTrue(self.transport.aborted)

    def test_below_tls(self) -> None:
        """What is closed is the connection below TLS, which would wait for its client."""

        class Wrapper(ProtocolWrapper):
            negotiatedProtocol = b"h2"

            def loseConnection(self) -> None:
                """Wait for the client."""

        class Wrapping(WrappingFactory):
            protocol = Wrapper

        self.connect(factory=Wrapping(cast(Any, bound_http2(self.site))))
        inner = self.protocol.wrappedProtocol
        self.send(FLOOD["WINDOW_UPDATE"])
        self.assertTrue(self.transport.disconnecting)
        self.assertTrue(inner._channel.conn.state_machine.state.name, "CLOSED")

    def test_too_many_resets(self) -> None:
        """A connection that Twisted gives up for its resets is closed at once."""
        self.connect()
        self.h2.close_connection(error_code=11)
        self.send(PING)
        self.assertTrue(self.transport.disconnecting)
        self.assert_keeps_nothing_more()

    def test_headers_without_end(self) -> None:
        """A header block is an error when 256 KiB have come without its end."""
        self.assert_bounded(HeadersFrame(1, b"\x82"), ContinuationFrame(1, b"." * 16384))

    def test_long_frames(self) -> None:
        """A frame of 16 MiB is an error when 256 KiB of it have come."""
        self.connect()
        self.send(b"\xff\xff\xff" + DataFrame(1).serialize()[3:])
        self.assert_closed_after(b"." * 16384, 2**18)

    def assert_bounded(self, first: Frame, more: Frame) -> None:
        """After the first frame, more of the others than is allowed closes the connection."""
        self.connect()
        self.send(first.serialize())
        self.assert_closed_after(more.serialize(), 2**18)

    def assert_closed_after(self, part: bytes, most: int) -> None:
        """The connection is closed when more has come than this, and h2 keeps no more than that."""
        for _ in range(most // len(part)):
            self.assertFalse(self.transport.disconnecting)
            self.send(part)
        self.send(part)
        self.assertTrue(self.transport.disconnecting)
        self.assertLess(self.kept, most + 2 * len(part))
        self.assert_keeps_nothing_more()

    def test_frames_in_pieces(self) -> None:
        """However often a frame comes in pieces, it is served."""
        self.connect()
        frame = b"\x00\x40\x00\x55" + bytes(5) + b"." * 16384
        for _ in range(100):
            self.send(frame[:9000])
            self.send(frame[9000:])
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.kept, 0)


class GoodbyeTests(BoundTestCase):
    """Clients that say goodbye, and stay."""

    def test_nothing_more_is_kept(self) -> None:
        """What a client sends after GOAWAY is not given to h2."""
        self.connect()
        self.send(GoAwayFrame(0).serialize())
        self.assert_keeps_nothing_more()

    def test_takes_its_time(self) -> None:
        """A client that has said goodbye is not cut off: it may still read what it was sent."""
        self.connect()
        self.send(GoAwayFrame(0).serialize())
        self.send(PING)
        self.clock.advance(10)
        self.assertFalse(self.transport.aborted)

    def test_is_cut_off_by_the_idle_timeout(self) -> None:
        """A client that stays after its goodbye is cut off for its silence, whatever it sends."""
        self.connect()
        self.send(GoAwayFrame(0).serialize())
        for _ in range(75):
            self.send(PING)
            self.clock.advance(1)
        self.assertTrue(self.transport.aborted)


class TableTests(BoundTestCase):
    """The table of header fields that h2 keeps for the answers of a connection."""

    def ask(self, size: int) -> None:
        """Allow the server so large a table."""
        self.connect()
        self.send(SettingsFrame(0, {SettingCodes.HEADER_TABLE_SIZE: size}).serialize())

    def test_is_bounded(self) -> None:
        """However large a table a client allows, the server keeps at most 64 KiB."""
        self.ask(2**32 - 1)
        self.assertEqual(self.h2.encoder.header_table_size, LARGEST_TABLE)

    def test_that_a_client_asks_for(self) -> None:
        """A table that is smaller is as large as the client allows."""
        for size in (0, 100, 65536):
            self.ask(size)
            self.assertEqual(self.h2.encoder.header_table_size, size)

    def test_is_told_to_the_client(self) -> None:
        """A client that has allowed a larger table can read the answers."""
        self.connect()
        self.client.update_settings({SettingCodes.HEADER_TABLE_SIZE: 2**20})
        self.client.receive_data(self.transport.value())
        self.transport.clear()
        for number in range(1, 99, 2):
            names = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "a")]
            self.client.send_headers(number, names, end_stream=True)
            self.send(self.client.data_to_send())
            events = self.client.receive_data(self.transport.value())
            self.transport.clear()
            headers = [dict(each.headers) for each in events if hasattr(each, "headers")]
            self.assertEqual([int(each[b"x-number"]) for each in headers], [self.answers])


class NamedLimitsTests(BoundTestCase):
    """The limits of Twisted and h2 that the how-to names."""

    def test_pings_without_reading(self) -> None:
        """A client that reads no answers to its pings is cut off after 17 KiB of them."""
        self.connect()
        self.protocol._channel.pauseProducing()
        for _ in range(1024 - 1):
            self.send(PING)
        self.assertFalse(self.transport.aborted)
        self.send(PING)
        self.assertTrue(self.transport.aborted)
        self.flushLoggedErrors()

    def test_priorities(self) -> None:
        """Priorities of more than a thousand streams cost a client its connection."""
        self.connect()
        for number in range(1, 1999, 2):
            self.send(PriorityFrame(number, depends_on=0).serialize())
        one_more = PriorityFrame(1999).serialize()
        self.assertRaisesRegex(Exception, "^Refusing to insert", self.send, one_more)

    def test_headers(self) -> None:
        """The headers of a request may have 64 KiB."""
        for size, is_closed in (60_000, False), (66_000, True):
            self.connect()
            names = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "a")]
            self.client.send_headers(1, [*names, ("x", "." * size)], end_stream=True)
            self.send(self.client.data_to_send())
            self.assertEqual(self.transport.disconnecting, is_closed)

    def test_open_streams(self) -> None:
        """A client that opens more than a hundred streams breaks the protocol."""
        self.site.resource = GetPage(lambda _: NOT_DONE_YET)
        self.connect()
        for number in range(1, 201, 2):
            self.send(self.head(number))
        self.assertFalse(self.transport.disconnecting)
        self.send(self.head(201))
        self.assertTrue(self.transport.disconnecting)

    def head(self, number: int) -> bytes:
        """A request."""
        frame = HeadersFrame(number, b"\x82\x86\x84\x41\x01a", flags=["END_HEADERS", "END_STREAM"])
        return frame.serialize()


class OthersTests(BoundTestCase):
    """What `bound_http2` leaves alone, and what it gives to listen with."""

    def test_http1(self) -> None:
        """A connection over HTTP/1.1 is served, and its protocol is as its factory made it."""
        for negotiated in (None, b"http/1.1"):
            self.connect(negotiated)
            bounded, self.protocol = self.protocol, None
            self.connect(negotiated, self.site)
            plain = self.protocol
            for self.protocol in bounded, plain:
                self.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertIn(PAGE, self.transport.value())
            self.assertEqual(set(vars(bounded)), set(vars(plain)))

    def test_other_protocols(self) -> None:
        """A protocol that no Site has built is as its factory made it."""
        factory = Factory.forProtocol(Protocol)
        protocol: Any = bound_http2(factory).buildProtocol(cast(Any, None))
        self.assertEqual(set(vars(protocol)), set(vars(factory.buildProtocol(cast(Any, None)))))

    def test_with_notice_vanished(self) -> None:
        """Both functions can be put around a Site, in any order."""
        for factory in (
            bound_http2(notice_vanished(self.site, 30)),
            notice_vanished(bound_http2(self.site), 30),
        ):
            self.connect(factory=factory)
            self.send(FLOOD["WINDOW_UPDATE"])
            self.assertTrue(self.transport.disconnecting)

    def test_no_cycle(self) -> None:
        """A connection that has sent nothing is not kept alive."""
        gc.disable()
        self.addCleanup(gc.enable)
        protocol = bound_http2(self.site).buildProtocol(cast(Any, None))
        alive = ref(protocol)
        del protocol
        self.assertIsNone(alive())

    def test_looks_like_the_factory(self) -> None:
        """`bound_http2` returns what has the interfaces and attributes of the Site."""
        bounded = bound_http2(self.site)
        for interface in providedBy(self.site):
            self.assertTrue(interface.providedBy(bounded))
        self.assertIs(bounded.resource, self.site.resource)
        self.assertEqual(repr(bounded), f"<bound_http2 {self.site!r}>")

    def test_without_h2(self) -> None:
        """Without h2 there is no HTTP/2, and the Site is returned as it is."""
        self.patch(connections, "find_spec", lambda _: None)
        self.assertIs(bound_http2(self.site), self.site)

    def test_wrong_argument(self) -> None:
        """Anything but a factory is an error when the function is called."""
        self.assertRaises(TypeError, bound_http2, Resource())
