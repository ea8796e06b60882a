"""Pages that are asked for over HTTP/2, in memory.

What belongs here: the connection, and what the tests of several streams share. What does not: the
tests.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb.testing import Stream

from .._pages import GetPage, Handler
from .._visits import connect_http2, response_of
from ._streams import StreamTestCase


class HTTP2TestCase(StreamTestCase):
    """A test over HTTP/2.

    Attributes:
        page: what was decorated last.
        connection: the connection that was opened last.
        works: what the requests wait for, by their paths.
        stopped: the paths of the requests that were stopped.
        idle_timeout: the seconds of silence after which Twisted says goodbye; None for never.
    """

    idle_timeout: float | None = None

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
        self.page = self.decorated(handler, page, **options)
        self.open(self.page)

    def open(self, page: Resource) -> None:
        """Connect to the page."""
        site = Site(page, reactor=self.clock, timeout=self.idle_timeout)
        self.connection = connect_http2(site, self.clock)

    def get(self, path: bytes = b"/", method: bytes = b"GET") -> Stream:
        """Ask for the page, and give the server time to answer."""
        stream = self.connection.request(method, path)
        self.settle()
        return stream

    def settle(self) -> None:
        """Let as many turns pass as the server takes to send what it has."""
        self.turn(5)

    def body(self, stream: Stream) -> tuple[bytes, bool]:
        """What has come of the body of the answer, and whether that is all of it."""
        response = response_of(stream)
        return response.body, response.is_complete

    @property
    def server_side(self) -> Any:
        """Twisted's end of the connection, for what no client can see."""
        return self.connection._transport._protocol
