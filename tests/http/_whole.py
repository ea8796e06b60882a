"""Pages whose handlers go on after the last byte of the response.

What belongs here: what the tests of whole responses share. What does not: tests.
"""

from typing import Any

from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from cancelweb import (
    CancellingResource,
    Disconnected,
    Ended,
    Outcome,
)
from cancelweb.monitor import Monitor
from cancelweb.testing import Client

from .._pages import Handler, Page
from ._streams import TurningClock

BODY = b"hello"


class WholeTestCase(SynchronousTestCase):
    """A wrapped page whose handlers wait on a clock after the last byte of the response.

    Attributes:
        told: what the hooks and handlers note.
    """

    def setUp(self) -> None:
        """Create the clock, the monitor, and the lists of what is told."""
        self.clock = TurningClock()
        self.monitor = Monitor(self.clock)
        self.outcomes: list[Outcome] = []
        self.told: list[str] = []

    def client(self, handler: Handler, **options: Any) -> Client:
        """A client of the page."""
        options.setdefault("observers", self.outcomes.append)
        root = CancellingResource(
            Page(handler),
            monitor=self.monitor,
            on_cancel=lambda _: self.told.append("cancelled"),
            on_exit=lambda _: self.told.append("exit"),
            **options,
        )
        return Client(root, self.clock)

    def leave(self, handler: Handler, method: bytes = b"GET", **options: Any) -> Outcome:
        """Ask, leave with what has come, and return the outcome once the handler has ended."""
        exchange = self.client(handler, **options).request(method, b"/")
        exchange.disconnect()
        return self.outcome()

    def outcome(self) -> Outcome:
        """The only outcome, once all has ended."""
        self.clock.pump([0.25] * 8)
        [outcome] = self.outcomes
        return outcome

    def assert_finished(self, outcome: Outcome) -> None:
        """The outcome is that of a request whose response was finished."""
        self.assertEqual((outcome.cause, outcome.ended), (None, Ended.COMPLETED))
        self.assertIsNone(outcome.would_have_cancelled)
        self.assertEqual(self.told[-1], "exit")
        self.assertNotIn("cancelled", self.told)

    def assert_left(self, outcome: Outcome) -> None:
        """The outcome is that of a request whose client has left."""
        self.assertIsInstance(outcome.cause, Disconnected)
        self.assertIn("cancelled", self.told)

    def later(self, request: Any) -> int:
        """Write the whole body, and finish in another turn, as `WSGIResource` does."""
        request.setHeader(b"content-length", b"5")
        request.write(BODY)
        self.clock.callLater(0.5, lambda: request.finish())
        return NOT_DONE_YET

    async def waiting(self, request: Any) -> None:
        """A coroutine that writes the whole body, and ends after the late `finish`."""
        self.later(request)
        await deferLater(self.clock, 0.7)
        self.told.append("done")
