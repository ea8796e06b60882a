"""Connections that are taken over by another protocol, such as WebSocket.

What belongs here: where a scope ends that nobody will be told the end of. What does not: a
WebSocket implementation.
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
        """Do what a WebSocket resource does: the connection's bytes and its end are mine."""
        channel = request.channel
        self.channel_lost: list[object] = []
        channel.dataReceived = lambda data: None
        channel.connectionLost = self.channel_lost.append
        request.setResponseCode(101)
        request.write(b"")
        return NOT_DONE_YET

    def test_taken_over(self) -> None:
        """The scope ends when the handler returns: nobody will be told of the disconnect."""
        connection = self.visit(self.take_over)
        self.assertEqual(self.outcome().ended, Ended.COMPLETED)
        self.assertIs(self.outcome().cause, None)
        self.assertEqual((connection.response.code, connection.response.body), (101, b""))
        connection.disconnect()
        self.assertEqual(len(self.channel_lost), 1)

    def test_taken_over_later(self) -> None:
        """It ends as well where the connection is taken over after a wait."""
        allowed: Deferred[None] = Deferred()

        async def handler(request: Any) -> int:
            await allowed
            return self.take_over(request)

        connection = self.visit(handler, timeout=3)
        allowed.callback(None)
        self.assertEqual(self.outcome().ended, Ended.COMPLETED)
        self.clock.advance(3)
        self.assertFalse(connection.is_closed)

    def test_lost_after_all(self) -> None:
        """Who tells the request of the loss all the same ends nothing twice."""
        allowed: Deferred[None] = Deferred()
        requests: list[Any] = []

        async def handler(request: Any) -> int:
            requests.append(request)
            await allowed
            return self.take_over(request)

        self.visit(handler)
        allowed.callback(None)
        requests[0].connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.outcome().cause, None)

    def test_asked_for(self) -> None:
        """That an upgrade was asked for changes nothing: no client decides over its scope."""
        connection = self.serve(lambda _: NOT_DONE_YET, timeout=3)
        connection.get(headers={b"Connection": b"Upgrade", b"Upgrade": b"websocket"})
        self.assertEqual(self.outcomes, [])
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 503)

    def test_transport_taken_away(self) -> None:
        """It ends, too, where the transport is taken from the channel, as Autobahn does."""

        def handler(request: Any) -> int:
            request.channel.transport = None
            return NOT_DONE_YET

        self.visit(handler)
        self.assertEqual(self.outcome().ended, Ended.COMPLETED)

    def test_asked_for_in_vain(self) -> None:
        """Work that is returned to one who asked for an upgrade is stopped when he leaves."""
        stopped: list[object] = []
        for protocol in [b"websocket", b"h2c"]:
            connection = self.serve(lambda _: Deferred[bytes](stopped.append))
            connection.get(headers={b"Connection": b"Upgrade", b"Upgrade": protocol})
            connection.disconnect()
        self.assertEqual(len(stopped), 2)

    def test_work_of_the_handshake(self) -> None:
        """What was tracked for the handshake is stopped, whether it took a wait or not."""
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
        """The deadline does not strike what follows."""
        connection = self.visit(self.take_over, timeout=3)
        self.clock.advance(3)
        self.assertFalse(connection.is_closed)
        self.assertEqual(len(self.outcomes), 1)

    def test_request_still_writes(self) -> None:
        """What has taken over still writes through the request's transport."""

        def handler(request: Any) -> int:
            self.transport = request.transport
            return self.take_over(request)

        connection = self.visit(handler)
        self.transport.write(b"frame")
        self.assertTrue(connection.received.endswith(b"frame"))

    def test_nothing_is_held(self) -> None:
        """Nothing of ours holds the request."""
        memory = Memory()

        def handler(request: Any) -> int:
            memory.note(request)
            self.scope = scope_of(request)
            return self.take_over(request)

        connection = self.visit(handler)
        self.assertIs(self.scope.request, None)
        del connection, self.scope
        gc.collect()  # Twisted itself leaves a cycle: nobody told its channel of the end.
        self.assertEqual(memory.alive(), [])
