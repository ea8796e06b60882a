"""The time limits over HTTP/2, where a client takes what it gives room for, stream by stream.

What belongs here: what differs from HTTP/1, in memory. What does not: which limit holds.
"""

from collections.abc import AsyncIterator
from typing import Any

from h2.settings import SettingCodes
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import Request

from cancelweb import TimedOut
from cancelweb.testing import Stream

from .._pages import PAGE
from .._visits import response_of
from ..http._multiplexed import HTTP2TestCase

CHUNK = bytes(2**15)
WIDE = 2**20


class LimitsTests(HTTP2TestCase):
    """Promise 14: what is stuck is cut, and what flows is not."""

    def open(self, page: Resource) -> None:
        """Connect a client that gives room for more only when it is told to."""
        super().open(page)
        self.h2 = self.connection._h2
        self.give_room = self.h2.acknowledge_received_data
        self.taken: list[tuple[int, int]] = []
        self.h2.acknowledge_received_data = lambda *taken: self.taken.append(taken)

    def take(self) -> None:
        """Give room for as much as has come."""
        while self.taken:
            self.give_room(*self.taken.pop())
        self.connection.flush()

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
        self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: WIDE})
        self.h2.increment_flow_control_window(WIDE)
        self.connection.flush()
        self.settle()
        self.connection.pause(full=True)

    def sip(self) -> None:
        """The client reads a little."""
        self.connection.resume()
        self.clock.advance(0.125)
        self.connection.pause(full=True)

    def tell_sent(self, sent: int) -> None:
        """Have sent a piece of what waits, as a transport of Twisted tells it.

        The kit's transport sends all or nothing.
        """
        transport: Any = self.connection._transport
        transport.offset = sent

    def step(self, seconds: int, takes: bool = False) -> None:
        """Let time pass; the client may take what comes."""
        for _ in range(8 * seconds):
            self.clock.advance(0.125)
            if takes:
                self.take()

    def cut_after(self, stream: Stream, takes: bool = False) -> float:
        """Seconds until the stream is reset, 100 at most."""
        start = self.clock.seconds()
        while stream.error_code is None and self.clock.seconds() < start + 100:
            self.step(1, takes)
        seconds = self.clock.seconds() - start
        self.step(1)
        return seconds

    def test_flows(self) -> None:
        """A stream whose client takes what comes flows on."""
        self.connect(self.chunks, timeout=2, stall_timeout=2)
        stream = self.get()
        self.step(30, takes=True)
        self.assertIsNone(stream.error_code)
        self.assertGreater(len(response_of(stream).body), 20 * len(CHUNK))
        stream.reset()
        self.settle()

    def test_held_up(self) -> None:
        """For as long as a client gives no room, `timeout` does not count."""
        self.connect(self.chunks, timeout=2)
        stream = self.get()
        self.step(30)
        self.assertIsNone(stream.error_code)
        before = len(response_of(stream).body)
        self.step(10, takes=True)
        self.assertIsNone(stream.error_code)
        self.assertGreater(len(response_of(stream).body), before)
        stream.reset()
        self.settle()

    def test_stalled(self) -> None:
        """A client that gives a stream no room for `stall_timeout` has it reset; others go on."""

        def handler(request: Any) -> object:
            return self.chunks(request) if request.path == b"/" else self.work(request)

        self.connect(handler, stall_timeout=5)
        stream, sibling = self.get(), self.get(b"/2")
        self.assertTrue(5 <= self.cut_after(stream) <= 12)
        self.assertEqual(self.outcomes[0].cause, TimedOut(5, "stall_timeout"))
        self.works[b"/2"].callback(PAGE)
        self.take()
        self.settle()
        self.assertEqual(response_of(sibling).body, PAGE)

    def test_takes_now_and_then(self) -> None:
        """A client that gives room in time is not cut, be it less than all that awaits it."""

        async def plenty(request: Request) -> None:
            request.write(CHUNK * 20)
            await Deferred[None]()

        self.connect(plenty, stall_timeout=5)
        stream = self.get()
        for _ in range(4):
            self.step(4)
            self.take()
        self.assertIsNone(stream.error_code)
        stream.reset()
        self.settle()

    def test_goes_on_writing(self) -> None:
        """What a handler goes on writing does not save a client that takes nothing."""

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
            self.assertLess(len(response_of(stream).body), WIDE)
            self.step(12)
            self.assertEqual(self.outcomes[0].cause, TimedOut(5, "stall_timeout"))

    def test_piece_by_piece(self) -> None:
        """While a stream waits for the transport, each piece that the transport sends counts."""
        self.connect(self.wide_chunks, stall_timeout=5)
        self.widen()
        self.get()
        for sent in range(10):
            self.step(4)
            self.tell_sent(sent)
        self.assertEqual(self.outcomes, [])
        self.step(12)
        self.assertEqual(self.outcomes[0].cause, TimedOut(5, "stall_timeout"))

    def test_busy_siblings(self) -> None:
        """What the transport sends for others does not save a stream that has no room."""
        self.connect(self.chunks, stall_timeout=5)
        self.get()
        for sent in range(12):
            self.step(1)
            self.tell_sent(sent)
        self.assertEqual(self.outcomes[0].cause, TimedOut(5, "stall_timeout"))

    def test_stuck(self) -> None:
        """A handler that is stuck after its first write has its stream reset."""

        async def handler(request: Request) -> None:
            request.write(PAGE)
            await Deferred[None]()

        self.connect(handler, timeout=4)
        self.assertTrue(4 <= self.cut_after(self.get(), takes=True) <= 9)
        self.assertEqual(self.outcomes[0].cause, TimedOut(4))
