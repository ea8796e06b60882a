"""The handlers and paths that are abandoned most and take the most time, on the status page.

What belongs here: the lists and their shares. What does not: how requests are counted
(`test_counts`).
"""

from twisted.internet.defer import Deferred

from cancelweb._operating.counts import PERIOD
from cancelweb.status._busiest import TOP

from ._monitored import stubborn
from ._statuses import StatusTestCase


class RankingsTests(StatusTestCase):
    """The lists on the page."""

    def visit(self, path: bytes, seconds: float = 0, *, is_abandoned: bool = True) -> None:
        """Add a request that takes so long, and is then abandoned or answered."""
        answer: Deferred[bytes] = Deferred(lambda _: None)
        connection = self.site.visit(path, handler=lambda _: answer)
        self.clock.advance(seconds)
        if is_abandoned:
            connection.disconnect()
        else:
            answer.callback(b"page")

    def test_are_empty(self) -> None:
        """Without requests, all lists say that there is nothing in them."""
        for name in (
            "handlers-abandoned-most",
            "handlers-that-take-the-most-time",
            "paths-abandoned-most",
            "paths-that-take-the-most-time",
        ):
            for prefix in "recent", "all":
                self.assertEqual(self.ranking(f"{prefix}-{name}"), [["None"]])

    def test_paths_abandoned_most(self) -> None:
        """The paths that are abandoned most come first, with their counts and shares."""
        for path in b"/a", b"/b", b"/b", b"/b":
            self.visit(path)
        self.visit(b"/b", is_abandoned=False)
        self.visit(b"/c", is_abandoned=False)
        self.assertEqual(
            self.ranking("recent-paths-abandoned-most"),
            [["GET /b", "3 (75%)", "4", "75%"], ["GET /a", "1 (100%)", "1", "25%"]],
        )

    def test_paths_that_take_most_time(self) -> None:
        """The paths that take the most time come first, with the mean, the longest and a share."""
        self.visit(b"/slow", 30)
        for seconds in 1, 3, 6:
            self.visit(b"/quick", seconds, is_abandoned=False)
        self.assertEqual(
            self.ranking("recent-paths-that-take-the-most-time"),
            [["GET /slow", "30 s", "30 s", "75%"], ["GET /quick", "3.3 s", "6.0 s", "25%"]],
        )

    def test_handlers(self) -> None:
        """A handler has its name, and its file and line."""
        self.visit(b"/a", 2)
        for name in "recent-handlers-abandoned-most", "all-handlers-that-take-the-most-time":
            ((handler, *_, share),) = self.ranking(name)
            self.assertRegex(handler, r"^Page\.render \S*/tests/_pages\.py:\d+$")
            self.assertEqual(share, "100%")

    def test_the_others_have_one_row(self) -> None:
        """All paths beyond the first few are summed up in the last row."""
        for index in range(TOP + 3):
            for _ in range(TOP + 3 - index):
                self.visit(b"/%d" % index, 1)
        rows = self.ranking("recent-paths-that-take-the-most-time")
        self.assertEqual(
            [row[0] for row in rows], [*(f"GET /{n}" for n in range(TOP)), "All others"]
        )
        self.assertEqual(rows[-1][1:], ["1.0 s", "1.0 s", "17%"])

    def test_recent_requests_are_those_of_the_last_minutes(self) -> None:
        """Requests that ended long ago are only in the lists since the start."""
        self.visit(b"/old")
        self.clock.advance(2 * PERIOD)
        self.visit(b"/new")
        rows = self.ranking("recent-paths-abandoned-most")
        self.assertEqual([row[0] for row in rows], ["GET /new"])
        rows = self.ranking("all-paths-abandoned-most")
        self.assertEqual({row[0] for row in rows}, {"GET /new", "GET /old"})
        self.assertEqual(self.numbers()["Abandoned"], "2")

    def test_the_length_of_the_period_is_told(self) -> None:
        """The page says how many requests the lists are about, and of how many minutes."""
        self.visit(b"/", 1)
        self.clock.advance(200)
        text = " ".join(self.page().split())
        self.assertIn("In the last 3 min, 1 request ended.", text)

    def test_json(self) -> None:
        """The JSON has each list with the numbers of each row."""
        self.visit(b"/a", 3)
        self.visit(b"/b", 1, is_abandoned=False)
        recent = self.json()["recent"]
        self.assertEqual(
            {name: recent[name] for name in ("requests", "abandoned", "seconds")},
            {"requests": 2, "abandoned": 1, "seconds": 4},
        )
        self.assertEqual(
            recent["slowest_paths"][1],
            {
                "name": "GET /b",
                "place": None,
                "requests": 1,
                "abandoned": 0,
                "seconds": 1,
                "longest": 1,
                "share": 0.25,
            },
        )

    def test_hostile_paths_are_escaped(self) -> None:
        """Markup in a path is text in the lists, and unprintable characters are escapes."""
        self.site.visit_hostile(b"GET", b"/<b>\x1b")
        self.site.leave()
        ((name, *_),) = self.ranking("recent-paths-abandoned-most")
        self.assertEqual(name, r"GET /&lt;b&gt;\x1b")

    def test_work_that_does_not_stop_counts_until_its_client_left(self) -> None:
        """An abandoned request takes time until its client leaves, not until its work has ended."""
        connection = self.site.visit(handler=stubborn, survivor_after=10)
        self.clock.advance(2)
        connection.disconnect()
        self.clock.advance(10)
        self.assertEqual(self.json()["recent"]["seconds"], 2)
