"""Connections over HTTP/2 to which one side says goodbye, with GOAWAY, while requests are open.

What belongs here: saying goodbye, and what was sent after it. What does not: the tests.
"""

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource
from cancelweb.monitor import Monitor

from .._frames import frames
from .._pages import PAGE, GetPage, Handler
from ..scopes._tracking import finish
from ._multiplexed import HTTP2TestCase

OF_STREAMS = {"DataFrame", "HeadersFrame", "RstStreamFrame"}
"""The frames that belong to a stream."""


class HandlerError(Exception):
    """What a handler fails with."""


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
        handled: the paths for which a handler was run.
        ran: a note for each hook that was run.
        monitor: the monitor of pages that are wrapped.
    """

    def setUp(self) -> None:
        super().setUp()
        self.monitor = Monitor(self.clock)
        self.handled: list[bytes] = []
        self.ran: list[str] = []
        self._seen = 0

    def open(self, page: Resource) -> None:
        """Connect to the page."""
        super().open(page)
        self._seen = 0

    def settle(self) -> None:
        """Let as many turns pass as the server takes to send what it has; that counts as seen."""
        super().settle()
        self._seen = len(self.connection.received)

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

    def ask_and_go(self, *paths: bytes, method: bytes = b"GET") -> None:
        """Ask for these pages, and say goodbye, in one read of the server."""
        with self.connection.in_one_read():
            for path in paths or [b"/"]:
                self.connection.request(method, path)
            self.connection.go_away()
        self.turn(3)

    def go_away(self) -> None:
        """Say goodbye."""
        self.connection.go_away()
        self.turn(3)

    def assert_nothing_written(self) -> None:
        """The server has sent nothing of any stream since the last `settle`."""
        written = set(frames(self.connection.received[self._seen :]))
        self.assertEqual(written & OF_STREAMS, set())

    def assert_told_once(self) -> None:
        """There was one scope, which has closed; its hook was run once."""
        self.assertEqual((len(self.outcomes), self.ran), (1, ["exit"]))
        self.assertEqual(self.monitor.scopes, ())

    def assert_logged(self, *errors: type[Exception]) -> None:
        """These errors were logged, and no other."""
        self.assertEqual([each.type for each in self.flushLoggedErrors()], list(errors))
