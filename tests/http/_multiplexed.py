"""Pages that are asked for over HTTP/2, in memory.

What belongs here: the connection, and what the tests of several streams share. What does not: the
tests, and the protocol of the client.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import Site

from cancelweb import cancel_on_disconnect

from .._http2 import HTTP2Client, Stream
from .._inmemory import H2Connection
from .._pages import GetPage, Handler
from ._streams import TURN, StreamTestCase


class DeafClient(HTTP2Client):
    """A client that can stop reading, so that the server may send no more."""

    is_deaf = False

    def dataReceived(self, data: bytes) -> None:
        if not self.is_deaf:
            super().dataReceived(data)


class HTTP2TestCase(StreamTestCase):
    """A test over HTTP/2."""

    def setUp(self) -> None:
        super().setUp()
        self.works: dict[bytes, Deferred[bytes]] = {}
        self.stopped: list[bytes] = []

    def work(self, request: Any) -> object:
        """Wait, each path for itself."""
        path = request.path
        self.works[path] = Deferred(lambda _: self.stopped.append(path))
        return self.works[path]

    def connect(self, handler: Handler, page: type[GetPage] = GetPage, **options: Any) -> None:
        """Connect to a page that the decorated handler makes."""
        options.setdefault("observers", self.outcomes.append)
        decorate: Any = cancel_on_disconnect(**options)
        self.page = page(decorate(handler))
        self.open(self.page)

    def open(self, page: GetPage) -> None:
        """Connect to the page."""
        self.client = DeafClient()
        site = Site(page, reactor=self.clock)
        self.connection = H2Connection(site, self.clock, self.client)

    def get(self, path: str = "/", method: str = "GET") -> Stream:
        """Ask for the page."""
        stream = self.client.get(path, method)
        self.exchange()
        return stream

    def exchange(self) -> None:
        """Let everything that was sent arrive, on either side."""
        for _ in range(5):
            self.connection.pump()
            self.clock.advance(TURN)

    def headers(self, stream: Stream) -> dict[bytes, bytes]:
        """What the answer says of itself, but for the date."""
        return {name: value for name, value in stream.headers.items() if name != b"date"}
