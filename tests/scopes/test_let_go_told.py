"""What the log, monitors and the status page say about work that was let go."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import (
    CancellingResource,
    Disconnected,
    Ended,
    ResponseFinished,
    TimedOut,
    current_scope,
)
from cancelweb._scopes.bursts import MOST_PLACES
from cancelweb.monitor import LetGo

from .._cycles import Memory
from .._logs import log_events, of_cancelweb
from .._pages import Page, returning, waiting
from .._visits import connect
from .._work import Errand
from ..operating._statuses import StatusTestCase
from ._let_go import LetGoTestCase
from ._survivors import line_of


class LetGoIsLoggedTests(LetGoTestCase):
    """The log reports work that was let go, with the place where it waited."""

    async def handler(self, _: Request) -> None:
        """Wait for what nothing stops."""
        await self.wait()

    def test_the_place(self) -> None:
        """A line at info names the place where the work waited, once."""
        self.leave(self.handler)
        place = line_of(LetGoIsLoggedTests.handler, 2)
        self.assertEqual(
            self.lines(),
            [
                "GET /: work was let go and may still be running, because nothing can stop it: "
                f"{place} (logged once)"
            ],
        )

    def test_once_for_each_place(self) -> None:
        """Each place is logged once, and counted for each request."""

        async def elsewhere(_: Request) -> None:
            await self.wait()

        for _ in range(3):
            self.leave(self.handler)
            self.leave(elsewhere)
        self.assertEqual(len(self.lines()), 2)
        self.assertEqual(sorted(self.monitor.let_go_at.values()), [3, 3])

    def test_not_every_place(self) -> None:
        """Past a fixed number of places no more are logged or counted, so memory is bounded."""

        class Unseen(Errand):
            is_end_observable = False

            def __repr__(self) -> str:
                return f"<job {id(self)}>"

        jobs = [Unseen() for _ in range(MOST_PLACES + 5)]
        for job in jobs:
            self.leave(returning(job))
        self.assertEqual(len(self.lines()), MOST_PLACES)
        self.assertEqual(len(self.monitor.let_go_at), MOST_PLACES)

    def test_the_handler(self) -> None:
        """If no line of code awaits the work, the log names the handler and its resource."""
        self.leave(lambda _: self.wait())
        [line] = self.lines()
        self.assertIn("stop it: a Deferred of tests._pages.Page.render (", line or "")
        self.leave(lambda _: NOT_DONE_YET)
        [line] = self.lines()
        self.assertIn("stop it: NOT_DONE_YET of tests._pages.Page.render (", line or "")

    def test_the_innermost_handler(self) -> None:
        """Where entry points meet, the log names the innermost handler."""
        page = Page(lambda _: NOT_DONE_YET)
        self.leave(CancellingResource(CancellingResource(page)).render)
        [line] = self.lines()
        self.assertIn("stop it: NOT_DONE_YET of tests._pages.Page.render (", line or "")

    def test_a_response_that_work_has_not_finished(self) -> None:
        """The log says that returned work has ended without finishing the response."""
        connection = self.visit(lambda request: self.clock.callLater(1, request.write, b"x"))
        self.clock.advance(1)
        connection.disconnect()
        self.assertIs(self.ended(), Ended.LET_GO)
        [line] = self.lines()
        self.assertIn(
            "because what the handler returned has ended: "
            "an unfinished response of tests._pages.Page.render (",
            line or "",
        )

    def test_tracked_on_a_closed_scope(self) -> None:
        """Work that is tracked on a closed scope is let go without the name of a handler."""
        scope: list[Any] = []

        def handler(_: Request) -> Deferred[Any]:
            scope.append(current_scope())
            return self.wait()

        self.visit(handler).disconnect()
        scope[0].track(self.wait())
        self.assertTrue(str(self.lines()[-1]).endswith(": a Deferred (logged once)"))

    def test_the_line_of_the_request(self) -> None:
        """The line of the request says that its work was let go."""
        events = log_events(self)
        connection = connect(CancellingResource(Page(self.handler)), self.clock)
        connection.get()
        connection.disconnect()
        told = [str(formatEvent(each)) for each in of_cancelweb(events)]
        self.assertTrue(told[-1].startswith("GET /: let go after 0.000 s: the client disc"), told)


class LetGoIsCountedTests(LetGoTestCase):
    """Monitors know what was let go, and what of it still runs."""

    def test_until_it_ends(self) -> None:
        """A monitor lists work that was let go, with its request, until the work ends."""
        self.leave(lambda _: self.wait())
        [let_go] = self.monitor.let_go
        self.assertIsInstance(let_go, LetGo)
        self.assertEqual((let_go.method, let_go.path, let_go.since), (b"GET", b"/", 0))
        self.held.pop().callback(None)
        self.assertEqual(self.monitor.let_go, ())

    def causes(self) -> list[type]:
        """Why the listed work should have stopped."""
        return [type(each.cause) for each in self.monitor.let_go]

    def test_why(self) -> None:
        """A monitor tells why work that was let go should have stopped, or would have."""

        def leftover(_: Request) -> bytes:
            current_scope().track(self.wait())
            return b"page"

        kept: list[Request] = []

        def keep(request: Request) -> int:
            kept.append(request)
            return NOT_DONE_YET

        def cancelled(request: Request) -> int:
            current_scope().cancel(TimedOut(1))
            return keep(request)

        self.leave(lambda _: self.wait())
        self.visit(leftover)
        self.assertEqual(self.causes(), [Disconnected, ResponseFinished])
        self.held.clear()
        self.visit(keep, b"POST").disconnect()
        self.assertEqual(self.causes(), [Disconnected])
        self.visit(cancelled)
        self.clock.advance(0)
        self.assertEqual(self.causes(), [Disconnected, TimedOut])

    def test_in_the_totals(self) -> None:
        """The totals of a monitor count requests whose work was let go on their own."""
        self.leave(lambda _: self.wait())
        self.assertEqual(self.monitor.totals, {("Disconnected", "let_go"): 1})

    def test_in_another_thread(self) -> None:
        """A monitor whose clock is a reactor hears about the end later, in the reactor's thread."""
        calls: list[Any] = []
        self.clock.callFromThread = calls.append  # type: ignore[attr-defined]
        self.leave(lambda _: self.wait())
        self.held.clear()
        self.assertEqual(len(self.monitor.let_go), 1)
        [told] = calls
        told()
        self.assertEqual(self.monitor.let_go, ())

    def test_holds_nothing(self) -> None:
        """What a monitor keeps of work that was let go keeps neither its request nor its scope."""
        memory = Memory()

        def handler(request: Request) -> Deferred[Any]:
            memory.note(request)
            return self.wait()

        self.leave(handler)
        self.assertEqual((len(self.monitor.let_go), memory.alive()), (1, []))


