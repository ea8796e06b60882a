"""The size of the status page: it has a limit, however much there is, and whatever clients send.

What belongs here: the worst that there is to show, and many viewers. What does not: what a page
shows otherwise (`test_status`), and how long it takes (`benchmarks.test_rendering`).
"""

from typing import Any, cast

from hypothesis import given, strategies

from cancelweb import CancellingResource, Cause, Disconnected
from cancelweb.monitor import LetGo, Survivor
from cancelweb.status._in_flight import SHOWN
from cancelweb.status._look import Look
from cancelweb.status._markup import HTML, Template, fitting
from cancelweb.status._page import ROOM
from cancelweb.status._rankings import ROOM as ROOM_OF_RANKING
from cancelweb.status._resource import STALLED, VIEWERS
from cancelweb.status._still_running import PLACES
from cancelweb.status._text import LONGEST, shown
from cancelweb.testing import Client

from .._pages import Page
from .._visits import connect
from ..kinds.test_stacks import allow_deep, deep
from ._monitored import named, rows
from ._statuses import StatusTestCase

MOST_BYTES = 200_000
"""The limit of a page, in bytes, and of an event."""

MOST_BYTES_OF_JSON = 1_000_000

MANY = 10_000

EXAMINED = 2 * SHOWN
"""How many requests in flight are looked at."""

LONG = b"&" * 16_000
"""As long as a URL can be; each character takes five on the page."""


class Endless(Cause):
    """A cause whose description is endless."""

    def __str__(self) -> str:
        return "<" * 10_000


class Detached:
    """Detached work whose descriptions are endless."""

    def __init__(self, number: int) -> None:
        self.number = number

    def describe(self) -> str:
        """Tell a lot."""
        return f"{self.number:05}" + "<" * 5_000

    def where(self) -> str:
        """Tell a lot more."""
        return "\n".join([f"{'<' * 5_000}.py:{self.number} in mail"] * 800)


class WorstCaseTests(StatusTestCase):
    """Pages of a server that does more than a page can show."""

    def setUp(self) -> None:
        super().setUp()
        allow_deep(self)

    def assert_bounded(self) -> None:
        """Check the size of the page, of an event and of the JSON."""
        self.clock.advance(1)
        look = Look(self.site.monitor)
        self.assertLess(len(look.page(self.clock)), MOST_BYTES)
        self.assertLess(len(look.event(self.clock)), MOST_BYTES)
        self.assertLess(len(self.get(b"/json").body), MOST_BYTES_OF_JSON)

    def in_flight(self) -> None:
        """Have the oldest requests wait at different handlers 800 frames deep, with long URLs."""
        for number in range(EXAMINED):
            self.site.visit_hostile(LONG, b"/%d" % number + LONG, named(f"{number}{'<' * 1000}"))
        for _ in range(EXAMINED):
            self.site.visit_hostile(LONG, LONG, lambda _: deep(800))

    def ended(self) -> None:
        """Have abandoned requests of many handlers and paths in the tables."""
        for number in range(250):
            handler = named(f"{number:03}{'<' * 1000}")
            self.site.visit(b"/%03d" % number + LONG[:10_000], handler=handler)
            self.clock.advance(1)
            self.site.connections.pop().disconnect()

    def still_running(self) -> None:
        """Have ten thousand of each kind of work that still runs, at different places."""
        monitor, cause = self.site.monitor, Endless()
        for number in range(MANY):
            line = f"{'<' * 290}.py:{number} in rows"
            stack = "\n".join([line[:LONGEST]] * 13)
            monitor.work_survives(Survivor(LONG, LONG, cause, 0, stack))
            monitor.work_let_go(LetGo(LONG, LONG, cause, 0, line))
            monitor.work_detached(cast(Any, Detached(number)))

    def totals(self) -> None:
        """Have many causes with long names."""
        for number in range(1000):
            self.site.monitor.counts.totals[f"{number:04}{'<' * 1000}", "stopped"] += 1
            self.site.monitor.counts.would_have_cancelled[f"{number}{'<' * 1000}"] += 1

    def test_all_at_once(self) -> None:
        """A page has a limit with all kinds of work in masses, hostile names and long stacks."""
        self.ended()
        self.still_running()
        self.totals()
        self.in_flight()
        self.assert_bounded()
        page = self.page()
        for kind in "requests", "survivors", "places", "pieces", "rows":
            self.assertRegex(page, rf"and [\d,]+ more {kind}<")
        for oldest in "50 oldest and the 50 newest", "500 oldest", "100 oldest":
            self.assertIn(f"Only the {oldest} are looked at.", page)
        told = self.json()
        self.assertEqual(told["in_flight"], 2 * EXAMINED)
        for kind in "survivors", "let_go", "detached":
            self.assertEqual(told[kind], MANY)

    def test_each_alone(self) -> None:
        """The limit holds with one kind of work in masses, too."""
        for kind in self.in_flight, self.ended, self.still_running, self.totals:
            self.setUp()
            kind()
            self.assert_bounded()

    def test_requests(self) -> None:
        """Ten thousand requests in flight, all on one path, take no more room than a hundred."""
        root = CancellingResource(Page(rows), monitor=self.site.monitor, observers=())
        client = Client(root, self.clock, watch=False)
        sizes = []
        for count in EXAMINED, MANY - EXAMINED:
            for _ in range(count):
                client.connect().get(path=b"/report")
            sizes.append(len(self.page()))
        self.assertEqual(self.numbers()["In flight"], "10,000")
        self.assertIn("and 9,900 more requests", self.page())
        self.assertLess(sizes[1], sizes[0] + 500)

    def test_ordinary(self) -> None:
        """With ordinary names, a table has all its rows, and nothing is cut."""
        for number in range(PLACES):
            where = "\n".join(f"/srv/site/shop/page{number}.py:{line} in rows" for line in range(5))
            self.site.monitor.work_survives(Survivor(b"GET", b"/", Disconnected(None), 0, where))
            self.site.monitor.work_let_go(LetGo(b"GET", b"/", Disconnected(None), 0, where[:60]))
        self.assertEqual(len(self.table("survivor-rows")), PLACES)
        self.assertEqual(len(self.table("let-go-rows")), PLACES)
        self.assertNotIn("more survivor", self.page())

    def test_work_let_go_at_many_places(self) -> None:
        """Work that was let go at more places than are kept is counted, and its end is, too."""
        monitor = self.site.monitor
        works = [LetGo(b"GET", b"/", Endless(), 0, f"place {index:03}") for index in range(103)]
        for each in works:
            monitor.work_let_go(each)
        self.assertEqual((len(monitor.let_go_at), len(monitor.let_go)), (100, 103))
        self.assertIn("and 50 more places", self.page())
        for each in works:
            monitor.let_go_ended(each)
            monitor.let_go_ended(each)
        self.assertEqual((len(monitor.let_go_at), monitor.let_go), (100, ()))
        self.assertEqual({row[2] for row in self.table("let-go-rows")}, {"0"})

    def test_longest_rows_fit(self) -> None:
        """Each table has at least one row, however long its text is."""
        self.still_running()
        self.totals()
        self.in_flight()
        for name in "request", "survivor", "let-go", "detached", "total":
            self.assertNotIn(self.table(f"{name}-rows")[0][0], ("None", "None yet"))


