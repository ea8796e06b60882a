"""Entry points that meet on one request share its scope: it ends once, and all are told.

Which option holds is for `test_nested_options`, what is delivered late for `test_late_children`.
"""

from contextvars import copy_context
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail, inlineCallbacks
from twisted.web.server import Request

from cancelweb import Disconnected, Draining, Ended, cancel_on_disconnect, scope_of

from .._cycles import no_cycles
from .._logs import log_events, of_cancelweb
from .._pages import Page, raising, waiting
from .._visits import connect
from ._nests import NESTS, NestTestCase


def _promise(results: list[Deferred[bytes]], request: Request) -> Deferred[bytes]:
    results.append(Deferred())
    return results[-1]


class SharedTests(NestTestCase):
    """What entry points that meet share, in every combination of entry points."""

    def test_one_scope(self) -> None:
        """Entry points that meet have one scope, one outcome, and one answer."""
        hook = {"on_exit": self.scopes.append}
        for nest in NESTS:
            for is_answered in (False, True):
                connection = self.ask(nest, self.handler, hook, hook)
                if is_answered:
                    self.scopes[0].cancel(Draining())
                    self.assertEqual(connection.response.code, 503)
                else:
                    connection.disconnect()
                    self.assertIsInstance(self.scopes[0].cause, Disconnected)
                self.assertIsNone(self.scopes[0].request)
                self.assertEqual(self.scopes, self.scopes[:1] * 3)  # The handler, and two hooks.
                self.assertEqual([each.ended for each in self.outcomes], [Ended.STOPPED])

    def test_completes(self) -> None:
        """The page of a handler behind two entry points is sent once, at once or late."""
        for nest in NESTS:
            results: list[Deferred[bytes]] = []
            late = self.ask(nest, partial(_promise, results))
            results[0].callback(b"page")
            self.assertEqual(late.response.body, b"page")
            self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED])
            at_once = self.ask(nest, lambda _: b"page")
            self.assertEqual(at_once.response.body, b"page")
            self.assertEqual(at_once.response.header(b"content-length"), b"4")
            self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED])

    def test_fails(self) -> None:
        """An error behind two entry points is answered once, logged once, and told once."""
        for nest in NESTS:
            connection = self.ask(nest, raising)
            self.assertEqual(connection.response.code, 500)
            self.assertEqual([each.ended for each in self.outcomes], [Ended.FAILED])
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_the_log_names_the_page(self) -> None:
        """A failure after the first write is logged with the name of the innermost handler."""

        def failing(request: Request) -> object:
            request.write(b"x")
            return fail(ValueError())

        events = log_events(self)
        for nest in NESTS:
            self.ask(nest, failing).client.clock.advance(0)
            [event] = [each for each in of_cancelweb(events) if "handler" in each]
            [outcome] = self.outcomes
            self.assertEqual(event["handler"], outcome.handler)
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
            events.clear()

    def test_hooks_and_observers_add_up(self) -> None:
        """Hooks of two entry points run once, the inner ones first, and all observers are told."""
        for nest in NESTS:
            outer, inner = (
                {
                    "on_cancel": self.note(f"{entry_point} cancel"),
                    "on_exit": self.note(f"{entry_point} exit"),
                    "observers": self.note(f"{entry_point} observer"),
                }
                for entry_point in ("outer", "inner")
            )
            self.ask(nest, self.handler, outer, inner).disconnect()
            self.assertEqual(
                self.told,
                [
                    *("inner cancel", "inner exit", "outer cancel", "outer exit"),
                    *("outer observer", "inner observer"),
                ],
            )

    def test_observers_of_both_are_told_when_bytes_come_at_once(self) -> None:
        """Observers of two entry points are told once when bytes come at once."""
        for nest in NESTS:
            outer, inner = ({"observers": self.note(each)} for each in ("outer", "inner"))
            self.ask(nest, lambda _: b"page", outer, inner)
            self.assertEqual(self.told, ["outer", "inner"])

    def test_one_observer_of_two_entry_points_is_told_once(self) -> None:
        """An observer that both entry points were given is told once."""
        for nest in NESTS:
            self.ask(nest, self.handler, {}, {"observers": self.outcomes.append}).disconnect()
            # The bound methods are equal, so it is the same observer.
            self.assertEqual(len(self.outcomes), 1)

    def test_logged_once(self) -> None:
        """The default observer of two entry points writes one line."""
        events = log_events(self)
        for nest in NESTS:
            events.clear()
            connection = connect(nest(waiting, {}, {}))
            connection.get()
            connection.disconnect()
            self.assertEqual(len(of_cancelweb(events)), 1)

    def test_leave_nothing_behind(self) -> None:
        """Entry points that meet leave no reference cycle, whether the client stays or leaves."""
        unwatched: dict[str, Any] = {"observers": ()}
        cases = [(nest, options) for nest in NESTS for options in ({}, unwatched)]
        stay = [connect(nest(lambda _: b"page", each, each)) for nest, each in cases]
        leave = [connect(nest(waiting, each, each)) for nest, each in cases]
        with no_cycles(self):
            for connection in stay + leave:
                connection.get()
            for connection in leave:
                connection.disconnect()

    def test_a_cancel_between_two_entry_points(self) -> None:
        """A cancel by other code after the inner entry point has returned is answered."""
        outside, inner = copy_context(), cancel_on_disconnect(waiting)

        def outer(request: Request) -> bytes | int:
            result = inner(request)
            outside.run(scope_of(request).cancel, Draining())
            return result

        connection = connect(Page(cancel_on_disconnect(outer)))
        connection.get()
        connection.client.clock.advance(0)
        self.assertEqual(connection.response.code, 503)

    def test_opened_by_the_outer(self) -> None:
        """The outcome counts from when the outer entry point was met, not the inner one."""
        inner = cancel_on_disconnect(observers=self.note("inner"))(lambda _: b"page")

        def outer(request: Any) -> bytes | int:
            request.channel.site.reactor.advance(3)
            return inner(request)

        connect(Page(cancel_on_disconnect(observers=self.outcomes.append)(outer))).get()
        self.assertEqual([each.opened for each in self.outcomes], [0])

    def test_the_same_entry_point_twice(self) -> None:
        """A handler that calls itself for the same request adds no second hook or observer."""
        calls: list[object] = []

        @cancel_on_disconnect(on_exit=self.note("hook"), observers=self.note("observer"))
        def page(request: Request) -> bytes | int:
            calls.append(request)
            return b"page" if len(calls) > 1 else page(request)

        connect(Page(page)).get()
        self.assertEqual((len(calls), self.told), (2, ["hook", "observer"]))

    def test_the_same_entry_points_in_turn(self) -> None:
        """Two decorated handlers that call each other for one request add their hooks once."""

        @cancel_on_disconnect(on_exit=self.note("outer"))
        def outer(request: Request) -> bytes | int:
            self.told.append("called")
            return b"page" if len(self.told) > 1 else inner(request)

        @cancel_on_disconnect(on_exit=self.note("inner"))
        def inner(request: Request) -> bytes | int:
            return outer(request)

        connect(Page(outer)).get()
        self.assertEqual(self.told, ["called", "called", "inner", "outer"])

    def test_observers_of_the_inner_entry_point_alone(self) -> None:
        """Observers of the inner entry point are told if the outer one was given none."""
        for nest in NESTS:
            self.told.clear()
            connection = connect(nest(waiting, {}, {"observers": self.note("inner")}))
            connection.get()
            connection.disconnect()
            self.assertEqual(self.told, ["inner"])

    def test_a_generator_inside(self) -> None:
        """A decorated handler that calls another one gets NOT_DONE_YET, and not a Deferred."""
        inner = cancel_on_disconnect(self.handler)
        answers: list[object] = []

        @cancel_on_disconnect(observers=self.outcomes.append)
        @inlineCallbacks
        def outer(request: Request) -> Any:
            answers.append(inner(request))
            yield Deferred()

        connection = connect(Page(outer))
        connection.get()
        connection.disconnect()
        self.assertEqual(answers, [1])
        self.assertEqual([each.ended for each in self.outcomes], [Ended.STOPPED])
