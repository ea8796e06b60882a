"""The requests in flight on the status page: their groups, their marks, where they wait.

What belongs here: what the page says about open scopes. What does not: the other tables
(`test_status`).
"""

import re
from functools import partial

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource, cancel_on_disconnect, current_scope
from cancelweb.status._in_flight import GROUPS, OF_GROUP, SHOWN

from .._pages import GetPage, waiting
from .._visits import connect
from ._monitored import named, stubborn
from ._statuses import StatusTestCase


class GroupsTests(StatusTestCase):
    """The rows of the requests in flight."""

    def test_are_none(self) -> None:
        """A page without requests, survivors or totals says so in its tables, and counts 0."""
        for name in ["request-rows", "survivor-rows"]:
            self.assertEqual(self.table(name), [["None"]])
        self.assertEqual(self.table("total-rows"), [["None yet"]])
        self.assertEqual(set(self.numbers().values()), {"0"})

    def test_have_what_they_wait_at(self) -> None:
        """A request has its method, its path without the query, its age and its waiting line."""
        self.site.visit(b"/a%20b;c?secret=1")
        self.clock.advance(3)
        ((request, count, age, deadline),) = self.table("request-rows")
        self.assertRegex(request, r"^GET.*/a%20b;c \S*/tests/operating/_monitored\.py:\d+ in rows ")
        self.assertEqual((count, age, deadline), ("1", "4.0 s", "none"))
        self.assertNotIn("secret", self.page())

    def test_have_their_deadline(self) -> None:
        """A request with a deadline has the time to it, which counts down."""
        self.site.visit(timeout=30)
        self.assertEqual([row[3] for row in self.table("request-rows")], ["in 29 s"])
        self.clock.advance(25)
        self.assertEqual([row[3] for row in self.table("request-rows")], ["in 3.0 s"])

    def test_that_wait_at_one_place_share_a_row(self) -> None:
        """Requests of a handler that wait at the same line share a row, with the oldest's age."""
        for path in b"/report", b"/report", b"/report":
            self.site.visit(path)
            self.clock.advance(1)
        ((request, *numbers),) = self.table("request-rows")
        self.assertRegex(request, r"^GET\s/report \S+ in rows handler: .* Show 3 requests ")
        self.assertEqual(numbers, ["3", "4.0 s", "none"])

    def test_of_several_paths_count_the_paths(self) -> None:
        """A row for requests of several paths has the path of the oldest, and how many others."""
        self.site.visits(3)
        ((request, *_),) = self.table("request-rows")
        self.assertIn("/reports/0 and 2 other paths", request)

    def test_the_oldest_are_in_it_one_by_one(self) -> None:
        """A row has its oldest requests one by one, with age and deadline, to be opened."""
        self.site.visit(b"/first", timeout=60)
        self.clock.advance(2)
        self.site.visits(OF_GROUP)
        details = re.search(r"<details id=.*?</details>", self.page(), re.S)
        assert details is not None
        self.assertIn(f"<summary>Show {OF_GROUP} requests</summary>", details[0])
        found = re.findall(r"<li><code.*?>(.*?)</code><span.*?>(.*?)</span>", details[0])
        words = [" ".join(each).replace("\xa0", " ") for each in found]
        self.assertEqual(words[:2], ["GET /first 3.0 s, deadline in 57 s", "GET /reports/1 1.0 s"])
        self.assertEqual(len(words), OF_GROUP)

    def test_that_wait_elsewhere_have_rows_of_their_own(self) -> None:
        """Requests that wait at different lines, or of different handlers, have a row each."""
        self.site.visit(b"/a")
        self.site.visit(b"/b", handler=stubborn)
        self.site.visit(b"/c", handler=cancel_on_disconnect(stubborn))
        paths = [row[0].split()[1] for row in self.table("request-rows")]
        self.assertEqual(paths, ["/a", "/b", "/c"])

    def test_that_are_not_looked_at_are_counted(self) -> None:
        """Of many requests some are looked at, as the page says; the others are counted below."""
        self.site.visits(2 * SHOWN)
        self.assertNotIn("more requests", self.page())
        self.assertNotIn("Only the", self.page())
        self.site.visits(1007)
        self.assertIn("Only the 50 oldest and the 50 newest are looked at.", self.page())
        self.assertIn("and 1,007 more requests", self.page())
        self.assertEqual(self.numbers()["In flight"], "1,107")
        self.assertEqual(len(self.json()["oldest"]), SHOWN)

    def test_are_of_all_ages(self) -> None:
        """Requests of one handler that stay open for long do not hide what all others wait at."""
        for count, name in (150, "events"), (40, "slow"), (30, "query"):
            handler = named(name)
            for _ in range(count):
                self.site.visit(b"/reports/%d" % len(self.site.connections), handler=handler)
        rows = self.table("request-rows")
        handlers = [re.findall(r"handler: (\w+)", row[0]) for row in rows]
        self.assertEqual(handlers, [["events"], ["slow"], ["query"]])
        self.assertEqual([row[1] for row in rows], ["50", "20", "30"])
        self.assertIn("/reports/170 and 19 other paths", rows[1][0])

    def test_are_bounded(self) -> None:
        """No more than a number of rows is shown, those with the oldest requests."""
        self.site.visits(1)
        for index in range(GROUPS):
            self.site.visit(b"/%d" % index, handler=named(f"handler_{index}"))
        self.assertEqual(len(self.table("request-rows")), GROUPS)
        self.assertIn("and 1 more request<", self.page())

    def test_that_are_over_are_not_told(self) -> None:
        """A request whose client has left is gone from the page."""
        self.site.visits(3)
        self.site.leave()
        self.assertEqual(self.table("request-rows"), [["None"]])


