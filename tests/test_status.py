"""The status page: what it tells, its JSON, its events, and what goes with them.

In memory; what a browser makes of it is for `test_status_browser`.
"""

import json
import re
from typing import Any

from twisted.application.service import IServiceCollection
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from cancelweb import TimedOut, detach
from cancelweb.monitor import Monitor
from cancelweb.status import StatusResource
from cancelweb.status._facts import LONGEST, SHOWN
from cancelweb.status._history import GAP, SECONDS, History
from cancelweb.status._page import duration, number
from cancelweb.status._resource import FILES, HEADERS

from ._docs import DOCS, STATUS, run
from ._inmemory import Client, log_events, no_cycles, of_cancelweb
from ._monitored import Monitored, stubborn
from ._responses import Response

PATHS = [b"/", b"/json", *(b"/" + name for name in FILES)]


class StatusTestCase(SynchronousTestCase):
    """What the tests below share: a monitored site, and the page that shows it."""

    def setUp(self) -> None:
        self.clock = Clock()
        # Like a reactor's, which does not begin at 0.
        self.clock.advance(1_000_000)
        self.site = Monitored(self.clock)
        self.status = StatusResource(self.site.monitor)

    def get(self, path: bytes = b"/", method: bytes = b"GET") -> Response:
        """What is answered now."""
        client = Client(self.status, self.clock)
        client.request(method=method, path=path)
        return client.response

    def page(self) -> str:
        """The page, as it is a second later."""
        self.clock.advance(1)
        return self.get().body.decode()

    def table(self, name: str) -> list[list[str]]:
        """The text of the rows of one table, cell by cell."""
        body = re.search(rf'<tbody id="{name}"[^>]*>(.*?)</tbody>', self.page(), re.S)
        assert body is not None
        found = re.findall(r"<tr>(.*?)</tr>", body[1], re.S)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in found]
        return [[" ".join(re.sub("<[^>]*>", " ", cell).split()) for cell in row] for row in cells]

    def numbers(self) -> dict[str, str]:
        """The numbers at the top."""
        found = re.findall(r"<dt>(.*?)</dt><dd>([\d,]+)", self.page())
        return dict(found)

    def json(self) -> Any:
        """The JSON."""
        return json.loads(self.get(b"/json").body)


class RequestsTests(StatusTestCase):
    """Requests in flight."""

    def test_are_none(self) -> None:
        """Where there are none the page says so, in each of its tables."""
        for name in ["request-rows", "survivor-rows"]:
            self.assertEqual(self.table(name), [["None"]])
        self.assertEqual(self.table("total-rows"), [["None yet"]])
        self.assertEqual(set(self.numbers().values()), {"0"})

    def test_are_told_with_what_they_wait_at(self) -> None:
        """Each has its method, its path without the query, its age, and file, line, function."""
        self.site.visit(b"/a%20b;c?secret=1")
        self.clock.advance(3)
        ((request, age, deadline),) = self.table("request-rows")
        self.assertRegex(request, r"^GET.*/a%20b;c \S*/tests/_monitored\.py:\d+ in rows$")
        self.assertEqual((age, deadline), ("4.0 s", "none"))
        self.assertNotIn("secret", self.page())

    def test_are_told_with_their_deadline(self) -> None:
        """The time to the deadline counts down."""
        self.site.visit(timeout=30)
        self.assertEqual([row[2] for row in self.table("request-rows")], ["in 29 s"])
        self.clock.advance(25)
        self.assertEqual([row[2] for row in self.table("request-rows")], ["in 3.0 s"])

    def test_are_told_while_they_stop(self) -> None:
        """One that was cancelled, and still stops, says why."""
        self.site.visit(handler=stubborn, timeout=2)
        self.clock.advance(2)
        ((request, _, _),) = self.table("request-rows")
        self.assertIn("Stopping: timed out after 2 s", request)

    def test_the_oldest_are_told(self) -> None:
        """Of more than there is room for the oldest have a row, and the others are counted."""
        self.site.visits(SHOWN)
        self.assertNotIn("more, younger", self.page())
        self.site.visits(1007)
        requests = [row[0] for row in self.table("request-rows")]
        self.assertEqual(len(requests), SHOWN)
        self.assertRegex(requests[0], r"/reports/0 ")
        self.assertIn("and 1,007 more, younger ones", self.page())
        self.assertEqual(self.numbers()["In flight"], f"{SHOWN + 1007:,}")

    def test_that_are_over_are_not_told(self) -> None:
        """A request that is answered, or left, is gone from the page."""
        self.site.visits(3)
        self.site.leave()
        self.assertEqual(self.table("request-rows"), [["None"]])


