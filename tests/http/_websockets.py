"""Echoing WebSocket resources of Twisted and Autobahn, and the bytes of a client (RFC 6455).

What belongs here: what the tests of equal bytes and the tests of leaving clients share.
"""

from typing import Any, cast

from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, TestCase

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(opcode: int, payload: bytes) -> bytes:
    """A short frame of a client, with a mask that changes nothing."""
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


TEXT = frame(1, b"echo")
FRAMES = TEXT + frame(8, b"\x03\xe8")
"""A text, and the goodbye."""


def twisted_echo(test: TestCase) -> Any:
    """A factory of Twisted's echo resources; skips the test if this Twisted has no WebSockets."""
    try:
        from twisted.web.websocket import WebSocketResource as Echoing
    except ImportError as error:
        raise SkipTest(f"needs twisted[websocket], of a Twisted that has it: {error}") from error

    def make() -> Any:
        resource = Echoing(cast(Any, TwistedEchoes()))
        resource.isLeaf = True
        return resource

    return make


class TwistedEcho:
    """A WebSocket protocol of Twisted's that sends texts back."""

    def __init__(self, lost: Deferred[None]) -> None:
        self._lost = lost

    def negotiationStarted(self, transport: Any) -> None:
        """Keep the transport."""
        self._transport = transport

    def negotiationFinished(self) -> None:
        """Nothing to do yet."""

    def textMessageReceived(self, message: str) -> None:
        """Send the text back."""
        self._transport.sendTextMessage(message)

    def connectionLost(self, reason: object) -> None:
        """Tell the test that the connection is lost."""
        self._lost.callback(None)


class TwistedEchoes:
    """A factory of echo protocols that fire one Deferred when they lose their connection."""

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def buildProtocol(self, request: object) -> TwistedEcho:
        """Make an echo protocol for a connection."""
        return TwistedEcho(self.lost)


class AutobahnEcho(WebSocketServerProtocol):
    """A WebSocket protocol of Autobahn's that sends texts back."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Send the message back."""
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Tell the test that the connection is closed."""
        self.factory.lost.callback(None)


def autobahn_echo() -> WebSocketResource:
    """An echo resource of Autobahn's."""
    factory: Any = WebSocketServerFactory()
    factory.protocol = AutobahnEcho
    factory.lost = Deferred()
    return WebSocketResource(factory)