class LetGoIsShownTests(StatusTestCase):
    """The status page shows work that was let go, and never as saved."""

    def test_rows(self) -> None:
        """The status page has a row for each place: how often, how many still run, since when."""
        self.assertEqual(self.table("let-go-rows"), [["None"]])
        held: list[Deferred[bytes]] = []

        async def handler(_: Request) -> bytes:
            held.append(Deferred())
            return await held[-1]

        for _ in range(3):
            self.site.visit(handler=handler).disconnect()
        held.pop()
        self.assertEqual(self.numbers()["Let go"], "2")
        self.assertEqual(self.numbers()["Work saved"], "0")
        self.assertEqual(self.numbers()["Cancelled"], "3")
        [[place, *numbers]] = self.table("let-go-rows")
        self.assertEqual(place, line_of(handler, 2).replace("<", "&lt;").replace(">", "&gt;"))
        self.assertEqual(numbers[:2], ["3", "2"])
        self.assertIn("s", numbers[2])
        self.assertEqual(self.table("total-rows"), [["Disconnected", "let go", "3"]])
        held.clear()
        [[_, *numbers]] = self.table("let-go-rows")
        self.assertEqual(numbers, ["3", "0", ""])

    def test_as_json(self) -> None:
        """The status page as JSON tells how much work was let go, and where."""
        self.site.visit(handler=lambda _: NOT_DONE_YET).disconnect()
        self.site.connections.clear()
        told = self.json()
        self.assertEqual(told["let_go"], len(self.site.monitor.let_go))
        [place] = told["let_go_at"]
        self.assertEqual((place["count"], place["where"][:12]), (1, "NOT_DONE_YET"))

    def test_work_that_was_stopped(self) -> None:
        """Work that was stopped counts as saved, and not as let go."""
        self.site.visit(handler=waiting).disconnect()
        self.assertEqual((self.numbers()["Let go"], self.numbers()["Work saved"]), ("0", "1"))