class WorkTests(StatusTestCase):
    """What requests in flight wait for, if that is not a line of code."""

    def waits(self) -> str:
        """What the one row of the table says, without the path."""
        ((request, *_),) = self.table("request-rows")
        return request.partition("/ ")[2]

    def answer(self) -> None:
        """The function of a timer."""

    def test_timers_go_by_their_function(self) -> None:
        """Timers of one function share a row, with the time at which the oldest is due."""
        for _ in range(3):
            self.site.visit(handler=lambda _: self.clock.callLater(9, self.answer))
            self.clock.advance(1)
        name = "WorkTests.answer"
        expected = rf"^timer: {name} at \S+\.py:\d+, due in 5\.0 s handler: .* Show 3 requests"
        self.assertRegex(self.waits(), expected)

    def test_tracked_work(self) -> None:
        """A request whose handler returned no work waits for the newest work that it tracked."""

        def handler(request: Request) -> int:
            for each in self.clock.callLater(9, self.fail), self.clock.callLater(9, self.answer):
                current_scope().track(each)
            return NOT_DONE_YET

        self.site.visit(handler=handler)
        self.assertIn("timer: WorkTests.answer", self.waits())

    def test_no_work(self) -> None:
        """A request whose handler neither returned nor tracked work says so."""
        self.site.visit(handler=lambda _: NOT_DONE_YET)
        self.assertRegex(
            self.waits(), r"^no work was returned or tracked handler: Page\.render at "
        )

    def row_of(self, page: Resource) -> str:
        """What the one row says for a request of a page."""
        root = CancellingResource(page, monitor=self.site.monitor, observers=())
        connection = connect(root, self.clock)
        connection.get()
        row = self.waits()
        connection.disconnect()
        return row

    def test_handler(self) -> None:
        """A row has its handler with file and line, as far as Python can tell these."""
        row = self.row_of(GetPage(waiting))
        self.assertRegex(
            row, r"Deferred without a canceller handler: waiting at \S+/_pages\.py:\d+$"
        )
        row = self.row_of(GetPage(partial(waiting)))
        self.assertRegex(row, r"Deferred without a canceller handler: waiting$")

    def test_handler_that_waits_itself(self) -> None:
        """A row does not name the handler again if the line at which it waits does."""

        class Report(Resource):
            isLeaf = True

            async def render_GET(self, request: Request) -> bytes:
                return await Deferred[bytes]()

        row = self.row_of(Report())
        self.assertRegex(row, r"^\S+/test_status_in_flight\.py:\d+ in \S+\.Report\.render_GET$")