class SurvivorsTests(StatusTestCase):
    """Work that runs on."""

    def survivor(self, path: bytes = b"/stubborn") -> None:
        """One more."""
        self.site.survivor(path, 2)
        self.clock.advance(2)
        self.flushLoggedErrors()

    def test_are_told_with_their_stack(self) -> None:
        """Each is told with its request, its cause, the lines that it waits at, and its age."""
        self.survivor()
        ((survivor, age),) = self.table("survivor-rows")
        self.assertRegex(
            survivor,
            r"GET.*/stubborn the client disconnected .* \S*/_monitored\.py:\d+ in stubborn",
        )
        self.assertEqual(age, "3.0 s")
        self.assertEqual(self.numbers()["Survivors"], "1")

    def test_the_oldest_are_told(self) -> None:
        """Of more than there is room for the oldest have a row, and the others are counted."""
        for index in range(SHOWN + 2):
            self.survivor(b"/%d" % index)
        self.assertEqual(len(self.table("survivor-rows")), SHOWN)
        self.assertIn("and 2 more, younger ones", self.page())


class TotalsTests(StatusTestCase):
    """What became of those that have ended."""

    def test_are_told_by_cause_and_end(self) -> None:
        """Each way of ending has a row, the most frequent first."""
        for _ in range(3):
            self.site.visit().disconnect()
        self.site.visit(handler=lambda _: b"page")
        self.assertEqual(
            self.table("total-rows"),
            [["Disconnected", "stopped", "3"], ["not cancelled", "completed", "1"]],
        )

    def test_saved_work(self) -> None:
        """Work is saved if it was cancelled and has stopped; not if it ran on or was done."""
        self.site.visit().disconnect()
        self.site.visit(handler=lambda _: b"page")
        self.site.survivor()
        numbers = self.numbers()
        told = {name: numbers[name] for name in ["Requests so far", "Cancelled", "Work saved"]}
        self.assertEqual(told, {"Requests so far": "3", "Cancelled": "2", "Work saved": "1"})

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
        """In a dry run the page tells what would have been cancelled."""
        done: Deferred[bytes] = Deferred()
        self.site.visit(handler=lambda _: done, dry_run=True).disconnect()
        done.callback(b"page")
        self.assertIn(
            ["Disconnected", "would have been cancelled (dry run)", "1"], self.table("total-rows")
        )
        self.assertEqual(self.numbers()["Work saved"], "0")

    def test_draining(self) -> None:
        """That the server is shutting down is said, while it is."""
        self.assertNotIn("Draining", self.page())
        self.site.visit()
        self.site.monitor.drain(30)
        self.assertIn("Draining", self.page())
        self.site.leave()


class HostileTests(StatusTestCase):
    """What a client has sent."""

    MARKUP = b"/<script>alert(1)</script>\"onerror='&amp;"
    NO_PRINT = b"\0\r\n\x1b\x7f\xe2\x80\xae\xff"

    def test_is_escaped(self) -> None:
        """Markup is text, and what is no print has escapes, in the page."""
        self.site.visit(self.MARKUP)
        self.site.visit_hostile(b"<b>" + self.NO_PRINT, b"/<b>" + self.NO_PRINT)
        page = self.page()
        self.assertIn("/&lt;script&gt;alert(1)&lt;/script&gt;\"onerror='&amp;amp;", page)
        escaped = r"&lt;b&gt;\x00\r\n\x1b\x7f\u202e\xff"
        self.assertIn(f"{escaped}\xa0/{escaped}<", page)
        self.assertNotRegex(page, "<script>|<b>")

    def test_is_told_in_json(self) -> None:
        """The JSON has the same text, without the escapes of HTML."""
        self.site.visit_hostile(b"GET", self.MARKUP + self.NO_PRINT)
        (told,) = self.json()["oldest"]
        self.assertEqual(told["path"], self.MARKUP.decode() + r"\x00\r\n\x1b\x7f\u202e\xff")

    def test_headers_are_not_told(self) -> None:
        """No header of a request is in the page or the JSON."""
        self.site.visit(headers={b"User-Agent": b"sniffed", b"Cookie": b"sniffed"})
        self.assertNotIn("sniffed", self.page())
        self.assertNotIn(b"sniffed", self.get(b"/json").body)

    def test_that_is_long_is_cut(self) -> None:
        """Of a long path the beginning is told."""
        self.site.visit(b"/" + b"x" * 16_000)
        (told,) = self.json()["oldest"]
        self.assertEqual(told["path"], "/" + "x" * (LONGEST - 1) + "…")


