"""Serving the status page: its paths, its headers, and its events.

What belongs here: pages asked for in memory. What does not: what they tell (`test_status`).
"""

import json
import re
import sys
from functools import partial

from twisted.application import strports
from twisted.application.service import IService
from twisted.internet.testing import MemoryReactorClock
from twisted.web.resource import Resource

from cancelweb import Scope
from cancelweb.monitor import Monitor
from cancelweb.status import StatusResource
from cancelweb.status._resource import HEADERS
from cancelweb.testing import Connection

from .._cycles import no_cycles
from .._docs import DOCS, STATUS, run
from .._logs import log_events, of_cancelweb
from .._visits import connect
from ._statuses import PATHS, StatusTestCase


class EventsTests(StatusTestCase):
    """The events with which the status page keeps itself up to date."""

    def listen(self) -> Connection:
        """Connect a browser that listens to the events."""
        connection = connect(self.status, self.clock)
        connection.get(path=b"/events")
        self.clock.advance(0)
        return connection

    def events(self, connection: Connection) -> list[str]:
        """The events that came, as a browser reads them."""
        text = connection.response.body.decode()
        *events, rest = text.split("\n\n")
        self.assertEqual(rest, "")
        return [
            "\n".join(line.removeprefix("data: ") for line in event.split("\n")) for event in events
        ]

    def test_are_the_page_each_second(self) -> None:
        """A browser gets the page of the moment as an event at once, and then each second."""
        connection = self.listen()
        self.assertEqual(connection.response.header(b"content-type"), b"text/event-stream")
        (first,) = self.events(connection)
        self.assertEqual(first, self.get().body.decode())
        self.site.visit(b"/new")
        self.clock.pump([0.5, 0.5, 0])
        first, second = self.events(connection)
        self.assertNotIn("/new", first)
        self.assertIn("/new", second)
        connection.disconnect()

    def test_stop_when_the_client_leaves(self) -> None:
        """A browser that leaves has no timer left, and nothing is logged."""
        events = log_events(self)
        connection = self.listen()
        connection.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(of_cancelweb(events), [])

    def test_wait_for_a_client_that_reads_slowly(self) -> None:
        """A browser that does not read gets no events, and then the newest."""
        connection = self.listen()
        connection.pause(full=True)
        self.clock.pump([1, 0] * 5)
        self.site.visit(b"/new")
        self.clock.pump([1, 0] * 5)
        connection.resume()
        self.clock.advance(0)
        # The second was on its way when the browser stopped to read.
        _, second = self.events(connection)
        self.assertNotIn("/new", second)
        self.clock.pump([1, 0])
        _, _, newest = self.events(connection)
        self.assertIn("/new", newest)
        connection.disconnect()

    def test_are_rendered_once_for_all(self) -> None:
        """For five browsers that listen, the monitor is read once a second."""
        reads: list[float] = []

        class Counting(Monitor):
            def ends(self, count: int) -> list[Scope]:
                reads.append(1)
                return super().ends(count)

        self.status = StatusResource(Counting())
        connections = [self.listen() for _ in range(5)]
        self.clock.pump([0.25] * 12)
        self.assertEqual(len(reads), 4)
        for connection in connections:
            connection.disconnect()

    def test_clock_that_is_put_back(self) -> None:
        """A clock that is put back leaves the page up to date."""
        connection = self.listen()
        self.clock.rightNow -= 1000
        self.site.visit(b"/new")
        self.assertIn("/new", self.get().body.decode())
        connection.disconnect()

    def test_leave_no_cycles(self) -> None:
        """A browser that listens and leaves makes no reference cycle."""
        self.listen().disconnect()
        self.clock.advance(1)
        with no_cycles(self):
            connection = self.listen()
            connection.disconnect()
            del connection


