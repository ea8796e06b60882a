"""The limits on clients that take nothing, and on whole responses; and where no limit cuts.

What belongs here: `stall_timeout` and `total_timeout` of one entry point, in memory, over HTTP/1.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.server import Request

from cancelweb import (
    CancellingResource,
    Disconnected,
    Ended,
    TimedOut,
    cancel_on_disconnect,
    scope_of,
)
from cancelweb.testing import Connection

from .._pages import PAGE, Page, returning
from .._visits import connect
from ._limits import LimitsTestCase


class StalledClientTests(LimitsTestCase):
    """Promise 14: a client that takes nothing for `stall_timeout` is cut."""

    def test_default(self) -> None:
        """A client may take as long as it likes if no `stall_timeout` is given."""
        connection = self.visit(self.slow_stream)
        connection.pause(full=True)
        self.step(1000)
        self.assertFalse(connection.is_aborted)
        connection.disconnect()

    def test_cut(self) -> None:
        """A client that takes nothing is cut within one to two limits."""
        connection = self.visit(self.slow_stream, stall_timeout=5)
        self.step(12)
        self.assertFalse(connection.is_aborted)
        connection.pause(full=True)
        self.assertTrue(17 <= self.cut_at(connection) <= 22)
        outcome = self.outcome
        self.assertEqual(outcome.cause, TimedOut(5, "stall_timeout"))
        self.assertEqual(outcome.ended, Ended.STOPPED)

    def test_resumed_in_time(self) -> None:
        """A client that takes something now and then is not cut."""
        connection = self.visit(self.slow_stream, stall_timeout=5, timeout=2)
        for _ in range(10):
            connection.pause(full=True)
            self.step(4)
            connection.resume()
            self.step(2)
        self.assertFalse(connection.is_aborted)
        connection.disconnect()

    def test_full_at_each_look(self) -> None:
        """A client that takes nothing at each check, but has read in between, is not cut."""
        connection = self.visit(self.slow_stream, stall_timeout=5)
        for _ in range(6):
            self.step(4)
            connection.pause(full=True)
            self.step(1)
            connection.resume()
        self.assertFalse(connection.is_aborted)
        connection.disconnect()

    def test_beside_timeout(self) -> None:
        """A client that takes nothing is cut by `stall_timeout`, and not by a shorter `timeout`."""
        connection = self.visit(self.slow_stream, stall_timeout=5, timeout=2)
        connection.pause(full=True)
        self.assertTrue(5 <= self.cut_at(connection) <= 10)
        self.assertEqual(self.outcome.cause, TimedOut(5, "stall_timeout"))

    def test_handler_that_does_not_care(self) -> None:
        """A client that takes nothing is cut even if the handler goes on writing."""

        async def handler(request: Request) -> None:
            while True:
                request.write(b".")
                await deferLater(self.clock, 1)

        connection = self.visit(handler, stall_timeout=5)
        self.step(1)
        connection.pause(full=True)
        when = self.cut_at(connection)
        self.assertTrue(6 <= when <= 11)

    def test_stuck_handler(self) -> None:
        """`stall_timeout` does not cut a stuck handler whose client takes all there is."""
        connection = self.visit(self.writing(1), stall_timeout=5)
        self.step(60)
        self.assertFalse(connection.is_closed)
        connection.disconnect()


class TotalTests(LimitsTestCase):
    """Promise 14: `total_timeout` limits the whole response."""

    def test_flowing(self) -> None:
        """`total_timeout` cuts a response that flows."""
        connection = self.visit(self.slow_stream, total_timeout=10, timeout=3)
        self.assertEqual(self.cut_at(connection), 10)
        self.assertEqual(self.outcome.cause, TimedOut(10, "total_timeout"))

    def test_answered(self) -> None:
        """A response that has not begun at `total_timeout` is answered with `timeout_status`."""
        connection = self.visit(self.handler, total_timeout=10, timeout_status=504)
        self.clock.advance(10)
        self.assertEqual(connection.response.code, 504)

    def test_the_sooner(self) -> None:
        """The sooner of `timeout` and `total_timeout` holds, and the total if they are equal."""
        for timeout, total, cause in (
            (3, 5, TimedOut(3)),
            (5, 3, TimedOut(3, "total_timeout")),
            (3, 3, TimedOut(3, "total_timeout")),
        ):
            self.outcomes.clear()
            self.work = Deferred(lambda _: None)
            self.visit(self.handler, timeout=timeout, total_timeout=total)
            self.clock.advance(3)
            self.assertEqual(self.outcome.cause, cause)


class NoteTests(LimitsTestCase):
    """Promise 11: a limit of a request that may not be cancelled does nothing but be noted."""

    def ask(self, method: bytes = b"POST", **options: Any) -> Connection:
        """Ask for a wrapped resource."""
        options.setdefault("observers", self.outcomes.append)
        connection = connect(CancellingResource(Page(self.handler), **options), self.clock)
        connection.request(method)
        return connection

    def test_spared_method(self) -> None:
        """The outcome of a spared request tells the first limit that would have cancelled it."""
        connection = self.ask(timeout=3, total_timeout=5)
        self.clock.pump([3, 3])
        self.work.callback(PAGE)
        self.assertEqual(connection.response.body, PAGE)
        outcome = self.outcome
        self.assertIsNone(outcome.cause)
        self.assertEqual(outcome.would_have_cancelled, TimedOut(3))

    def test_dry_run(self) -> None:
        """The outcome of a dry run tells the limit that would have cancelled the request."""
        connection = self.ask(b"GET", total_timeout=3, dry_run=True)
        self.clock.advance(3)
        self.work.callback(PAGE)
        self.assertEqual(connection.response.body, PAGE)
        self.assertEqual(self.outcome.would_have_cancelled, TimedOut(3, "total_timeout"))

    def test_no_deadline(self) -> None:
        """Spared requests and dry runs have no deadline, for nothing will cut them."""
        for method, options in ((b"POST", {}), (b"GET", {"dry_run": True})):
            connection = self.ask(method, timeout=3, **options)
            scope = scope_of(self.request)
            self.assertEqual((scope.deadline, scope.remaining()), (None, None))
            connection.disconnect()


class OverTests(LimitsTestCase):
    """Promise 2: a limit does not cut a request whose client has left."""

    def test_unreported(self) -> None:
        """When the time is up, the cause is the disconnect if the client has left unreported."""
        connection = self.visit(self.handler, timeout=3)
        self.request.notifications.clear()
        connection.disconnect()
        self.clock.advance(3)
        self.assertIsInstance(self.outcome.cause, Disconnected)

    def test_met_too_late(self) -> None:
        """The limit of an entry point that is met after the client has left does nothing."""
        both: list[dict[str, Any]] = [{"timeout": 9}, {}]
        for options in both:
            self.work = Deferred(lambda _: self.fail("spared work was cut"))
            root = CancellingResource(Page(self.handler), methods=(), observers=(), **options)
            connection = connect(root, self.clock)
            connection.get()
            connection.disconnect()
            late: Any = cancel_on_disconnect(timeout=3, timeout_header="Patience")
            late(returning(Deferred()))(self.request)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.work.callback(PAGE)


class TextTests(LimitsTestCase):
    """Promise 12: the cause tells which limit it was."""

    def test_says_which(self) -> None:
        """The text and the attributes of `TimedOut` tell which limit it was."""
        cause = TimedOut(2.5, "stall_timeout")
        self.assertEqual(str(cause), "timed out after 2.5 s (stall_timeout)")
        self.assertEqual((cause.seconds, cause.limit), (2.5, "stall_timeout"))
        self.assertEqual(TimedOut(1).limit, "timeout")
