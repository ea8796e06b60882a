"""A drain of real connections: what was answered has left the process when it is over.

What belongs here: sockets on loopback. What does not: processes and signals.
"""

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import Request, Site

from cancelweb import CancellingResource
from cancelweb._operating.draining import GLANCE, LINGER
from cancelweb.monitor import Monitor

from ..._loopback import Wire, listen
from ..._pages import Handler, Page, waiting
from ..._servers import LOOPBACK, reactor

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LONG = b"x" * 5_000_000
"""More than the sockets on both sides take in."""


class RealDrainTests(TestCase):
    """A Site on loopback, and its monitor."""

    def setUp(self) -> None:
        """A monitor."""
        self.monitor = Monitor()

    async def connect(self, port: int) -> Wire:
        """Open a connection."""
        wire: Wire = await connectProtocol(TCP4ClientEndpoint(reactor, LOOPBACK, port), Wire())
        return wire

    def listen(self, handler: Handler) -> int:
        """Serve a handler."""
        return listen(self, Site(CancellingResource(Page(handler), monitor=self.monitor)))

    async def test_everybody_is_answered(self) -> None:
        """Of many requests each has its whole 503 when the drain is over, and is disconnected."""
        requests: list[Request] = []
        all_there: Deferred[None] = Deferred()

        def handler(request: Request) -> object:
            requests.append(request)
            if len(requests) == 50:
                all_there.callback(None)
            return waiting(request)

        port = self.listen(handler)
        wires = [await self.connect(port) for _ in range(50)]
        for wire in wires:
            wire.send(GET)
        await all_there
        await self.monitor.drain(0)
        # What is in the clients' sockets by now is all that will ever come.
        received = await gatherResults([wire.closed for wire in wires])
        for each in received:
            self.assertTrue(each.startswith(b"HTTP/1.1 503 "), each)
            self.assertTrue(each.endswith(b"</html>"), each)
        self.assertEqual(self.monitor.totals, {("Draining", "stopped"): 50})

    async def test_a_new_request_on_an_open_connection(self) -> None:
        """It is answered 503 on a connection on which others were served, which is closed."""
        port = self.listen(lambda _: b"page")
        wire = await self.connect(port)
        wire.send(GET)
        await wire.until(b"page")
        await self.monitor.drain(5)
        wire.send(GET)
        received = await wire.closed
        self.assertEqual(received.count(b"HTTP/1.1 503 "), 1)

    async def test_what_is_unsent_is_waited_for(self) -> None:
        """A response that is finished, but not sent, is sent before the drain is over."""
        port = self.listen(lambda _: LONG)
        wire: Any = await self.connect(port)
        wire.send(GET)
        await wire.until(b"x")
        wire.transport.pauseProducing()
        done: list[None] = []
        drained = self.monitor.drain(20)
        drained.addCallback(done.append)
        self.assertEqual(self.monitor.scopes, ())
        other = await self.connect(port)
        other.send(GET)
        await other.closed
        self.assertEqual(done, [])
        wire.transport.resumeProducing()
        await drained
        # What the process has left is in the sockets' buffers at most.
        await wire.until(LONG)
        await wire.leave()

    async def test_but_not_for_ever(self) -> None:
        """A client that does not read is waited for until the time is over, or for a second."""
        port = self.listen(lambda _: LONG)
        wire: Any = await self.connect(port)
        wire.send(GET)
        await wire.until(b"x")
        wire.transport.pauseProducing()
        began = reactor.seconds()
        await self.monitor.drain(0)
        self.assertGreaterEqual(reactor.seconds() - began, 1)
        wire.transport.abortConnection()
        await wire.closed

    async def test_what_is_just_being_sent_is_answered(self) -> None:
        """A request that comes in the moment of the drain, on a connection that was idle."""
        port = self.listen(lambda _: b"page")
        wire = await self.connect(port)
        wire.send(GET)
        await wire.until(b"page")
        drained = self.monitor.drain(5)
        # A round trip later than the server has looked.
        await deferLater(reactor, GLANCE)
        self.assertNoResult(drained)
        wire.send(GET)
        await drained
        received = await wire.closed
        self.assertEqual(received.count(b"HTTP/1.1 503 "), 1)

    async def test_nothing_is_waited_for_without_connections(self) -> None:
        """Where nobody is connected it is over in a turn."""
        wire = await self.connect(self.listen(lambda _: b"page"))
        wire.send(GET)
        await wire.until(b"page")
        await wire.leave()
        began = reactor.seconds()
        await self.monitor.drain(5)
        self.assertLess(reactor.seconds() - began, LINGER)

    async def test_clients_who_ask_without_end(self) -> None:
        """They cannot hold it up for longer than a second, where the port stays open."""
        port = self.listen(lambda _: b"page")
        idle, wire = await self.connect(port), await self.connect(port)
        began, asked = reactor.seconds(), 0
        drained = self.monitor.drain(0)
        while not drained.called:
            wire.send(GET)
            self.assertIn(b" 503 ", await wire.closed)
            asked += 1
            wire = await self.connect(port)
        for each in idle, wire:
            await each.leave()
        self.assertGreater(reactor.seconds() - began, LINGER)
        self.assertGreater(asked, 1)
