"""`CancellingResource`'s policy: which requests it cancels, and what a dry run tells.

How it looks to Twisted, and what it stops, is for `test_wrapper`.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import (
    CancellingResource,
    Disconnected,
    Draining,
    Ended,
    Outcome,
    Scope,
    TimedOut,
    current_scope,
)

from .._logs import log_events, of_cancelweb
from .._pages import Page
from .._visits import connect
from .._work import Errand


class MethodsTests(SynchronousTestCase):
    """Which requests a disconnect or a deadline may cancel."""

    def ends(self, method: bytes, **options: Any) -> list[Outcome]:
        """The outcomes of a request whose deadline passes, and whose client then leaves."""
        outcomes: list[Outcome] = []
        result: Deferred[bytes] = Deferred(lambda _: None)
        wrapper = CancellingResource(
            Page(lambda _: result), timeout=1, observers=outcomes.append, **options
        )
        connection = connect(wrapper)
        connection.request(method)
        connection.client.clock.advance(2)
        connection.disconnect()
        if not result.called:
            self.assertEqual((connection.responses, outcomes), ([], []))
            result.callback(b"written")
        return outcomes

    def test_safe_ones_unless_told_otherwise(self) -> None:
        """A wrapper cancels GET, HEAD and OPTIONS, and lets other methods run to their end."""
        for method in (b"GET", b"HEAD", b"OPTIONS"):
            (outcome,) = self.ends(method)
            self.assertEqual(outcome.ended, Ended.STOPPED)
        for method in (b"POST", b"PUT", b"DELETE", b"PATCH", b"PROPFIND"):
            (outcome,) = self.ends(method)
            self.assertEqual((outcome.ended, outcome.cause), (Ended.COMPLETED, None))

    def test_those_that_were_given(self) -> None:
        """A wrapper with `methods` cancels those methods in place of the default ones."""
        methods = ["POST", b"PUT"]
        for method in (b"POST", b"PUT"):
            self.assertEqual(self.ends(method, methods=methods)[0].ended, Ended.STOPPED)
        self.assertEqual(self.ends(b"GET", methods=methods)[0].ended, Ended.COMPLETED)
        self.assertEqual(self.ends(b"GET", methods=())[0].ended, Ended.COMPLETED)

    def test_tracked_work_of_others(self) -> None:
        """A disconnect does not stop what a POST tracks while the handler's work runs."""
        returned, tracked = Errand(), Errand()
        outcomes: list[Outcome] = []

        def render(request: Request) -> Errand:
            current_scope().track(tracked)
            return returned

        connection = connect(CancellingResource(Page(render), observers=outcomes.append))
        connection.request(b"POST")
        connection.disconnect()
        self.assertEqual((returned.asked, tracked.asked, outcomes), ([], [], []))
        tracked.end()
        returned.end()
        self.assertEqual([each.ended for each in outcomes], [Ended.COMPLETED])

    def test_hooks_run_for_all(self) -> None:
        """`on_exit` runs for a method that is not cancelled; `on_cancel` does not."""
        ran: list[str] = []
        self.ends(
            b"POST",
            on_cancel=lambda _: ran.append("cancel"),
            on_exit=lambda _: ran.append("exit"),
        )
        self.assertEqual(ran, ["exit"])

    def test_the_server_cancels_any(self) -> None:
        """A cancel by the server's own code answers a POST with a 503."""
        kept: list[Scope] = []

        def render(request: Request) -> Deferred[bytes]:
            kept.append(current_scope())
            return Deferred()

        connection = connect(CancellingResource(Page(render)))
        connection.request(b"POST")
        self.assertTrue(kept[0].cancel(Draining()))
        self.assertEqual(connection.response.code, 503)


class DryRunTests(SynchronousTestCase):
    """`dry_run=True` only tells what would have been."""

    def setUp(self) -> None:
        """A wrapped resource that waits, and what is told about it."""
        self.outcomes: list[Outcome] = []
        self.ran: list[str] = []
        self.scopes: list[Scope] = []
        self.result: Deferred[bytes] = Deferred()
        self.connection = connect(
            CancellingResource(
                Page(self.render),
                dry_run=True,
                timeout=1,
                on_cancel=lambda _: self.ran.append("cancel"),
                on_exit=lambda _: self.ran.append("exit"),
                observers=self.outcomes.append,
            )
        )
        self.connection.get()

    def render(self, request: Request) -> Deferred[bytes]:
        """Wait."""
        self.scopes.append(current_scope())
        return self.result

    def test_no_cancel(self) -> None:
        """In a dry run, a disconnect stops nothing, and the outcome names the disconnect."""
        self.connection.disconnect()
        self.assertFalse(self.result.called)
        self.result.callback(b"page")
        self.assertEqual(self.ran, ["exit"])
        (outcome,) = self.outcomes
        self.assertEqual((outcome.ended, outcome.cause), (Ended.COMPLETED, None))
        self.assertIsInstance(outcome.would_have_cancelled, Disconnected)

    def test_work_that_its_owner_cancels(self) -> None:
        """In a dry run, work that its owner cancels after a loss was STOPPED, and not FAILED."""
        self.connection.disconnect()
        self.result.cancel()
        self.assertEqual(self.outcomes[0].ended, Ended.STOPPED)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_no_cancel_by_the_server(self) -> None:
        """In a dry run, `Scope.cancel` does nothing, and returns False."""
        self.assertIs(self.scopes[0].cancel(Draining()), False)
        self.assertFalse(self.result.called)
        self.result.callback(b"page")
        self.assertEqual(self.outcomes[0].would_have_cancelled, Draining())

    def test_no_503(self) -> None:
        """In a dry run, a deadline answers nothing, and the page is sent when it is there."""
        self.connection.client.clock.advance(2)
        self.assertEqual(self.connection.responses, [])
        self.result.callback(b"page")
        self.assertEqual(self.connection.response.body, b"page")
        (outcome,) = self.outcomes
        self.assertEqual(str(outcome.would_have_cancelled), "timed out after 1 s (timeout)")

    def test_the_first_cause(self) -> None:
        """In a dry run, the outcome has the first of several causes."""
        self.connection.client.clock.advance(2)
        self.connection.disconnect()
        self.result.callback(b"page")
        self.assertEqual(self.outcomes[0].would_have_cancelled, TimedOut(1))

    def test_is_in_the_log(self) -> None:
        """In a dry run, one line at info says what would have cancelled the request."""
        events, result = log_events(self), Deferred[bytes]()
        connection = connect(CancellingResource(Page(lambda _: result), dry_run=True, timeout=1))
        connection.get()
        connection.client.clock.advance(1)
        result.callback(b"page")
        (event,) = of_cancelweb(events)
        self.assertIs(event["log_level"], LogLevel.info)
        self.assertEqual(
            formatEvent(event),
            "GET /: completed after 1.000 s: would have been cancelled: timed out after 1 s "
            "(timeout)",
        )