class MarkupTests(StatusTestCase):
    """The templates of the page, and how much fits."""

    @given(strategies.text())
    def test_text_is_escaped(self, text: str) -> None:
        """Text in a slot is escaped, in attributes and elsewhere; HTML stays as it is."""
        html = Template('<p id="{text}">{text}{html}</p>').fill(text=text, html=HTML("<b>"))
        rest = html.replace("<b>", "", 1).removeprefix('<p id="').removesuffix("</p>")
        self.assertEqual(rest.count("<") + rest.count("'"), 0)
        self.assertEqual((rest.count('"'), rest.count(">")), (1, 1))

    def test_slots_in_text(self) -> None:
        """Text that looks like a slot stays as it is."""
        self.assertEqual(Template("{a}").fill(a="{a.__class__} {0} %s"), "{a.__class__} {0} %s")

    @given(strategies.lists(strategies.text()), strategies.integers(0, 100))
    def test_fitting(self, texts: list[str], room: int) -> None:
        """As many rows are taken as fit, in bytes, from the beginning."""
        texts = [each.encode("utf-8", "replace").decode() for each in texts]
        rows = fitting(map(HTML, texts), room)
        self.assertEqual(rows, texts[: len(rows)])
        sizes = [len(each.encode()) for each in texts]
        self.assertLessEqual(sum(sizes[: len(rows)]), room)
        if len(rows) < len(texts):
            self.assertGreater(sum(sizes[: len(rows) + 1]), room)

    @given(strategies.binary())
    def test_shown(self, text: bytes) -> None:
        """What is shown of a text has a limit, even if nothing of it can be printed."""
        self.assertLessEqual(len(shown(text * 200)), LONGEST + 1)
        self.assertTrue(shown(text * 200).isprintable())

    def test_room(self) -> None:
        """The rooms of all tables leave some for the rest of the page."""
        self.assertLess(sum(ROOM.values()) + 8 * ROOM_OF_RANKING, MOST_BYTES - 20_000)


class ViewersTests(StatusTestCase):
    """Many viewers, and viewers that do not read."""

    def listen(self) -> Any:
        """A connection with the events of the page."""
        connection = connect(self.status, self.clock)
        connection.get(path=b"/events")
        self.clock.advance(0)
        return connection

    def test_are_limited(self) -> None:
        """A limited number of viewers get the events; the next one gets a 503, until one leaves."""
        viewers = [connect(self.status, self.clock) for _ in range(VIEWERS)]
        for each in viewers:
            each.get(path=b"/events")
        refused = self.listen().response
        self.assertEqual({each.response.code for each in viewers}, {200})
        self.assertEqual((refused.code, refused.header(b"retry-after")), (503, b"5"))
        self.assertIn(b"Too many viewers", refused.body)
        self.assertEqual(self.get().code, 200)
        viewers.pop().disconnect()
        viewers.append(self.listen())
        self.assertEqual(viewers[-1].response.code, 200)
        for each in viewers:
            each.disconnect()

    def test_share_the_bytes(self) -> None:
        """All viewers get the same object for an event, and for a page."""
        look = Look(self.site.monitor)
        for get in look.page, look.event:
            self.assertIs(get(self.clock), get(self.clock))

    def test_that_do_not_read(self) -> None:
        """A viewer that reads nothing has one event waiting for it at most, and is then aborted."""
        viewer = self.listen()
        size = len(viewer.received)
        viewer.pause(full=True)
        self.clock.pump([1] * int(STALLED - 5))
        self.assertFalse(viewer.is_aborted)
        self.clock.pump([1] * int(STALLED + 5))
        self.assertTrue(viewer.is_aborted)
        self.assertLess(len(viewer.received), 2.5 * size)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_leave_in_any_way(self) -> None:
        """A viewer that leaves at once, or asks with HEAD alone, is no longer counted."""
        for _ in range(VIEWERS + 1):
            at_once = connect(self.status, self.clock)
            at_once.get(path=b"/events")
            at_once.disconnect()
            at_once = connect(self.status, self.clock)
            at_once.request(method=b"HEAD", path=b"/events")
            at_once.disconnect()
            self.listen().disconnect()
            self.assertNotEqual(self.get(b"/events", b"HEAD").code, 503)
