"""Connections over HTTP/2 to which one side says goodbye, with GOAWAY, while requests are open.

What belongs here: the client, and what was written to it. What does not: the tests.
"""

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.web.server import NOT_DONE_YET, Request, Site

from cancelweb import CancellingResource
from cancelweb.monitor import Monitor

from .._inmemory import H2Connection
from .._pages import PAGE, GetPage, Handler
from ..scopes._tracking import finish
from ._multiplexed import DeafClient, HTTP2TestCase

DATA, HEADERS, RST_STREAM = 0, 1, 3
"""The types of the frames that belong to a stream."""


class HandlerError(Exception):
    """What a handler fails with."""


class LeavingClient(DeafClient):
    """A client that says goodbye and goes on, or sends half a body."""

    def go_away(self) -> None:
        """Say that no more will come; h2 regards the whole connection as closed then."""
        self._h2.close_connection()
        self._flush()

    def send_half(self, path: str) -> None:
        """Open a stream with a body, of which some is still to come."""
        stream = self.get(path, "POST", is_whole=False)
        self._h2.send_data(stream.stream_id, b"half")
        self._flush()


def frames(data: bytes) -> Iterator[int]:
    """The types of the frames in what was sent."""
    while data:
        yield data[3]
        data = data[9 + int.from_bytes(data[:3], "big") :]


def returns_bytes(_: Request) -> bytes:
    """Return at once."""
    return PAGE


def has_fired(_: Request) -> Deferred[bytes]:
    """Return a Deferred that has fired."""
    return succeed(PAGE)


async def coroutine(_: Request) -> bytes:
    """A coroutine that need not wait."""
    return PAGE


def writes(request: Request) -> int:
    """Write and finish."""
    finish(request)
    return NOT_DONE_YET


def streams(_: Request) -> Iterator[bytes]:
    """Stream."""
    yield PAGE
    yield PAGE


def raises(_: Request) -> bytes:
    """Fail."""
    raise HandlerError


HANDLERS: list[Handler] = [returns_bytes, has_fired, coroutine, writes, streams, raises]


class GoodbyeTestCase(HTTP2TestCase):
    """Pages whose connection is said goodbye to.

    Attributes:
        client: the client.
        handled: the paths for which a handler was run.
    """

    client: LeavingClient

    def setUp(self) -> None:
        """What is told."""
        super().setUp()
        self.monitor = Monitor(self.clock)
        self.handled: list[bytes] = []
        self.ran: list[str] = []

    def open(self, page: Any) -> None:
        """Connect to the page."""
        self.client = LeavingClient()
        site = Site(page, reactor=self.clock)
        self.connection = H2Connection(site, self.clock, self.client)

    def noting(self, handler: Handler) -> Handler:
        """The handler, which is noted to be run."""

        def noting(request: Request) -> object:
            self.handled.append(request.path)
            return handler(request)

        return noting

    def decorate(self, handler: Handler, **options: Any) -> None:
        """Connect to a page that is decorated."""
        self.begin()
        hook = self.ran.append
        self.connect(self.noting(handler), on_exit=lambda _: hook("exit"), **options)

    def wrap(self, handler: Handler, **options: Any) -> None:
        """Connect to a page that is wrapped, of any method."""
        self.begin()
        page = GetPage(self.noting(handler))
        page.render_POST = page.render_GET  # type: ignore[attr-defined]
        wrapper: Any = CancellingResource(
            page,
            monitor=self.monitor,
            observers=self.outcomes.append,
            on_exit=lambda _: self.ran.append("exit"),
            **options,
        )
        self.open(wrapper)

    def begin(self) -> None:
        """Forget the page before."""
        self.handled.clear()
        self.ran.clear()
        self.outcomes.clear()

    def read_at_once(self) -> None:
        """All that the client has sent since the last exchange comes in one read of the server."""
        client_end = self.connection._client_end
        data = client_end.value()
        client_end.clear()
        self.connection.server.deliver(data)
        self.turn(3)

    def go_away(self, path: str = "/", method: str = "GET") -> None:
        """Ask, and say goodbye, in one read."""
        self.client.get(path, method)
        self.client.go_away()
        self.read_at_once()

    def assert_nothing_written(self) -> None:
        """The server has written nothing of any stream, since the last exchange."""
        written = set(frames(self.connection.server.value()))
        self.assertEqual(written & {DATA, HEADERS, RST_STREAM}, set())

    def assert_told_once(self) -> None:
        """There was one scope, which has closed; its hook was run once."""
        self.assertEqual((len(self.outcomes), self.ran), (1, ["exit"]))
        self.assertEqual(self.monitor.scopes, ())

    def assert_logged(self, *errors: type[Exception]) -> None:
        """These errors were logged, and no other."""
        self.assertEqual([each.type for each in self.flushLoggedErrors()], list(errors))
