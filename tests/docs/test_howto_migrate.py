"""The programs of the how-to on migration, and what it says of each before and after."""

import contextlib
from typing import Any

from klein import Klein
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.util import DeferredResource

from cancelweb import CancellingResource, cancel_on_disconnect, scope_of, shield
from cancelweb.testing import Connection

from .._docs import MIGRATE_AFTER, MIGRATE_BEFORE, run
from .._logs import log_events, of_cancelweb
from .._pages import Page
from .._visits import connect

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

BEFORE, AFTER = run(MIGRATE_BEFORE.read_text()), run(MIGRATE_AFTER.read_text())
BOTH = (BEFORE, AFTER)


class MigrationTestCase(SynchronousTestCase):
    """Work that notes when it is cancelled, and the lines of cancelweb's log."""

    def setUp(self) -> None:
        """Nothing was begun."""
        self.begun: list[Deferred[Any]] = []
        self.cancelled: list[Deferred[Any]] = []
        self.events = log_events(self)

    def work(self) -> Deferred[Any]:
        """Begin some work."""
        self.begun.append(Deferred(self.cancelled.append))
        return self.begun[-1]

    def lines(self) -> list[str | None]:
        """What cancelweb has logged."""
        return [formatEvent(each) for each in of_cancelweb(self.events)]

    def ask(self, root: Any, method: bytes = b"GET", path: bytes = b"/report") -> Connection:
        """Ask for a page that waits for the work."""
        connection = connect(root)
        connection.request(method, path)
        return connection


class NotifyFinishTests(MigrationTestCase):
    """The recipe with an errback of `notifyFinish`."""

    def test_client_that_stays(self) -> None:
        """The report is the same before the migration and after."""
        for names in BOTH:
            connection = self.ask(names["Report"](self.work))
            self.begun[-1].callback(["a row", "a row"])
            self.assertEqual(connection.response.body, b"2 rows\n")

    def test_client_that_disconnects(self) -> None:
        """The query is cancelled before the migration and after, and then there is a line."""
        for names, count in zip(BOTH, (0, 1), strict=True):
            self.ask(names["Report"](self.work)).disconnect()
            self.assertEqual(self.cancelled, self.begun)
            self.assertEqual(len(self.lines()), count)

    def test_client_that_has_disconnected(self) -> None:
        """A client that left before the handler ran is noticed only after the migration."""
        for names, count in zip(BOTH, (1, 0), strict=True):
            self.begun.clear()
            child: Deferred[Any] = Deferred()
            self.ask(DeferredResource(child)).disconnect()
            child.callback(names["Report"](self.work))
            self.assertEqual((len(self.begun), self.cancelled), (count, []))

    def test_failure(self) -> None:
        """A query that fails is logged and answered with a 500, before and after."""
        for names in BOTH:
            connection = self.ask(names["Report"](self.work))
            self.begun[-1].errback(OSError("no database"))
            self.assertEqual(connection.response.code, 500)
            self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_mistakes(self) -> None:
        """An errback that was left in does no harm, but NOT_DONE_YET is let go."""

        def errback_left_in(request: Request) -> Deferred[Any]:
            work = self.work()
            request.notifyFinish().addErrback(lambda _: work.cancel())
            return work

        def not_done_yet(request: Request) -> int:
            errback_left_in(request).addErrback(lambda _: None)
            return NOT_DONE_YET

        for handler, end in ((errback_left_in, "stopped"), (not_done_yet, "let go")):
            self.ask(Page(cancel_on_disconnect(handler))).disconnect()
            self.assertIn(f"GET /report: {end} after", self.lines()[-1] or "")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_response_that_callbacks_write(self) -> None:
        """A Deferred whose callbacks have written the response comes to None."""
        report = BEFORE["Report"](self.work)

        def handler(request: Request) -> Deferred[None]:
            sent: Deferred[None] = report.query().addCallback(report.send, request)
            return sent

        connection = self.ask(Page(cancel_on_disconnect(handler)))
        self.begun[0].callback([])
        self.assertEqual(connection.response.body, b"0 rows\n")


