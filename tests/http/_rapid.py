"""Pages over HTTP/2 whose clean-up takes its time, and clients that reset their streams rapidly.

What belongs here: what the tests of the bound share. What does not: the tests.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from cancelweb import Scope

from ._multiplexed import HTTP2TestCase

MOST = 5


class RapidResetTestCase(HTTP2TestCase):
    """A page whose clean-up takes until the test lets it end."""

    def setUp(self) -> None:
        super().setUp()
        self.handled = 0
        self.cleanups: list[Deferred[None]] = []

    def handler(self, request: Request) -> Deferred[bytes]:
        """Count, and wait."""
        self.handled += 1
        return Deferred()

    def clean_up(self, scope: Scope) -> Deferred[None]:
        """A hook that takes its time."""
        self.cleanups.append(Deferred())
        return self.cleanups[-1]

    def serve_slow_cleanup(self, **options: Any) -> None:
        """Connect to the page."""
        options.setdefault("max_abandoned", MOST)
        self.connect(self.handler, on_exit=self.clean_up, cleanup_timeout=60, **options)

    def reset_rapidly(self, streams: int, method: bytes = b"GET", path: bytes = b"/") -> None:
        """Open streams, and reset each as soon as the server has seen it."""
        for _ in range(streams):
            self.connection.request(method, path).reset()
        self.settle()

    def reset_at_once(self, streams: int) -> None:
        """Open streams and reset them, all in one read of the server's."""
        with self.connection.in_one_read():
            for _ in range(streams):
                self.connection.get().reset()
        self.settle()
