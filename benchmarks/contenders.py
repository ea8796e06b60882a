"""A real Site with its real requests over connections in memory.

This module sends and abandons requests. Other modules measure how long that takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from handlers import Stage
from twisted.internet.address import IPv4Address
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.server import Request, Site

MakeRoot = Callable[[Stage], Any]
End = Callable[[Stage], None] | None

REQUEST = b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n"

_ADDRESS = IPv4Address("TCP", "127.0.0.1", 80)
_LOST = Failure(CONNECTION_LOST)


class Connection:
    """A connection, seen from the client."""

    def __init__(self, site: Site) -> None:
        self._transport: Any = StringTransport()
        self._protocol: Any = site.buildProtocol(_ADDRESS)
        self._protocol.makeConnection(self._transport)
        self.send: Callable[[bytes], None] = self._protocol.dataReceived

    def received(self) -> bytes:
        """All that has come since this was called last."""
        received: bytes = self._transport.value()
        self._transport.clear()
        return received

    def leave(self) -> None:
        """Break it. As TCP transports do, this one lets go of its producer first."""
        producer, self._transport.producer = self._transport.producer, None
        producer.stopProducing()
        self._protocol.connectionLost(_LOST)


@define(eq=False)
class Contender:
    """A site, and what its handler waits for.

    Attributes:
        root: the resource at its root.
        stage: what the handler waits for.
        end: brings that to its end; None where nothing is waited for.
        request_factory: makes the site's requests.
    """

    root: Any
    stage: Stage
    end: End
    request_factory: type[Request] = Request

    @classmethod
    def of(cls, make_root: MakeRoot, end: End) -> Contender:
        """One with a stage of its own."""
        stage = Stage()
        return cls(make_root(stage), stage, end)

    def connect(self) -> Connection:
        """Open a connection."""
        site = Site(self.root, self.request_factory, timeout=None, reactor=self.stage.clock)
        return Connection(site)

    def complete(self, connection: Connection, requests: int) -> None:
        """Send requests, each when the one before has been answered."""
        send, end, stage = connection.send, self.end, self.stage
        if end is None:
            for _ in range(requests):
                send(REQUEST)
        else:
            for _ in range(requests):
                send(REQUEST)
                end(stage)

    def abandon(self, connections: list[Connection]) -> None:
        """Send a request on each connection, and leave."""
        for connection in connections:
            connection.send(REQUEST)
            connection.leave()
