"""A drain of real connections: what was answered has left the process when it is over.

What belongs here: sockets on loopback. What does not: processes and signals.
"""

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import NOT_DONE_YET, Request, Site

from cancelweb import CancellingResource
from cancelweb._operating import draining
from cancelweb._operating.quiet import GLANCE, LINGER
from cancelweb.monitor import Monitor

from ..._loopback import listen
from ..._pages import Handler, Page, waiting
from ..._servers import LOOPBACK, reactor
from ..._sockets import SocketConnection
from ..._work import Errand

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LONG = b"x" * 5_000_000
"""More than the sockets on both sides take in."""


class RealDrainTestCase(TestCase):
    """A Site on loopback, and its monitor."""

    def setUp(self) -> None:
        """Make a monitor."""
        self.monitor = Monitor()

    async def connect(self, port: int) -> SocketConnection:
        """Open a connection."""
        endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, port)
        connection: SocketConnection = await connectProtocol(endpoint, SocketConnection())
        return connection

    def listen(self, handler: Handler) -> int:
        """Serve a handler."""
        return listen(self, Site(CancellingResource(Page(handler), monitor=self.monitor)))


class RealDrainTests(RealDrainTestCase):
    """Drains while clients are connected."""

    async def test_all_clients_are_answered(self) -> None:
        """When a drain is over, each of many requests has its whole 503 and a closed connection."""
        requests: list[Request] = []
        all_there: Deferred[None] = Deferred()

        def handler(request: Request) -> object:
            requests.append(request)
            if len(requests) == 50:
                all_there.callback(None)
            return waiting(request)

        port = self.listen(handler)
        connections = [await self.connect(port) for _ in range(50)]
        for connection in connections:
            connection.send(GET)
        await all_there
        await self.monitor.drain(0)
        # What is in the clients' sockets by now is all that will ever come.
        received = await gatherResults([connection.closed for connection in connections])
        for each in received:
            self.assertTrue(each.startswith(b"HTTP/1.1 503 "), each)
            self.assertTrue(each.endswith(b"</html>"), each)
        self.assertEqual(self.monitor.totals, {("Draining", "stopped"): 50})

    async def test_a_new_request_on_an_open_connection(self) -> None:
        """After a drain, a request on an open connection gets a 503, and the connection closes."""
        port = self.listen(lambda _: b"page")
        connection = await self.connect(port)
        connection.send(GET)
        await connection.until(b"page")
        await self.monitor.drain(5)
        connection.send(GET)
        received = await connection.closed
        self.assertEqual(received.count(b"HTTP/1.1 503 "), 1)

    async def test_what_is_unsent_is_waited_for(self) -> None:
        """A response that is finished, but not sent, is sent before the drain is over."""
        port = self.listen(lambda _: LONG)
        connection: Any = await self.connect(port)
        connection.send(GET)
        await connection.until(b"x")
        connection.transport.pauseProducing()
        done: list[None] = []
        drained = self.monitor.drain(20)
        drained.addCallback(done.append)
        self.assertEqual(self.monitor.scopes, ())
        other = await self.connect(port)
        other.send(GET)
        await other.closed
        self.assertEqual(done, [])
        connection.transport.resumeProducing()
        await drained
        # What the process has left is in the sockets' buffers at most.
        await connection.until(LONG)
        await connection.leave()

    async def test_but_not_for_ever(self) -> None:
        """A client that does not read is waited for a second, even in a drain of no time."""
        port = self.listen(lambda _: LONG)
        connection: Any = await self.connect(port)
        connection.send(GET)
        await connection.until(b"x")
        connection.transport.pauseProducing()
        began = reactor.seconds()
        await self.monitor.drain(0)
        self.assertGreaterEqual(reactor.seconds() - began, 1)
        connection.transport.abortConnection()
        await connection.closed

    async def test_what_is_just_being_sent_is_answered(self) -> None:
        """A request that comes just after a drain began, on an idle connection, gets a 503."""
        port = self.listen(lambda _: b"page")
        connection = await self.connect(port)
        connection.send(GET)
        await connection.until(b"page")
        drained = self.monitor.drain(5)
        # A round trip later than the server has looked.
        await deferLater(reactor, GLANCE)
        self.assertNoResult(drained)
        connection.send(GET)
        await drained
        received = await connection.closed
        self.assertEqual(received.count(b"HTTP/1.1 503 "), 1)

    async def test_just_being_sent_as_the_port_closes(self) -> None:
        """After a delay, a request that comes just after its port has closed is still served."""
        connection: SocketConnection = await self.connect(self.listen(lambda _: b"page"))

        def close() -> None:
            # A round trip later than the server has looked.
            reactor.callLater(GLANCE, connection.send, GET)

        await self.monitor.drain(5, delay=GLANCE, close=close)
        received = await connection.closed
        self.assertEqual(received.count(b"HTTP/1.1 200 "), 1)
        self.assertIn(b"\r\nConnection: close\r\n", received)

    async def test_idle_after_the_port_has_closed(self) -> None:
        """A connection that is idle after the delay is turned away, once it has been for a time."""
        connection: SocketConnection = await self.connect(self.listen(lambda _: b"page"))
        await self.monitor.drain(5, delay=GLANCE, close=lambda: None)
        connection.send(GET)
        received = await connection.closed
        self.assertEqual(received.count(b"HTTP/1.1 503 "), 1)

    async def test_nothing_is_waited_for_without_connections(self) -> None:
        """A drain without connections does not wait."""
        connection = await self.connect(self.listen(lambda _: b"page"))
        connection.send(GET)
        await connection.until(b"page")
        await connection.leave()
        began = reactor.seconds()
        await self.monitor.drain(5)
        self.assertLess(reactor.seconds() - began, LINGER)

    async def test_clients_that_ask_without_end(self) -> None:
        """Clients that ask without end get a 503 each, and do not keep the drain from ending."""
        port = self.listen(lambda _: b"page")
        idle, connection = await self.connect(port), await self.connect(port)
        began, asked = reactor.seconds(), 0
        drained = self.monitor.drain(0)
        while not drained.called:
            connection.send(GET)
            self.assertIn(b" 503 ", await connection.closed)
            asked += 1
            connection = await self.connect(port)
        for each in idle, connection:
            await each.leave()
        self.assertGreater(reactor.seconds() - began, LINGER)
        self.assertGreater(asked, 1)


