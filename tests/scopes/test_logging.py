"""What is logged of a request by default, and what its lines look like.

The access log is for `operating.test_access_log`, what an Outcome tells for `test_outcome`.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, eventAsJSON, eventFromJSON, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import (
    Cause,
    Disconnected,
    Ended,
    Outcome,
    cancel_on_disconnect,
    current_scope,
    log_outcome,
)
from cancelweb.testing import Connection

from .._logs import log_events, of_cancelweb
from .._pages import Page, raising, waiting
from .._visits import Visit, connect, kept_request
from .._work import Errand


class LogTestCase(SynchronousTestCase):
    """What is logged, from the start of the test."""

    def setUp(self) -> None:
        """Watch the log."""
        self.events = log_events(self)

    @property
    def event(self) -> LogEvent:
        """The only event of ours."""
        events = of_cancelweb(self.events)
        self.assertEqual(len(events), 1)
        return events[0]

    @property
    def line(self) -> str:
        """The text of the only event of ours."""
        return formatEvent(self.event)


class DefaultLogTests(LogTestCase):
    """The observer that is there unless others are given."""

    def setUp(self) -> None:
        """Make work to be left behind."""
        super().setUp()
        self.work = Errand()

    def serve(self, handler: Any, path: bytes = b"/page", **options: Any) -> Connection:
        """Ask for a page, with the observers that are there by default."""
        connection = connect(Page(cancel_on_disconnect(**options)(handler)))
        connection.get(path=path)
        return connection

    def test_cancelled(self) -> None:
        """A cancelled request is one line at info."""
        connection = self.serve(waiting)
        connection.client.clock.advance(1.5)
        connection.disconnect()
        self.assertEqual(self.event["log_level"].name, "info")
        self.assertEqual(
            self.line,
            "GET /page: stopped after 1.500 s: the client disconnected "
            "(Connection was closed cleanly.)",
        )

    def test_is_structured(self) -> None:
        """The event has the facts of the Outcome as its keys, and the seconds."""
        self.serve(waiting).disconnect()
        event = self.event
        self.assertEqual((event["method"], event["path"]), (b"GET", b"/page"))
        self.assertEqual((event["ended"], event["seconds"]), (Ended.STOPPED, 0))
        self.assertIsInstance(event["cause"], Disconnected)
        self.assertIsInstance(event["outcome"], Outcome)

    def test_in_json(self) -> None:
        """A log of JSON lines keeps the text."""
        self.serve(waiting).disconnect()
        event = eventFromJSON(eventAsJSON(self.event))
        self.assertEqual(formatEvent(event), self.line)

    def test_failed(self) -> None:
        """A failed request is one line at info: the traceback is the one error event."""
        self.serve(raising)
        self.assertEqual(self.event["log_level"].name, "info")
        self.assertEqual(self.line, "GET /page: failed after 0.000 s: ValueError: the handler's")
        self.assertNotIn("log_failure", self.event)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_refused(self) -> None:
        """A request that was dead on arrival is one line at info."""
        connection, request = kept_request(path=b"/page")
        connection.disconnect()
        cancel_on_disconnect(waiting)(request)
        self.assertEqual(self.event["log_level"].name, "info")
        self.assertEqual(self.line, "GET /page: refused after 0.000 s: the client disconnected")

    def test_completed(self) -> None:
        """A completed request is not logged, at once or late."""
        self.serve(lambda _: b"page")
        result = Deferred[bytes]()
        self.serve(lambda _: result)
        result.callback(b"page")
        self.assertEqual(of_cancelweb(self.events), [])

    def test_completed_with_the_observer_named(self) -> None:
        """A completed request is not logged if `log_outcome` was given by name."""
        self.serve(lambda _: b"page", observers=log_outcome)
        self.assertEqual(of_cancelweb(self.events), [])

    def test_answered_while_work_ran_beside_it(self) -> None:
        """A request that was answered is not logged though work was stopped beside it."""
        self.serve(self.tracking)
        self.assertEqual(of_cancelweb(self.events), [])

    def tracking(self, request: object) -> bytes:
        """A handler that leaves work behind."""
        current_scope().track(self.work)
        return b"page"

    def test_answered_while_work_ran_on(self) -> None:
        """A request that was answered is logged if work beside it could not be stopped."""
        self.work = Errand(obedient=False)
        connection = self.serve(self.tracking)
        connection.client.clock.advance(5)
        warning, line = of_cancelweb(self.events)
        self.assertEqual((warning["log_level"].name, line["log_level"].name), ("warn", "info"))
        self.assertEqual(
            formatEvent(line), "GET /page: survived after 5.000 s: the response was finished"
        )

    def test_unsupported_method(self) -> None:
        """A request with a method that the resource does not know is not logged."""
        connection = connect(_Decorated())
        connection.request(method=b"POST")
        self.assertEqual(connection.response.code, 405)
        self.assertEqual(of_cancelweb(self.events), [])

    def test_none_when_others_are_given(self) -> None:
        """`observers=()` silences the default log, and so does any other observer."""
        self.serve(waiting, observers=()).disconnect()
        self.serve(waiting, observers=lambda _: None).disconnect()
        self.assertEqual(of_cancelweb(self.events), [])

    def test_beside_others_when_named(self) -> None:
        """`log_outcome` can be given with others."""
        told: list[Outcome] = []
        self.serve(waiting, observers=[log_outcome, told.append]).disconnect()
        self.assertEqual((len(told), self.event["outcome"]), (1, told[0]))

    def test_a_path_cannot_forge_a_line(self) -> None:
        """Control characters in a path are escaped, and braces are not formatted."""
        self.serve(waiting, path=b"/\x9b{0}").disconnect()
        self.assertTrue(self.line.startswith("GET /\\x9b{0}: stopped"), self.line)

    def test_nor_can_whatever_twisted_lets_through(self) -> None:
        """Any byte that is not printable ASCII is escaped, in the method and in the path."""
        every = bytes(range(256))
        log_outcome(Outcome(every, every, Disconnected(), Ended.STOPPED, 0, 0, 0, 0))
        self.assertTrue(self.line.isascii() and self.line.isprintable(), self.line)

    def test_an_error_cannot_forge_a_line(self) -> None:
        """The text of an error, which may be what a client sent, cannot forge a line."""

        def handler(request: object) -> bytes:
            raise ValueError("no such name: x\nGET / \x1b[0m")

        self.serve(handler)
        self.assertNotIn("\n", self.line)
        self.assertNotIn("\x1b", self.line)
        self.flushLoggedErrors(ValueError)

    def test_a_cause_cannot_forge_a_line(self) -> None:
        """The text of a user's own cause cannot forge a line."""

        class Kicked(Cause):
            def __str__(self) -> str:
                return "kicked\nGET / \x1b[0m"

        visit = Visit(waiting, observers=log_outcome)
        visit.scope.cancel(Kicked())
        self.assertNotIn("\n", self.line)
        self.assertNotIn("\x1b", self.line)


class WhyTests(LogTestCase):
    """The cause of a request is one fact."""

    def test_is_the_same_for_all(self) -> None:
        """The handler, the hooks, the observers and the log are given the same cause."""
        causes: list[object] = []

        async def handler(request: object) -> None:
            scope = current_scope()
            try:
                await Deferred[None]()
            finally:
                causes.append(scope.cause)

        visit = Visit(
            handler,
            on_cancel=lambda scope: causes.append(scope.cause),
            observers=[lambda outcome: causes.append(outcome.cause), log_outcome],
        )
        visit.disconnect()
        causes.append(self.event["cause"])
        self.assertEqual(len(causes), 4)
        self.assertEqual(set(map(id, causes)), {id(visit.scope.cause)})


class _Decorated(Page):
    """A resource whose `render` is decorated and knows no method."""

    def __init__(self) -> None:
        super().__init__(waiting)

    @cancel_on_disconnect
    def render(self, request: Any) -> Any:
        """Find the method."""
        return super(Page, self).render(request)