class MarksTests(StatusTestCase):
    """The marks of requests that do not simply wait."""

    def marks(self) -> list[str]:
        """The marks on the page, without those that are empty."""
        return [
            each for each in re.findall(r'<span class="mark">(.*?)</span>', self.page()) if each
        ]

    def state(self) -> tuple[str, bool]:
        """The state of the oldest request, and whether its client has left, in the JSON."""
        oldest = self.json()["oldest"][0]
        return oldest["state"], oldest["client_left"]

    def test_none(self) -> None:
        """A request that waits for its response has no mark."""
        self.site.visit()
        self.assertEqual(self.marks(), [])
        self.assertEqual(self.state(), ("running", False))

    def test_spared(self) -> None:
        """A request that runs on without its client, for its method, is marked so."""
        self.site.visit(method=b"POST").disconnect()
        self.assertEqual(self.marks(), ["Client left; runs on"])
        self.assertEqual(self.state(), ("spared", True))

    def test_dry_run(self) -> None:
        """A request that runs on without its client, in a dry run, is marked so."""
        self.site.visit(dry_run=True).disconnect()
        self.assertEqual(self.marks(), ["Client left; runs on"])
        self.assertRegex(self.json()["oldest"][0]["cause"], "^the client disconnected")

    def test_dry_run_after_a_limit(self) -> None:
        """A request in a dry run whose client has left after a time limit is marked so, too."""
        self.site.visit(dry_run=True, timeout=1)
        self.clock.advance(1)
        self.assertEqual(self.state(), ("running", False))
        self.assertEqual(self.marks(), ["Not cancelled: timed out after 1 s (timeout)"])
        self.site.leave()
        self.assertEqual(self.state(), ("spared", True))

    def test_stopping(self) -> None:
        """A request whose client has left, and whose work has not stopped yet, is marked so."""
        self.site.visit(handler=stubborn).disconnect()
        self.assertEqual(self.marks(), ["Client left; stopping"])
        self.assertEqual(self.state(), ("stopping", True))

    def test_stopping_for_a_limit(self) -> None:
        """A request that is being stopped while its client waits has the cause in its mark."""
        self.site.visit(handler=stubborn, timeout=2)
        self.clock.advance(2)
        self.assertEqual(self.marks(), ["Stopping: timed out after 2 s (timeout)"])
        self.assertEqual(self.state(), ("stopping", False))

    def test_cleaning_up(self) -> None:
        """A request whose cleanup hooks still run is marked so, whether its client left or not."""
        self.site.visit(b"/left", on_exit=waiting).disconnect()
        self.site.visit(b"/answered", handler=lambda _: b"page", on_exit=waiting)
        self.assertEqual(self.marks(), ["Client left; cleaning up", "Cleaning up"])

    def test_answered(self) -> None:
        """A request that was answered, and whose handler still runs, is marked so."""

        async def handler(request: Request) -> None:
            request.finish()
            await Deferred()

        self.site.visit(handler=handler)
        self.assertEqual(self.marks(), ["Answered; its work still runs"])

    def test_answered_after_its_client_left(self) -> None:
        """A spared request that has its result, and whose other work still runs, is marked so."""
        answer: Deferred[bytes] = Deferred()

        def handler(request: Request) -> Deferred[bytes]:
            work: Deferred[None] = Deferred()
            work.addErrback(lambda _: Deferred())
            current_scope().track(work)
            return answer

        self.site.visit(handler=handler, method=b"POST").disconnect()
        answer.callback(b"page")
        self.assertEqual(self.state(), ("answered", True))
        self.assertEqual(self.marks(), ["Client left; its work still runs"])
