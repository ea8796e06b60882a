"""The status page: what it tells, on the page and in JSON.

In memory. How it is served is for `test_status_serving`; what a browser makes of it, for
`real.browsers.test_status`.
"""

import json

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource

from cancelweb import CancellingResource, TimedOut, detach
from cancelweb.status._still_running import PLACES
from cancelweb.status._text import LONGEST

from ._monitored import stubborn
from ._statuses import StatusTestCase


class SurvivorsTests(StatusTestCase):
    """Survivors on the status page."""

    def survivor(self, path: bytes = b"/stubborn") -> None:
        """Add a survivor that was left 2 s ago."""
        self.site.survivor(path, 2)
        self.clock.advance(2)
        self.flushLoggedErrors()

    def test_are_told_with_their_stack(self) -> None:
        """A survivor has its request, its cause, the line that it waits at, and its age."""
        self.survivor()
        ((survivor, count, age),) = self.table("survivor-rows")
        self.assertRegex(
            survivor,
            r"GET.*/stubborn the client disconnected .* \S*/_monitored\.py:\d+ in stubborn",
        )
        self.assertEqual((count, age), ("1", "3.0 s"))
        self.assertEqual(self.numbers()["Survivors"], "1")

    def test_at_one_place_share_a_row(self) -> None:
        """Survivors that wait at the same place share a row, with the oldest of them."""
        for index in range(3):
            self.survivor(b"/%d" % index)
        ((survivor, count, age),) = self.table("survivor-rows")
        self.assertRegex(survivor, r"GET.*/0 and 2 other paths ")
        self.assertEqual((count, age), ("3", "7.0 s"))

    def test_at_many_places_are_counted(self) -> None:
        """Survivors at so many places that not all have a row are counted below the rows."""
        for index in range(PLACES + 2):
            self.site.visit(method=b"M%d" % index, handler=stubborn, survivor_after=1)
        self.site.monitor.drain(0)
        self.clock.pump([1, 1])
        self.assertEqual(len(self.table("survivor-rows")), PLACES)
        self.assertIn("and 2 more survivors", self.page())


class OtherWorkTests(StatusTestCase):
    """Work that was let go, and detached work, on the status page."""

    def test_work_that_was_let_go(self) -> None:
        """A place where work was let go has how often, how much still runs, and for how long."""
        self.assertEqual(self.table("let-go-rows"), [["None"]])
        running = self.site.let_go()
        self.clock.advance(2)
        self.site.let_go()
        ((place, *numbers),) = self.table("let-go-rows")
        self.assertRegex(place, r"^a Deferred of ")
        self.assertEqual(numbers, ["2", "1", "3.0 s"])
        del running
        ((_, *numbers),) = self.table("let-go-rows")
        self.assertEqual(numbers, ["2", "0", ""])

    def test_detached_work(self) -> None:
        """Detached work that waits at the same place shares a row, and is counted."""
        self.assertEqual(self.table("detached-rows"), [["None"]])
        self.site.detach()
        self.site.detach()
        ((work, count),) = self.table("detached-rows")
        self.assertRegex(work, r"^coroutine mail \S*/_monitored\.py:\d+ in mail detached at ")
        self.assertRegex(work, r" detached at \S*/_monitored\.py:\d+ in detaching$")
        self.assertEqual(count, "2")


class TotalsTests(StatusTestCase):
    """The totals and numbers on the status page."""

    def test_are_told_by_cause_and_end(self) -> None:
        """Each cause and end of requests has a row of totals, the most frequent first."""
        for _ in range(3):
            self.site.visit().disconnect()
        self.site.visit(handler=lambda _: b"page")
        self.assertEqual(
            self.table("total-rows"),
            [["Disconnected", "stopped", "3"], ["not cancelled", "completed", "1"]],
        )

    def test_saved_work(self) -> None:
        """Work counts as saved if it was cancelled and stopped, not if it survived or completed."""
        self.site.visit().disconnect()
        self.site.visit(handler=lambda _: b"page")
        self.site.survivor()
        numbers = self.numbers()
        told = {name: numbers[name] for name in ["Requests", "Cancelled", "Work saved"]}
        self.assertEqual(told, {"Requests": "3", "Cancelled": "2", "Work saved": "1"})

    def test_detached_work(self) -> None:
        """Detached work is counted while it runs."""
        work: Deferred[None] = Deferred()

        def handler(request: object) -> bytes:
            detach(work)
            return b"page"

        self.site.visit(handler=handler)
        self.assertEqual(self.numbers()["Detached"], "1")
        work.callback(None)
        self.assertEqual(self.numbers()["Detached"], "0")
        self.assertEqual(self.site.monitor.detached_at, {})

    def test_dry_run(self) -> None:
        """In a dry run the page has what would have been cancelled, and no saved work."""
        done: Deferred[bytes] = Deferred()
        self.site.visit(handler=lambda _: done, dry_run=True).disconnect()
        done.callback(b"page")
        self.assertIn(["Disconnected", "would have been cancelled", "1"], self.table("total-rows"))
        self.assertEqual(self.numbers()["Work saved"], "0")

    def test_banner_of_a_dry_run(self) -> None:
        """The page says that it is a dry run as soon as an entry point for one is made."""
        self.assertNotIn("Dry run", self.page())
        CancellingResource(Resource(), monitor=self.site.monitor)
        self.assertFalse(self.json()["is_dry_run"])
        CancellingResource(Resource(), monitor=self.site.monitor, dry_run=True)
        self.assertIn("Dry run", self.page())
        self.assertTrue(self.json()["is_dry_run"])

    def test_draining(self) -> None:
        """The page says during a drain that the server is draining."""
        self.assertNotIn("Draining", self.page())
        self.site.visit()
        self.site.monitor.drain(30)
        self.assertIn("Draining", self.page())
        self.site.leave()


