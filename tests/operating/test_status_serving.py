"""Serving the status page: its paths, its headers, and its events.

What belongs here: pages asked for in memory. What does not: what they tell (`test_status`).
"""

import json
import re
from typing import Any

from twisted.application.service import IServiceCollection
from twisted.web.resource import Resource

from cancelweb.monitor import Monitor
from cancelweb.status import StatusResource
from cancelweb.status._resource import HEADERS

from .._inmemory import Client, log_events, no_cycles, of_cancelweb
from ..docs._docs import DOCS, STATUS, run
from ._statuses import PATHS, StatusTestCase


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
