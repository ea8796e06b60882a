"""The lines of log on the page about work that was not stopped: each is what its cause logs.

What belongs here: bringing each cause about, and comparing. What does not: what is logged besides.
"""

import re
from collections.abc import Callable
from types import FunctionType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock, deferLater
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource, cancel_on_disconnect, shield
from cancelweb.testing import Client

from .._docs import DOCS, directives, section
from .._logs import log_events

PAGE = DOCS / "howto" / "troubleshooting.rst"


def comparable(line: str) -> str:
    """A line of log without its times and places in files."""
    line = re.sub(r"\S+\.py:\d+", "FILE", line.replace("\n", " "))
    return re.sub(r"\d+(\.\d+)? s\b", "N s", line)


def shown(title: str) -> list[str]:
    """The lines of log that a section of the page shows."""
    blocks = [each.body for each in directives(section(PAGE, title)) if each.argument == "text"]
    return [comparable(line) for block in blocks for line in block.splitlines() if line.strip()]


class Report(Resource):
    """A page whose handler a subclass writes; all are called Report, as in the page."""

    isLeaf = True

    def __init__(self, clock: Clock) -> None:
        Resource.__init__(self)
        self.clock = clock

    def finish(self, request: Request) -> None:
        """Answer."""
        request.write(b"done")
        request.finish()

    def wait(self) -> Deferred[bytes]:
        """Wait for three seconds."""
        return deferLater(self.clock, 3, lambda: b"done")


class LinesTests(SynchronousTestCase):
    """A client leaves after a second, and the log is that of the page."""

    def setUp(self) -> None:
        """Collect what is logged."""
        self.clock = Clock()
        self.events = log_events(self)

    def leave(self, root: Any, method: bytes = b"GET") -> None:
        """Ask for /report, leave after a second, and wait for ten."""
        exchange = Client(root, self.clock, watch=False).request(method, b"/report")
        self.clock.advance(1)
        exchange.disconnect()
        self.clock.pump([0.5] * 20)

    def leave_decorated(self, handler: Callable[[Report, Request], object]) -> None:
        """Leave a decorated handler."""
        assert isinstance(handler, FunctionType)
        named = handler.__code__.replace(co_name="render_GET", co_qualname="Report.render_GET")
        handler.__code__ = named
        handler.__qualname__ = "Report.render_GET"
        members = {"render_GET": cancel_on_disconnect(handler)}
        self.leave(type("Report", (Report,), members)(self.clock))

    def assert_shown(self, title: str, count: int = 1) -> None:
        """The section shows so many lines at its beginning, and all of them were logged."""
        logged = [comparable(formatEvent(event)) for event in self.events]
        lines = shown(title)[:count]
        self.assertEqual(len(lines), count)
        for line in lines:
            self.assertIn(line, logged)

    def test_no_entry_point(self) -> None:
        """A handler outside of every entry point finishes a dead request, and Twisted raises."""

        class Plain(Report):
            def render_GET(self, request: Request) -> int:
                self.clock.callLater(3, self.finish, request)
                return NOT_DONE_YET

        error = self.assertRaises(RuntimeError, self.leave, Plain(self.clock))
        [line] = shown("1. The handler is outside of every entry point")
        self.assertEqual(line, f"RuntimeError: {error}")

    def test_not_done_yet(self) -> None:
        """Work that the handler neither returned nor tracked is let go."""

        def handler(page: Report, request: Request) -> int:
            page.clock.callLater(3, page.finish, request)
            return NOT_DONE_YET

        self.leave_decorated(handler)
        self.assert_shown("2. The handler returned ``NOT_DONE_YET``")

    def test_no_canceller(self) -> None:
        """A coroutine that waits for a Deferred without a canceller is let go."""
        kept: list[Deferred[bytes]] = [Deferred()]

        async def handler(page: Report, request: Request) -> bytes:
            return await kept[0]

        self.leave_decorated(handler)
        self.assert_shown("3. The handler waits for a Deferred without a canceller")

    def test_unfinished(self) -> None:
        """A timer that has run and started other work leaves an unfinished response."""

        def handler(page: Report, request: Request) -> IDelayedCall:
            return page.clock.callLater(0.5, page.clock.callLater, 5, page.finish, request)

        self.leave_decorated(handler)
        self.assert_shown("4. The returned work has started other work")

    def test_caught(self) -> None:
        """A coroutine that catches its cancellation and goes on is a survivor."""

        async def handler(page: Report, request: Request) -> bytes:
            while page.clock.seconds() < 9:
                try:
                    await page.wait()
                except Exception:  # what the page warns against
                    continue
            return b"done"

        self.leave_decorated(handler)
        self.assert_shown("5. The code catches the cancellation")

    def test_method(self) -> None:
        """In a wrapped tree, a POST would have been cancelled, and is completed."""
        self.leave(CancellingResource(Undecorated(self.clock)), b"POST")
        self.assert_shown("6. The method may not be cut")

    def test_dry_run(self) -> None:
        """In a dry run, a GET would have been cancelled, and is completed."""
        self.leave(CancellingResource(Undecorated(self.clock), dry_run=True))
        self.assert_shown("7. The site is in a dry run")

    def test_shielded(self) -> None:
        """Shielded work runs to its end before its request has stopped."""

        async def handler(page: Report, request: Request) -> bytes:
            return await shield(page.wait())

        self.leave_decorated(handler)
        self.assert_shown("8. The work is shielded, or slow to stop")


class Undecorated(Report):
    """A page for a wrapper."""

    def render(self, request: Request) -> Any:
        """Return the work, which a wrapper takes."""
        return self.wait()