class HostileTests(StatusTestCase):
    """Hostile requests on the status page and in its JSON."""

    MARKUP = b"/<script>alert(1)</script>\"onerror='&amp;"
    NO_PRINT = b"\0\r\n\x1b\x7f\xe2\x80\xae\xff"

    def test_is_escaped(self) -> None:
        """The page has markup in a request as text, and unprintable characters as escapes."""
        self.site.visit(self.MARKUP)
        self.site.visit_hostile(b"<b>" + self.NO_PRINT, b"/<b>" + self.NO_PRINT)
        page = self.page()
        escaped = "/&lt;script&gt;alert(1)&lt;/script&gt;&quot;onerror=&#x27;&amp;amp;"
        self.assertIn(escaped, page)
        escaped = r"&lt;b&gt;\x00\r\n\x1b\x7f\u202e\xff"
        self.assertIn(f"{escaped}\xa0/{escaped}<", page)
        self.assertNotRegex(page, "<script>|<b>")

    def test_is_told_in_json(self) -> None:
        """The JSON has markup in a path as it is, and unprintable characters as escapes."""
        self.site.visit_hostile(b"GET", self.MARKUP + self.NO_PRINT)
        (told,) = self.json()["oldest"]
        self.assertEqual(told["path"], self.MARKUP.decode() + r"\x00\r\n\x1b\x7f\u202e\xff")

    def test_headers_are_not_told(self) -> None:
        """No header of a request is in the page or the JSON."""
        self.site.visit(headers={b"User-Agent": b"sniffed", b"Cookie": b"sniffed"})
        self.assertNotIn("sniffed", self.page())
        self.assertNotIn(b"sniffed", self.get(b"/json").body)

    def test_that_is_long_is_cut(self) -> None:
        """The JSON has the beginning of a long path."""
        self.site.visit(b"/" + b"x" * 16_000)
        (told,) = self.json()["oldest"]
        self.assertEqual(told["path"], "/" + "x" * (LONGEST - 1) + "…")


class JSONTests(StatusTestCase):
    """The status as JSON, for scripts."""

    def test_tells_what_the_page_tells(self) -> None:
        """The JSON has the counts, and each request, group, share, survivor and total."""
        self.site.visit(b"/old", timeout=60)
        self.clock.advance(2)
        self.site.visit(b"/new").disconnect()
        response = self.get(b"/json")
        self.assertEqual(response.header(b"content-type"), b"application/json")
        told = json.loads(response.body)
        (oldest,), (group,) = told.pop("oldest"), told.pop("groups")
        self.assertEqual((group["requests"], group["count"], group["paths"]), ([oldest], 1, 1))
        self.assertRegex(oldest.pop("waits_at"), r"_monitored\.py:\d+ in rows$")
        self.assertRegex(oldest.pop("handler_at"), r"_pages\.py:\d+$")
        self.assertEqual(
            oldest,
            {
                "method": "GET",
                "path": "/old",
                "handler": "Page.render",
                "age": 2,
                "remaining": 58,
                "state": "running",
                "client_left": False,
                "cause": None,
            },
        )
        recent = told.pop("recent")
        self.assertEqual(told.pop("since_start"), recent)
        self.assertEqual((recent["requests"], recent["abandoned"]), (1, 1))
        self.assertEqual(
            told,
            {
                "is_draining": False,
                "is_dry_run": False,
                "in_flight": 1,
                "survivors": 0,
                "let_go": 0,
                "detached": 0,
                "opened": 2,
                "cancelled": 1,
                "saved": 1,
                "would_have_cancelled": {},
                "totals": [{"cause": "Disconnected", "ended": "stopped", "count": 1}],
                "surviving": [],
                "let_go_at": [],
                "let_go_places": 0,
                "detached_work": [],
            },
        )

    def test_tells_a_cause(self) -> None:
        """A request that was cancelled, and has not stopped yet, has its cause in the JSON."""
        self.site.visit(handler=stubborn, timeout=1)
        self.clock.advance(1)
        self.assertEqual(self.json()["oldest"][0]["cause"], str(TimedOut(1)))