class JSONTests(StatusTestCase):
    """The status for scripts."""

    def test_tells_what_the_page_tells(self) -> None:
        """It has the counts, and each request, survivor and total."""
        self.site.visit(b"/old", timeout=60)
        self.clock.advance(2)
        self.site.visit(b"/new").disconnect()
        response = self.get(b"/json")
        self.assertEqual(response.headers[b"content-type"], b"application/json")
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
                "detached": 0,
                "opened": 2,
                "cancelled": 1,
                "saved": 1,
                "would_have_cancelled": {},
                "totals": [{"cause": "Disconnected", "ended": "stopped", "count": 1}],
                "surviving": [],
            },
        )

    def test_tells_a_cause(self) -> None:
        """A request that stops has its cause in words."""
        self.site.visit(handler=stubborn, timeout=1)
        self.clock.advance(1)
        self.assertEqual(self.json()["oldest"][0]["cause"], str(TimedOut(1)))


class EventsTests(StatusTestCase):
    """The page that keeps itself up to date."""

    def listen(self) -> Client:
        """A browser that listens."""
        client = Client(self.status, self.clock)
        client.request(path=b"/events")
        self.clock.advance(0)
        return client

    def events(self, client: Client) -> list[str]:
        """The events that came, as a browser reads them."""
        text = client.response.body.decode()
        *events, rest = text.split("\n\n")
        self.assertEqual(rest, "")
        return [
            "\n".join(line.removeprefix("data: ") for line in event.split("\n")) for event in events
        ]

    def test_are_the_page_each_second(self) -> None:
        """There is one at once, and one each second; each is the page as it is then."""
        client = self.listen()
        self.assertEqual(client.response.headers[b"content-type"], b"text/event-stream")
        (first,) = self.events(client)
        self.assertEqual(first, self.get().body.decode())
        self.site.visit(b"/new")
        self.clock.pump([0.5, 0.5, 0])
        first, second = self.events(client)
        self.assertNotIn("/new", first)
        self.assertIn("/new", second)

    def test_stop_when_the_client_leaves(self) -> None:
        """Nothing is left of who has left, and nothing is logged."""
        events = log_events(self)
        client = self.listen()
        client.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(of_cancelweb(events), [])

    def test_wait_for_a_client_that_reads_slowly(self) -> None:
        """While the client takes in nothing there are no events, and then there is the newest."""
        client = self.listen()
        client.pause()
        self.clock.pump([1, 0] * 5)
        before = len(self.events(client))
        self.site.visit(b"/new")
        self.clock.pump([1, 0] * 5)
        self.assertEqual(len(self.events(client)), before)
        client.resume()
        self.clock.pump([1, 0])
        self.assertIn("/new", self.events(client)[-1])
        client.disconnect()

    def test_are_rendered_once_for_all(self) -> None:
        """However many listen, the monitor is read once a second."""
        reads: list[float] = []

        class Counting(Monitor):
            @property
            def scopes(self) -> Any:
                reads.append(1)
                return super().scopes

        self.status = StatusResource(Counting())
        clients = [self.listen() for _ in range(5)]
        self.clock.pump([0.25] * 12)
        self.assertEqual(len(reads), 4)
        for client in clients:
            client.disconnect()

    def test_clock_that_is_put_back(self) -> None:
        """A clock that is put back stops nothing: the page goes on."""
        client = self.listen()
        self.clock.rightNow -= 1000
        self.site.visit(b"/new")
        self.assertIn("/new", self.get().body.decode())
        client.disconnect()

    def test_leave_no_cycles(self) -> None:
        """What was rendered and streamed leaves nothing to the cycle collector."""
        self.listen().disconnect()
        self.clock.advance(1)
        with no_cycles(self):
            client = self.listen()
            client.disconnect()
            del client


class ChartTests(SynchronousTestCase):
    """How the numbers went."""

    def setUp(self) -> None:
        self.history = History()

    def test_in_flight(self) -> None:
        """The line has a point for each sample; its end is now, its greatest value the top."""
        for second, count in enumerate([0, 5, 10]):
            self.history.note(second, count, 0)
        line = self.history.in_flight()
        self.assertEqual((line.now, line.most), (10, 10))
        self.assertEqual(line.drawn(2), [[(118.0, 39.0), (119.0, 20.0), (120.0, 1.0)]])

    def test_cancelled(self) -> None:
        """The rate is that between two samples."""
        for second, count in [(0, 100), (2, 104), (3, 104)]:
            self.history.note(second, 0, count)
        self.assertEqual(self.history.cancelled().runs, [[(2, 2.0), (3, 0.0)]])

    def test_gap(self) -> None:
        """Where nobody looked there is no line."""
        for second in [0, 1, 2 + GAP, 3 + GAP]:
            self.history.note(second, 1, 0)
        self.assertEqual([len(run) for run in self.history.in_flight().runs], [2, 2])
        self.assertEqual([len(run) for run in self.history.cancelled().runs], [1, 1])

    def test_is_bounded(self) -> None:
        """What is older than the chart is wide is forgotten."""
        for second in range(3 * SECONDS):
            self.history.note(second, 1, 0)
        (run,) = self.history.in_flight().runs
        self.assertEqual(len(run), SECONDS + 1)

    def test_clock_that_is_put_back(self) -> None:
        """What is in the future is forgotten."""
        self.history.note(100, 7, 0)
        self.history.note(50, 1, 0)
        self.assertEqual(self.history.in_flight().runs, [[(50, 1)]])