class ServingTests(StatusTestCase):
    """The paths of the status page, and the headers of each answer."""

    def test_headers(self) -> None:
        """Each path is answered with the headers for security, and an unknown path with 404."""
        for path in PATHS:
            response = self.get(path)
            self.assertEqual(response.code, 200, path)
            self.assertEqual({name: response.header(name) for name in HEADERS}, HEADERS, path)
        self.assertEqual(self.get(b"/none").code, 404)

    def test_policy_is_strict(self) -> None:
        """The policy for content allows nothing inline or from elsewhere, and the page has none."""
        policy = HEADERS[b"content-security-policy"]
        self.assertTrue(policy.startswith(b"default-src 'none'; "))
        self.assertNotIn(b"unsafe", policy)
        self.assertEqual(set(re.findall(rb"'\w+'", policy)), {b"'none'", b"'self'"})
        page = self.get().body
        self.assertNotRegex(page, rb"(?i)<script>|<style|\son\w+=|\sstyle=|https?://")

    def test_only_get(self) -> None:
        """Each path refuses a POST with 405 and answers a HEAD, also the path of the events."""
        for path in PATHS:
            self.assertEqual(self.get(path, b"POST").code, 405, path)
            self.assertEqual(self.get(path, b"HEAD").code, 200, path)
        before = self.clock.getDelayedCalls()
        connection = connect(self.status, self.clock)
        connection.request(method=b"HEAD", path=b"/events")
        self.assertEqual((connection.response.code, connection.response.body), (200, b""))
        connection.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), before)

    def test_below_another_resource(self) -> None:
        """Below another resource, the page redirects to its URL with a slash at the end."""
        root = Resource()
        root.putChild(b"a:status", self.status)
        connection = connect(root, self.clock)
        connection.get(path=b"/a:status?x")
        self.assertEqual(connection.response.code, 302)
        self.assertEqual(connection.response.header(b"location"), b"./a:status/")
        connection.get(path=b"/a:status/")
        self.assertIn(b"<h1>", connection.responses[1].body)

    def test_program_of_the_docs(self) -> None:
        """The program of the how-to serves its site, shows it on loopback alone, and drains."""
        reactor = MemoryReactorClock()
        self.patch(sys.modules["twisted.internet"], "reactor", reactor)
        self.patch(strports, "service", partial(strports.service, reactor=reactor))
        names = run(STATUS.read_text())
        for name in "site", "status":
            names[name].reactor = self.clock
        connection, status = connect(names["site"]), connect(names["status"])
        connection.get(path=b"/none")
        status.get(path=b"/json")
        self.assertEqual(json.loads(status.response.body)["opened"], 1)
        IService(names["application"]).startService()
        served = {factory: interface for _, factory, _, interface in reactor.tcpServers}
        self.assertEqual(served, {names["site"]: "", names["status"]: "127.0.0.1"})
        [(drain, arguments, _)] = reactor.triggers["before"]["shutdown"]
        drain(*arguments)
        connection.get(path=b"/none")
        self.assertEqual([each.code for each in connection.responses], [404, 503])

    def test_keys_are_documented(self) -> None:
        """The reference has each key of the JSON and of the objects in it."""
        self.site.visits(2)
        self.clock.advance(1)
        self.site.connections.pop().disconnect()
        self.site.survivor(after=1)
        self.site.let_go()
        self.site.detach()
        self.clock.advance(1)
        told = self.json()
        lists = [each for each in (*told.values(), *told["recent"].values()) if each is not None]
        firsts = [each[0] for each in lists if isinstance(each, list)]
        keys = {*told, *told["recent"], *(key for each in firsts for key in each)}
        self.assertEqual(len(firsts), 10)
        reference = (DOCS / "reference" / "status.rst").read_text()
        quoted = set(re.findall(r"\w+", " ".join(re.findall(r"``.+?``", reference, re.S))))
        self.assertEqual(keys - quoted, set())

    def test_needs_a_monitor(self) -> None:
        """A StatusResource of anything but a Monitor is a TypeError that says what to pass."""
        with self.assertRaisesRegex(
            TypeError, r"takes a cancelweb\.monitor\.Monitor, not 3; pass it"
        ):
            StatusResource(3)  # type: ignore[arg-type]