class KleinTests(MigrationTestCase):
    """Klein's own cancelling."""

    def test_client_that_stays(self) -> None:
        """The report is the same before the migration and after, and no loop is left."""
        before = reactor.getDelayedCalls()
        for names in BOTH:
            connection = self.ask(names["klein_root"](self.work))
            self.begun[-1].callback(["a row"])
            self.assertEqual(connection.response.body, b"1 rows\n")
        self.assertEqual(reactor.getDelayedCalls(), before)

    def test_client_that_disconnects(self) -> None:
        """Query and loop stop before the migration and after, and then the log says so."""
        before = reactor.getDelayedCalls()
        for names, end in zip(BOTH, ([], ["GET /report: stopped"]), strict=True):
            self.ask(names["klein_root"](self.work)).disconnect()
            self.assertEqual(self.cancelled, self.begun)
            self.assertEqual(reactor.getDelayedCalls(), before)
            self.assertEqual([(line or "")[:20] for line in self.lines()], end)

    def test_time_limit(self) -> None:
        """After the migration the client gets a 503 when time is up, and the query stops."""
        connection = self.ask(AFTER["klein_root"](self.work))
        connection.client.clock.advance(30)
        self.assertEqual(connection.response.code, 503)
        self.assertEqual(self.cancelled, self.begun)

    def klein(self, view: Any, app: Any = None, **options: Any) -> CancellingResource:
        """A wrapped application with this view."""
        app = app or Klein()
        app.route("/report", methods=["GET", "POST"])(view)
        return CancellingResource(app.resource(), **options)

    def test_spared_requests(self) -> None:
        """Klein cancels what a view awaits in a POST and in a dry run, unless it is shielded."""
        for method, dry_run in ((b"POST", False), (b"GET", True)):
            for view, count in ((lambda request: self.work(), 1), (self.shielding, 0)):
                self.cancelled.clear()
                self.ask(self.klein(view, dry_run=dry_run), method).disconnect()
                self.assertEqual(len(self.cancelled), count)

    def shielding(self, request: Request) -> Deferred[Any]:
        """A view that shields its work."""
        return shield(self.work())

    def test_untracked(self) -> None:
        """The log says "let go" of a view that has tracked nothing."""
        self.ask(self.klein(lambda request: self.work())).disconnect()
        self.assertIn("GET /report: let go after", self.lines()[-1] or "")

    def test_awaited_and_tracked(self) -> None:
        """Klein answers a time limit if the view awaits what it tracks, or its error handler."""

        async def view(request: Request) -> None:
            await scope_of(request).track(self.work())

        connection = self.ask(self.klein(view, timeout=1))
        connection.client.clock.advance(1)
        self.assertEqual(connection.response.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)
        app = Klein()
        app.handle_errors(CancelledError)(lambda request, failure: b"too slow")
        connection = self.ask(self.klein(view, app, timeout=1))
        connection.client.clock.advance(1)
        self.assertEqual(connection.response.body, b"too slow")

    def test_own_error(self) -> None:
        """Klein logs the error of a view that makes an error of its own of the cancellation."""

        async def view(request: Request) -> None:
            try:
                await self.work()
            except CancelledError:
                raise OSError("the view's own") from None

        self.ask(self.klein(view)).disconnect()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class AddTimeoutTests(MigrationTestCase):
    """`addTimeout`."""

    def roots(self, clock: Clock) -> tuple[Any, Any]:
        """The rates before the migration and after."""
        return BEFORE["Rates"](self.work, clock), AFTER["Rates"](self.work)

    def test_client_that_waits(self) -> None:
        """The client gets a 504 after ten seconds, before the migration and after."""
        clock = Clock()
        for root in self.roots(clock):
            connection = connect(root, clock)
            connection.get()
            clock.advance(9)
            self.assertEqual(connection.received, b"")
            clock.advance(1)
            self.assertEqual(connection.response.code, 504)
            self.assertEqual(self.cancelled, self.begun)

    def test_client_that_disconnects(self) -> None:
        """The work of a client that left stops at once only after the migration."""
        clock = Clock()
        for root, count in zip(self.roots(clock), (0, 1), strict=True):
            connection = connect(root, clock)
            connection.get()
            connection.disconnect()
            self.assertEqual(len(self.cancelled), count)

    def test_one_step(self) -> None:
        """`addTimeout` of one step gives a fallback; the client can still leave."""
        clock = Clock()
        for leaves in (False, True):
            connection = connect(AFTER["RatesOrOldRates"](self.work, clock), clock)
            connection.get()
            if leaves:
                connection.disconnect()
            else:
                clock.advance(2)
                self.assertEqual(connection.response.body, b"yesterday's rates")
        self.assertEqual(self.cancelled, self.begun)

    def test_fallback_after_the_limit(self) -> None:
        """What a handler returns when time is up is not sent."""

        async def handler(request: Request) -> bytes:
            with contextlib.suppress(CancelledError):
                await self.work()
            return b"yesterday's rates"

        connection = connect(Page(cancel_on_disconnect(timeout=10)(handler)))
        connection.get()
        connection.client.clock.advance(10)
        self.assertEqual(connection.response.code, 503)
        self.assertNotIn(b"yesterday", connection.received)
