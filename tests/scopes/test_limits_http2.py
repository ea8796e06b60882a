"""The time limits over HTTP/2, where a client takes what it gives room for, stream by stream.

What belongs here: what differs from HTTP/1, in memory. What does not: which limit holds.
"""

from collections.abc import AsyncIterator
from typing import Any

from h2.settings import SettingCodes
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.server import Request, Site

from cancelweb import TimedOut

from .._http2 import HTTP2Client, Stream
from .._inmemory import H2Connection
from .._pages import PAGE, GetPage
from ..http._multiplexed import HTTP2TestCase

CHUNK = bytes(2**15)
WIDE = 2**20


class SparingClient(HTTP2Client):
    """A client that gives room for more only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self._taken: list[tuple[int, int]] = []
        h2: Any = self._h2
        self._give_room = h2.acknowledge_received_data
        h2.acknowledge_received_data = self._hold_back

    def _hold_back(self, size: int, stream_id: int) -> list[Any]:
        self._taken.append((size, stream_id))
        return []

    def take(self) -> None:
        """Give room for as much as has come."""
        while self._taken:
            self._give_room(*self._taken.pop())
        self._flush()


class LimitsTests(HTTP2TestCase):
    """Promise 14: what is stuck is cut, and what flows is not."""

    client: Any
    connection: Any

    def open(self, page: GetPage) -> None:
        """Connect a client that gives no room by itself."""
        self.client = SparingClient()
        self.connection = H2Connection(Site(page, reactor=self.clock), self.clock, self.client)

    async def chunks(self, _: Request) -> AsyncIterator[bytes]:
        """Half of a stream's window every second, without end."""
        while True:
            yield CHUNK
            await deferLater(self.clock, 1)

    async def wide_chunks(self, _: Request) -> AsyncIterator[bytes]:
        """As fast as the client gives room, without end."""
        while True:
            yield CHUNK

    def widen(self) -> None:
        """The client gives room for a lot, and reads nothing: the transport is full."""
        h2: Any = self.client._h2
        h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: WIDE})
        h2.increment_flow_control_window(WIDE)
        self.client._flush()
        self.exchange()
        self.connection.channel.pauseProducing()

    def sip(self) -> None:
        """The client reads a little."""
        self.connection.channel.resumeProducing()
        self.clock.advance(0.125)
        self.connection.channel.pauseProducing()
        self.connection.pump()

    def step(self, seconds: int, takes: bool = False) -> None:
        """Let time pass; the client may take what comes."""
        for _ in range(8 * seconds):
            self.clock.advance(0.125)
            self.connection.pump()
            if takes:
                self.client.take()
                self.connection.pump()

    def cut_after(self, stream: Stream, takes: bool = False) -> float:
        """Seconds until the stream is reset, 100 at most."""
        start = self.clock.seconds()
        while stream.reset is None and self.clock.seconds() < start + 100:
            self.step(1, takes)
        seconds = self.clock.seconds() - start
        self.step(1)
        return seconds

    def test_flows(self) -> None:
        """A stream whose client takes what comes flows on."""
        self.connect(self.chunks, timeout=2, stall_timeout=2)
        stream = self.get()
        self.step(30, takes=True)
        self.assertIsNone(stream.reset)
        self.assertGreater(len(stream.body), 20 * len(CHUNK))
        self.client.reset(stream)
        self.exchange()

    def test_held_up(self) -> None:
        """For as long as a client gives no room, `timeout` does not count."""
        self.connect(self.chunks, timeout=2)
        stream = self.get()
        self.step(30)
        self.assertIsNone(stream.reset)
        before = len(stream.body)
        self.step(10, takes=True)
        self.assertIsNone(stream.reset)
        self.assertGreater(len(stream.body), before)
        self.client.reset(stream)
        self.exchange()

    def test_stalled(self) -> None:
        """A client that gives none for `stall_timeout` has its stream reset; a sibling goes on."""

        def handler(request: Any) -> object:
            return self.chunks(request) if request.path == b"/" else self.work(request)

        self.connect(handler, stall_timeout=5)
        stream, sibling = self.get(), self.get("/2")
        self.assertTrue(5 <= self.cut_after(stream) <= 12)
        self.assertEqual(self.outcomes[0].cause, TimedOut(5, "stall_timeout"))
        self.works[b"/2"].callback(PAGE)
        self.client.take()
        self.exchange()
        self.assertEqual(sibling.body, PAGE)

    def test_takes_now_and_then(self) -> None:
        """A client that gives room in time is not cut, be it less than all that awaits it."""

        async def plenty(request: Request) -> None:
            request.write(CHUNK * 20)
            await Deferred[None]()

        self.connect(plenty, stall_timeout=5)
        stream = self.get()
        for _ in range(4):
            self.step(4)
            self.client.take()
        self.assertIsNone(stream.reset)
        self.client.reset(stream)
        self.exchange()

    def test_goes_on_writing(self) -> None:
        """What a handler writes meanwhile does not save a client that takes nothing."""

        async def handler(request: Request) -> None:
            while True:
                request.write(CHUNK)
                await deferLater(self.clock, 1)

        self.connect(handler, stall_timeout=5)
        self.assertTrue(5 <= self.cut_after(self.get()) <= 12)

    def test_wide_window(self) -> None:
        """A client that reads what it has given room for is not cut; one that does not is."""

        async def plenty(request: Request) -> None:
            request.write(bytes(2 * WIDE))
            await Deferred[None]()

        for handler in (self.wide_chunks, plenty):
            self.outcomes.clear()
            self.connect(handler, stall_timeout=5)
            self.widen()
            stream = self.get()
            for _ in range(6):
                self.step(4)
                self.sip()
            self.assertEqual(self.outcomes, [])
            self.assertLess(len(stream.body), WIDE)
            self.step(12)
            self.assertEqual(self.outcomes[0].cause, TimedOut(5, "stall_timeout"))

    def test_piece_by_piece(self) -> None:
        """What the transport sends of what waits in it counts, while the stream waits for it."""
        self.connect(self.wide_chunks, stall_timeout=5)
        self.widen()
        self.get()
        for sent in range(10):
            self.step(4)
            # As a transport of Twisted tells it; this one sends all or nothing.
            self.connection.server.offset = sent
        self.assertEqual(self.outcomes, [])
        self.step(12)
        self.assertEqual(self.outcomes[0].cause, TimedOut(5, "stall_timeout"))

    def test_busy_siblings(self) -> None:
        """What the transport sends for others does not save a stream that has no room."""
        self.connect(self.chunks, stall_timeout=5)
        self.get()
        for sent in range(12):
            self.step(1)
            self.connection.server.offset = sent
        self.assertEqual(self.outcomes[0].cause, TimedOut(5, "stall_timeout"))

    def test_stuck(self) -> None:
        """A handler that is stuck after its first write has its stream reset."""

        async def handler(request: Request) -> None:
            request.write(PAGE)
            await Deferred[None]()

        self.connect(handler, timeout=4)
        self.assertTrue(4 <= self.cut_after(self.get(), takes=True) <= 9)
        self.assertEqual(self.outcomes[0].cause, TimedOut(4))