class BoundsTests(RealDrainTestCase):
    """What comes too late, or never ends, on real connections."""

    async def assert_ends(self, seconds: float = 0) -> None:
        """A drain is over soon."""
        began = reactor.seconds()
        await self.monitor.drain(seconds)
        self.assertLess(reactor.seconds() - began, seconds + 4)

    async def test_a_body_that_does_not_come(self) -> None:
        """A drain does not wait for the rest of an upload's body."""
        connection = await self.connect(self.listen(lambda _: b"page"))
        connection.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n.")
        await self.assert_ends()
        self.assertEqual(self.monitor.opened, 0)
        await connection.leave()

    async def test_a_body_that_comes_late(self) -> None:
        """An upload whose body arrives during the drain is turned away, and the drain ends."""
        connection = await self.connect(self.listen(lambda _: b"page"))
        connection.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n.")
        drained = self.monitor.drain(1)
        await deferLater(reactor, GLANCE)
        connection.send(b".")
        self.assertIn(b"HTTP/1.1 503 ", await connection.closed)
        await drained

    async def test_a_spared_request(self) -> None:
        """A POST that runs on without its client is cancelled at the end of the drain."""
        port = self.listen(waiting)
        connection = await self.connect(port)
        connection.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        while not self.monitor.scopes:
            await deferLater(reactor, GLANCE)
        await connection.leave()
        await self.assert_ends(0.1)
        self.assertEqual([*self.monitor.totals], [("Draining", "stopped")])

    async def test_an_upgraded_connection(self) -> None:
        """A connection that another protocol has taken over is not waited for, and stays open."""
        taken: list[Request] = []

        def take_over(request: Any) -> int:
            taken.append(request)
            request.channel.dataReceived = lambda data: None
            request.channel.connectionLost = lambda reason: None
            request.setResponseCode(101)
            request.write(b"")
            return NOT_DONE_YET

        connection = await self.connect(self.listen(take_over))
        connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n")
        await connection.until(b" 101 ")
        await self.assert_ends()
        self.assertEqual((len(taken), connection.closed.called), (1, False))
        await connection.leave()

    async def test_a_scope_that_is_never_told_of_its_end(self) -> None:
        """A scope whose own limits never strike is left open, after its limits and some more."""
        self.patch(draining, "MARGIN", 0.5)
        self.monitor = Monitor(reactor)
        options: Any = {"survivor_after": 0.1, "cleanup_timeout": 0.1, "clock": Clock()}
        stuck = CancellingResource(
            Page(lambda _: Errand(obedient=False)), monitor=self.monitor, **options
        )
        connection = await self.connect(listen(self, Site(stuck)))
        connection.send(GET)
        while not self.monitor.scopes:
            await deferLater(reactor, GLANCE)
        await self.assert_ends()
        self.assertEqual(len(self.monitor.scopes), 1)
        await connection.leave()
