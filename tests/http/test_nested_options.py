"""Entry points that meet on one request: which of their options hold.

What they share is for `test_nested`.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.server import Request

from cancelweb import CancellingResource, Ended, TimedOut, cancel_on_disconnect

from .._pages import Page
from .._visits import connect, lose
from ._nests import (
    NESTS,
    NestTestCase,
    decorated_in_wrapped,
    wrapped_in_decorated,
    wrapped_in_wrapped,
)


class OptionsTests(NestTestCase):
    """Options that each entry point may set for itself."""

    def test_the_innermost_for_the_rest(self) -> None:
        """Of two entry points with a `timeout_status`, the innermost decides."""
        for nest in NESTS:
            for outer, inner, status in ((504, 599, 599), (504, None, 504), (None, 599, 599)):
                connection = self.ask(
                    nest,
                    self.handler,
                    {"timeout_status": outer, "timeout": 1},
                    {"timeout_status": inner},
                )
                connection.client.clock.advance(1)
                self.assertEqual(connection.response.code, status)

    def test_the_innermost_cleanup_timeout_and_survivor_after(self) -> None:
        """Of several `cleanup_timeout` or `survivor_after` options, the innermost decides."""
        for nest in NESTS:
            hanging: Any = lambda _: Deferred()  # noqa: E731
            connection = self.ask(
                nest,
                lambda _: Deferred(lambda d: d.pause()),
                {"survivor_after": 1, "cleanup_timeout": 1, "on_exit": hanging},
                {"survivor_after": 3, "cleanup_timeout": 4},
            )
            connection.disconnect()
            connection.client.clock.pump([1] * 6)
            self.assertEqual(self.outcomes, [])
            connection.client.clock.advance(1)
            self.assertEqual([each.ended for each in self.outcomes], [Ended.SURVIVED])
            self.assertEqual(self.outcomes[0].closed, 7)

    def test_the_innermost_clock(self) -> None:
        """A clock that only the inner entry point was given times that entry point's deadline."""
        for nest in NESTS:
            clock = Clock()
            connection = self.ask(nest, self.handler, {}, {"clock": clock, "timeout": 1})
            clock.advance(1)
            self.assertEqual([each.cause for each in self.outcomes], [TimedOut(1)])
            self.assertEqual(connection.response.code, 503)


class PolicyTests(NestTestCase):
    """Entry points, some that may cancel and some that may not."""

    def test_decorated_inside_methods(self) -> None:
        """A decorated handler can be cancelled whatever the wrapper's `methods` say."""
        for methods in ((), ("GET",)):
            connection = connect(
                decorated_in_wrapped(
                    self.handler, {"methods": methods, "observers": self.outcomes.append}, {}
                )
            )
            connection.request(b"POST")
            connection.disconnect()
        self.assertEqual([each.ended for each in self.outcomes], [Ended.STOPPED] * 2)

    def test_dry_run_of_any(self) -> None:
        """A dry run of one entry point is a dry run of all."""
        for nest in (decorated_in_wrapped, wrapped_in_wrapped):
            self.ask(nest, self.handler, {"dry_run": True}).disconnect()
            self.assertIsNone(self.scopes[0].cause)
        for nest in (wrapped_in_wrapped, wrapped_in_decorated):
            self.ask(nest, self.handler, {}, {"dry_run": True}).disconnect()
            self.assertIsNone(self.scopes[0].cause)

    def test_lost_between_two_entry_points(self) -> None:
        """A loss between two entry points is told to the observers of both; no handler runs."""

        def between(request: Request) -> object:
            lose(request)
            return cancel_on_disconnect(observers=self.note("inner"))(self.handler)(request)

        connection = connect(CancellingResource(Page(between), observers=self.note("outer")))
        connection.get()
        self.assertEqual(self.scopes, [])
        self.assertEqual(self.told, ["outer", "inner"])

    def test_lost_between_two_entry_points_in_a_dry_run(self) -> None:
        """In a dry run, the handler is called after a loss between two entry points."""

        def between(request: Request) -> object:
            lose(request)
            return cancel_on_disconnect(self.handler)(request)

        wrapper = CancellingResource(Page(between), dry_run=True, observers=self.outcomes.append)
        connect(wrapper).get()
        self.assertEqual(len(self.scopes), 1)
        self.assertIsNone(self.scopes[0].cause)
