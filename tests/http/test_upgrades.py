"""Connections that are taken over by another protocol, such as WebSocket.

What belongs here: when the scope of such a request ends, though Twisted never reports the end.
What does not: a WebSocket implementation.
"""

import gc
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Ended, scope_of

from .._cycles import Memory
from .._visits import VisitTestCase


class UpgradeTests(VisitTestCase):
    """A connection that is taken over by another protocol, such as WebSocket."""

    def take_over(self, request: Any) -> int:
        """Take over the bytes and the end of the connection, as a WebSocket resource does."""
        channel = request.channel
        self.channel_lost: list[object] = []
        channel.dataReceived = lambda data: None
        channel.connectionLost = self.channel_lost.append
        request.setResponseCode(101)
        request.write(b"")
        return NOT_DONE_YET

    def test_taken_over(self) -> None:
        """The scope of a handler that takes over the connection ends when the handler returns."""
        connection = self.visit(self.take_over)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)
        self.assertIs(self.outcome.cause, None)
        self.assertEqual((connection.response.code, connection.response.body), (101, b""))
        connection.disconnect()
        self.assertEqual(len(self.channel_lost), 1)

    def test_taken_over_later(self) -> None:
        """The scope of a handler that takes over the connection after a wait ends with that."""
        allowed: Deferred[None] = Deferred()

        async def handler(request: Any) -> int:
            await allowed
            return self.take_over(request)

        connection = self.visit(handler, timeout=3)
        allowed.callback(None)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)
        self.clock.advance(3)
        self.assertFalse(connection.is_closed)

    def test_lost_after_all(self) -> None:
        """A loss that a request is told about after a takeover changes nothing."""
        allowed: Deferred[None] = Deferred()
        requests: list[Any] = []

        async def handler(request: Any) -> int:
            requests.append(request)
            await allowed
            return self.take_over(request)

        self.visit(handler)
        allowed.callback(None)
        requests[0].connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.outcome.cause, None)

    def test_asked_for(self) -> None:
        """A request that asks for an upgrade in vain keeps its scope and its deadline."""
        connection = self.serve(lambda _: NOT_DONE_YET, timeout=3)
        connection.get(headers={b"Connection": b"Upgrade", b"Upgrade": b"websocket"})
        self.assertEqual(self.outcomes, [])
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 503)

    def test_transport_taken_away(self) -> None:
        """A scope ends when the transport is taken from the channel, as Autobahn does."""

        def handler(request: Any) -> int:
            request.channel.transport = None
            return NOT_DONE_YET

        self.visit(handler)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)

    def test_asked_for_in_vain(self) -> None:
        """Work stops when a client that has asked for an upgrade in vain leaves."""
        stopped: list[object] = []
        for protocol in [b"websocket", b"h2c"]:
            connection = self.serve(lambda _: Deferred[bytes](stopped.append))
            connection.get(headers={b"Connection": b"Upgrade", b"Upgrade": protocol})
            connection.disconnect()
        self.assertEqual(len(stopped), 2)

    def test_work_of_the_handshake(self) -> None:
        """Work that was tracked for a handshake is stopped when the connection is taken over."""
        stopped: list[object] = []
        allowed: Deferred[None] = Deferred()

        def handler(request: Request) -> int:
            scope_of(request).track(Deferred[None](stopped.append))
            return self.take_over(request)

        async def late_handler(request: Request) -> int:
            await allowed
            return handler(request)

        self.visit(handler)
        self.assertEqual(len(stopped), 1)
        self.visit(late_handler)
        allowed.callback(None)
        self.assertEqual(len(stopped), 2)

    def test_no_deadline(self) -> None:
        """A deadline does not close a connection that was taken over."""
        connection = self.visit(self.take_over, timeout=3)
        self.clock.advance(3)
        self.assertFalse(connection.is_closed)
        self.assertEqual(len(self.outcomes), 1)

    def test_request_still_writes(self) -> None:
        """Code that took over the connection may write to the transport of the request."""

        def handler(request: Any) -> int:
            self.transport = request.transport
            return self.take_over(request)

        connection = self.visit(handler)
        self.transport.write(b"frame")
        self.assertTrue(connection.received.endswith(b"frame"))

    def test_nothing_is_held(self) -> None:
        """Nothing in cancelweb holds a request whose connection was taken over."""
        memory = Memory()

        def handler(request: Any) -> int:
            memory.note(request)
            self.scope = scope_of(request)
            return self.take_over(request)

        connection = self.visit(handler)
        self.assertIs(self.scope.request, None)
        del connection, self.scope
        gc.collect()  # Twisted itself leaves a cycle: its channel is not told about the end.
        self.assertEqual(memory.alive(), [])
