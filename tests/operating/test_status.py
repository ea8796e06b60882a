"""The status page: what it tells, on the page and in JSON.

In memory. How it is served is for `test_status_serving`; what a browser makes of it, for
`real.browsers.test_status`.
"""

import json

from twisted.internet.defer import Deferred

from cancelweb import TimedOut, detach
from cancelweb.status._facts import LONGEST, SHOWN

from ._monitored import stubborn
from ._statuses import StatusTestCase


class RequestsTests(StatusTestCase):
    """Requests in flight on the status page."""

    def test_are_none(self) -> None:
        """A page without requests, survivors or totals says so in its tables, and counts 0."""
        for name in ["request-rows", "survivor-rows"]:
            self.assertEqual(self.table(name), [["None"]])
        self.assertEqual(self.table("total-rows"), [["None yet"]])
        self.assertEqual(set(self.numbers().values()), {"0"})

    def test_are_told_with_what_they_wait_at(self) -> None:
        """A request has its method, its path without the query, its age and its waiting line."""
        self.site.visit(b"/a%20b;c?secret=1")
        self.clock.advance(3)
        ((request, age, deadline),) = self.table("request-rows")
        self.assertRegex(request, r"^GET.*/a%20b;c \S*/tests/operating/_monitored\.py:\d+ in rows$")
        self.assertEqual((age, deadline), ("4.0 s", "none"))
        self.assertNotIn("secret", self.page())

    def test_are_told_with_their_deadline(self) -> None:
        """A request with a deadline has the time to it, which counts down."""
        self.site.visit(timeout=30)
        self.assertEqual([row[2] for row in self.table("request-rows")], ["in 29 s"])
        self.clock.advance(25)
        self.assertEqual([row[2] for row in self.table("request-rows")], ["in 3.0 s"])

    def test_are_told_while_they_stop(self) -> None:
        """A request that was cancelled, and has not stopped yet, says why."""
        self.site.visit(handler=stubborn, timeout=2)
        self.clock.advance(2)
        ((request, _, _),) = self.table("request-rows")
        self.assertIn("Stopping: timed out after 2 s", request)

    def test_the_oldest_are_told(self) -> None:
        """The oldest requests have a row, and the younger ones beyond are counted."""
        self.site.visits(SHOWN)
        self.assertNotIn("more, younger", self.page())
        self.site.visits(1007)
        requests = [row[0] for row in self.table("request-rows")]
        self.assertEqual(len(requests), SHOWN)
        self.assertRegex(requests[0], r"/reports/0 ")
        self.assertIn("and 1,007 more, younger ones", self.page())
        self.assertEqual(self.numbers()["In flight"], f"{SHOWN + 1007:,}")

    def test_that_are_over_are_not_told(self) -> None:
        """A request whose client has left is gone from the page."""
        self.site.visits(3)
        self.site.leave()
        self.assertEqual(self.table("request-rows"), [["None"]])


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
        ((survivor, age),) = self.table("survivor-rows")
        self.assertRegex(
            survivor,
            r"GET.*/stubborn the client disconnected .* \S*/_monitored\.py:\d+ in stubborn",
        )
        self.assertEqual(age, "3.0 s")
        self.assertEqual(self.numbers()["Survivors"], "1")

    def test_the_oldest_are_told(self) -> None:
        """The oldest survivors have a row, and the younger ones beyond are counted."""
        for index in range(SHOWN + 2):
            self.survivor(b"/%d" % index)
        self.assertEqual(len(self.table("survivor-rows")), SHOWN)
        self.assertIn("and 2 more, younger ones", self.page())


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

    def test_dry_run(self) -> None:
        """In a dry run the page has what would have been cancelled, and no saved work."""
        done: Deferred[bytes] = Deferred()
        self.site.visit(handler=lambda _: done, dry_run=True).disconnect()
        done.callback(b"page")
        self.assertIn(
            ["Disconnected", "would have been cancelled (dry run)", "1"], self.table("total-rows")
        )
        self.assertEqual(self.numbers()["Work saved"], "0")

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
        self.assertIn("/&lt;script&gt;alert(1)&lt;/script&gt;\"onerror='&amp;amp;", page)
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
        """The JSON has the counts, and each request, survivor and total."""
        self.site.visit(b"/old", timeout=60)
        self.clock.advance(2)
        self.site.visit(b"/new").disconnect()
        response = self.get(b"/json")
        self.assertEqual(response.header(b"content-type"), b"application/json")
        told = json.loads(response.body)
        (oldest,) = told.pop("oldest")
        self.assertRegex(oldest.pop("waits_at"), r"_monitored\.py:\d+ in rows$")
        self.assertEqual(
            oldest, {"method": "GET", "path": "/old", "age": 2, "remaining": 58, "cause": None}
        )
        self.assertEqual(
            told,
            {
                "is_draining": False,
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
            },
        )

    def test_tells_a_cause(self) -> None:
        """A request that was cancelled, and has not stopped yet, has its cause in the JSON."""
        self.site.visit(handler=stubborn, timeout=1)
        self.clock.advance(1)
        self.assertEqual(self.json()["oldest"][0]["cause"], str(TimedOut(1)))