class WordsTests(SynchronousTestCase):
    """Numbers for people."""

    def test_duration(self) -> None:
        """A duration has one or two units, and no more digits than are of use."""
        for seconds, words in [
            (-0.001, "0.0 s"),
            (0.44, "0.4 s"),
            (9.94, "9.9 s"),
            (9.99, "9 s"),
            (12.9, "12 s"),
            (60, "1 min 0 s"),
            (185, "3 min 5 s"),
            (7450, "2 h 4 min"),
        ]:
            self.assertEqual(duration(seconds).replace("\xa0", " "), words)

    def test_number(self) -> None:
        """Thousands are apart, and a small fraction is told."""
        for value, words in [(0, "0"), (0.5, "0.5"), (12.4, "12"), (5000, "5,000")]:
            self.assertEqual(number(value), words)


class ServingTests(StatusTestCase):
    """The paths, and what goes with each answer."""

    def test_headers(self) -> None:
        """Each answer has the headers that keep browsers out of trouble."""
        for path in PATHS:
            response = self.get(path)
            self.assertEqual(response.status, 200, path)
            self.assertLessEqual(HEADERS.items(), response.headers.items(), path)
        self.assertEqual(self.get(b"/none").status, 404)

    def test_policy_is_strict(self) -> None:
        """The policy allows nothing inline and nothing from elsewhere."""
        policy = HEADERS[b"content-security-policy"]
        self.assertTrue(policy.startswith(b"default-src 'none'; "))
        self.assertNotIn(b"unsafe", policy)
        self.assertEqual(set(re.findall(rb"'\w+'", policy)), {b"'none'", b"'self'"})
        page = self.get().body
        self.assertNotRegex(page, rb"(?i)<script>|<style|\son\w+=|\sstyle=|https?://")

    def test_only_get(self) -> None:
        """Nothing can be changed here: all but GET and HEAD is refused."""
        for path in PATHS:
            self.assertEqual(self.get(path, b"POST").status, 405, path)
            self.assertEqual(self.get(path, b"HEAD").status, 200, path)
        before = self.clock.getDelayedCalls()
        client = Client(self.status, self.clock)
        client.request(method=b"HEAD", path=b"/events")
        self.assertEqual((client.response.status, client.response.body), (200, b""))
        client.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), before)

    def test_below_another_resource(self) -> None:
        """Below another resource a slash is added where it is missing, for the relative links."""
        root = Resource()
        root.putChild(b"a:status", self.status)
        client = Client(root, self.clock)
        client.request(path=b"/a:status?x")
        self.assertEqual(client.response.status, 302)
        self.assertEqual(client.response.headers[b"location"], b"./a:status/")
        client.request(path=b"/a:status/")
        self.assertIn(b"<h1>", client.responses[1].body)

    def test_program_of_the_docs(self) -> None:
        """The program of the how-to shows the requests of its site on loopback, on another port."""
        names = run(STATUS.read_text())
        visitor, client = (Client(names[name], self.clock) for name in ("site", "status"))
        for each in (visitor, client):
            # The sites' time-outs are on the global reactor.
            self.addCleanup(each.disconnect)
        visitor.request(path=b"/none")
        client.request(path=b"/json")
        self.assertEqual(json.loads(client.response.body)["opened"], 1)
        services = IServiceCollection(names["application"])
        self.assertEqual(len(list(services)), 2)

    def test_keys_are_documented(self) -> None:
        """The reference has each key of the JSON, also of the objects in it."""
        self.site.visit()
        self.site.visit().disconnect()
        self.site.survivor(after=1)
        self.clock.advance(1)
        told = self.json()
        keys = {*told, *told["oldest"][0], *told["surviving"][0], *told["totals"][0]}
        reference = (DOCS / "reference" / "status.rst").read_text()
        quoted = set(re.findall(r"\w+", " ".join(re.findall(r"``.+?``", reference, re.S))))
        self.assertEqual(keys - quoted, set())

    def test_needs_a_monitor(self) -> None:
        """Anything else than a Monitor is refused, and the error names what was passed."""
        with self.assertRaisesRegex(TypeError, r"shows a cancelweb\.monitor\.Monitor, not 3"):
            StatusResource(3)  # type: ignore[arg-type]
