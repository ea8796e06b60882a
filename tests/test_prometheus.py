"""The metrics of a monitor, in the text that Prometheus reads.

Rendered by the real prometheus_client. What the monitor counts is for its own tests.
"""

import json
import re
import subprocess
import sys
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.twisted import MetricsResource
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource

from cancelweb import CancellingResource, Cause, Ended, current_scope, detach
from cancelweb.monitor import Monitor
from cancelweb.prometheus import MonitorCollector

from ._docs import DOCS, EXAMPLES
from ._inmemory import Client
from ._loopback import connect, request, serve
from ._scopes import Errand, Handler, Leaf, kept_request, waiting

Labels = dict[str, str]


class Impatience(Cause):
    """A cause of a user's."""


class Scraped:
    """A monitor, its collector, and what a page of metrics says of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.monitor = Monitor(self.clock)
        self.registry = CollectorRegistry()
        MonitorCollector(self.monitor, self.registry)

    def client(self, handler: Handler, method: bytes = b"GET", **options: Any) -> Client:
        """A client whose request is being handled."""
        wrapper = CancellingResource(Leaf(handler), monitor=self.monitor, observers=(), **options)
        client = Client(wrapper, self.clock)
        client.request(method=method)
        return client

    def families(self) -> dict[str, Any]:
        """The metrics, by their names; but for when each was made, which the client adds."""
        text = generate_latest(self.registry).decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        return {name: each for name, each in families.items() if not name.endswith("_created")}

    def samples(self, name: str) -> list[tuple[Labels, float]]:
        """The samples of this name."""
        return [
            (sample.labels, sample.value)
            for family in self.families().values()
            for sample in family.samples
            if sample.name == name
        ]

    def value(self, name: str, **labels: str) -> float:
        """The value of the one sample with this name and these labels."""
        [value] = [value for found, value in self.samples(name) if found == labels]
        return value


class MetricsTests(SynchronousTestCase):
    """What each metric says."""

    def setUp(self) -> None:
        """Watch a monitor."""
        self.scraped = Scraped()

    def test_requests_are_counted_by_cause_and_outcome(self) -> None:
        """A request that has ended is in the counter, under its cause and its outcome."""

        def cancelling(_: object) -> Deferred[bytes]:
            current_scope().cancel(Impatience())
            return Deferred()

        self.scraped.client(lambda _: b"page")
        for _ in range(2):
            self.scraped.client(waiting).disconnect()
        self.scraped.client(cancelling)
        self.scraped.clock.advance(0)
        counted = {(each["cause"], each["outcome"]): value for each, value in self.counted()}
        self.assertEqual(
            counted,
            {
                ("none", "completed"): 1,
                ("Disconnected", "stopped"): 2,
                ("Impatience", "stopped"): 1,
            },
        )

    def test_in_flight(self) -> None:
        """The gauge says how many requests have not ended."""
        leaver, _ = self.scraped.client(waiting), self.scraped.client(waiting)
        self.assertEqual(self.scraped.value("cancelweb_requests_in_flight"), 2)
        leaver.disconnect()
        self.assertEqual(self.scraped.value("cancelweb_requests_in_flight"), 1)

    def test_survivors(self) -> None:
        """Work that outlives its cancel is in the gauge until it ends."""
        work = Errand(obedient=False)
        self.scraped.client(lambda _: work, survivor_after=1).disconnect()
        self.assertEqual(self.scraped.value("cancelweb_survivors"), 0)
        self.scraped.clock.advance(1)
        self.assertEqual(self.scraped.value("cancelweb_survivors"), 1)
        work.end()
        self.assertEqual(self.scraped.value("cancelweb_survivors"), 0)

    def test_detached(self) -> None:
        """Work that goes on outside its request is in the gauge until it ends."""
        work: Deferred[None] = Deferred()

        def handler(_: object) -> bytes:
            detach(work)
            return b"page"

        self.scraped.client(handler)
        self.assertEqual(self.scraped.value("cancelweb_detached"), 1)
        work.callback(None)
        self.assertEqual(self.scraped.value("cancelweb_detached"), 0)

    def test_draining(self) -> None:
        """The gauge is 0, and 1 from the drain on."""
        self.assertEqual(self.scraped.value("cancelweb_draining"), 0)
        self.scraped.monitor.drain(1)
        self.assertEqual(self.scraped.value("cancelweb_draining"), 1)

    def test_what_would_have_been_cancelled(self) -> None:
        """A dry run counts what would have been cancelled."""
        result: Deferred[bytes] = Deferred()
        self.scraped.client(lambda _: result, dry_run=True).disconnect()
        result.callback(b"page")
        name = "cancelweb_would_have_cancelled_total"
        self.assertEqual(self.scraped.value(name, cause="Disconnected"), 1)
        self.assertEqual(self.scraped.samples("cancelweb_stop_seconds_count"), [])

    def test_times_from_leaving_to_stopped_and_of_the_hooks(self) -> None:
        """Both histograms have each cancelled request once, with its seconds."""
        work, hook = Errand(obedient=False), Deferred[None]()
        self.scraped.client(lambda _: work, on_cancel=lambda _: hook).disconnect()
        self.scraped.clock.advance(2)
        work.fail(CancelledError())
        self.scraped.clock.advance(4)
        hook.callback(None)
        for name, seconds in (("stop", 2), ("cleanup", 4)):
            metric = f"cancelweb_{name}_seconds"
            self.assertEqual(self.scraped.value(f"{metric}_sum", cause="Disconnected"), seconds)
            self.assertEqual(self.scraped.value(f"{metric}_count", cause="Disconnected"), 1)
            inside = {
                float(labels["le"]): value
                for labels, value in self.scraped.samples(f"{metric}_bucket")
            }
            self.assertEqual(
                {le for le, count in inside.items() if count},
                {le for le in inside if le >= seconds},
            )

    def test_what_had_nothing_to_stop_has_no_times(self) -> None:
        """What completed, and what never began, is in no histogram."""
        self.scraped.client(lambda _: b"page")
        client, lost = kept_request()
        client.disconnect()
        CancellingResource(Leaf(waiting), monitor=self.scraped.monitor, observers=()).render(lost)
        outcomes = {labels["outcome"] for labels, _ in self.counted()}
        self.assertEqual(outcomes, {"completed", "refused"})
        self.assertEqual(self.scraped.samples("cancelweb_stop_seconds_count"), [])

    def counted(self) -> list[tuple[Labels, float]]:
        """The requests that have ended."""
        return self.scraped.samples("cancelweb_requests_total")


class NamesTests(SynchronousTestCase):
    """Names and labels, and who relies on them."""

    def setUp(self) -> None:
        """Have something of everything."""
        self.scraped = Scraped()
        self.scraped.client(waiting).disconnect()
        result: Deferred[bytes] = Deferred()
        self.scraped.client(lambda _: result, dry_run=True).disconnect()
        result.callback(b"page")
        self.labels: dict[str, set[str]] = {}
        for family in self.scraped.families().values():
            for sample in family.samples:
                self.labels.setdefault(sample.name, set()).update(sample.labels)

    def test_are_conventional(self) -> None:
        """All begin with the library's name; counters end in _total, histograms in _seconds."""
        for name, family in self.scraped.families().items():
            self.assertTrue(name.startswith("cancelweb_"), name)
            self.assertTrue(family.documentation.endswith("."), name)
            self.assertEqual(name.endswith("_seconds"), family.type == "histogram", name)
            if family.type == "counter":
                self.assertIn(f"{name}_total", self.labels)

    def test_labels_are_of_bounded_number(self) -> None:
        """Whatever clients ask for, there are no more time series than causes and outcomes."""
        before = len(self.scraped.samples("cancelweb_requests_total"))
        for number in range(20):
            client = Client(
                CancellingResource(Leaf(waiting), monitor=self.scraped.monitor, observers=()),
                self.scraped.clock,
            )
            client.request(path=b"/%d" % number)
            client.disconnect()
        self.assertEqual(len(self.scraped.samples("cancelweb_requests_total")), before)
        outcomes = {each.name.lower() for each in Ended}
        for labels, _ in self.scraped.samples("cancelweb_requests_total"):
            self.assertIn(labels["outcome"], outcomes)
        self.assertEqual(set().union(*self.labels.values()), {"cause", "outcome", "le"})

    def test_docs_list_them_all(self) -> None:
        """The page of the docs has each metric, its labels and its type."""
        page = (DOCS / "howto" / "prometheus.rst").read_text()
        rows = re.findall(r"^   \* - ``(\w+)(?:\{(.*)\})?``\n     - (\w+)$", page, re.M)
        listed = {
            name: (set(filter(None, labels.split(", "))), kind) for name, labels, kind in rows
        }
        there = {}
        for name, family in self.scraped.families().items():
            shown = f"{name}_total" if family.type == "counter" else name
            sample = f"{name}_count" if family.type == "histogram" else shown
            there[shown] = (self.labels[sample], family.type)
        self.assertEqual(listed, there)

    def test_queries_of_docs_and_dashboard(self) -> None:
        """Each metric and label in a query of the docs or the dashboard is there."""
        page = (DOCS / "howto" / "prometheus.rst").read_text()
        shown = re.findall(r"^\.\. code-block:: text\n\n   (.+)$", page, re.M)
        for query in [*shown, *queries(dashboard())]:
            self.check(query)
        self.assertEqual(len(shown), 3)

    def check(self, query: str) -> None:
        """Insist that a query asks for what there is."""
        names = set(re.findall(r"\bcancelweb_\w+", query))
        self.assertTrue(names, query)
        self.assertLessEqual(names, set(self.labels), query)
        self.assertEqual(query.count("("), query.count(")"), query)
        known = {"instance"}.union(*(self.labels[name] for name in names))
        used = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", query))
        for group in re.findall(r"\bby \(([^)]*)\)", query):
            used.update(group.split(", "))
        self.assertLessEqual(used, known, query)


def dashboard() -> Any:
    """The dashboard for Grafana."""
    return json.loads((EXAMPLES / "grafana_dashboard.json").read_text())


def queries(of: Any) -> list[str]:
    """The queries of a dashboard's panels and of its variables."""
    variables = [
        each["query"]["query"] for each in of["templating"]["list"] if each["type"] == "query"
    ]
    return variables + [target["expr"] for panel in of["panels"] for target in panel["targets"]]


class DashboardTests(SynchronousTestCase):
    """The dashboard's file."""

    def test_shows_every_metric(self) -> None:
        """Whatever there is to see is in some panel."""
        asked = " ".join(queries(dashboard()))
        for family in Scraped().registry.collect():
            self.assertIn(family.name, asked)

    def test_panels_have_places_of_their_own(self) -> None:
        """No two panels overlap, none is wider than the page, and their numbers differ."""
        taken: set[tuple[int, int]] = set()
        panels = dashboard()["panels"]
        for panel in panels:
            place = panel["gridPos"]
            cells = {
                (place["x"] + x, place["y"] + y)
                for x in range(place["w"])
                for y in range(place["h"])
            }
            self.assertEqual(cells & taken, set(), panel["title"])
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            taken |= cells
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))


class CollectorTests(SynchronousTestCase):
    """The collector itself."""

    def test_only_one_in_a_registry(self) -> None:
        """A second one in the same registry is refused: their numbers would be mixed up."""
        scraped = Scraped()
        self.assertRaises(ValueError, MonitorCollector, Monitor(Clock()), scraped.registry)

    def test_missing_extra(self) -> None:
        """Without prometheus_client the error says what to install."""
        program = (
            "import sys; sys.modules['prometheus_client'] = None\n"
            "try:\n    import cancelweb.prometheus\nexcept ImportError as error:\n    print(error)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
        )
        self.assertIn("pip install cancelweb[prometheus]", ran.stdout, ran.stderr)


class ServedTests(TestCase):
    """The page that `prometheus_client.twisted` serves, over a real socket."""

    timeout = 30

    async def test_page(self) -> None:
        """It is rendered in a thread, while requests are in flight, and has them."""
        registry = CollectorRegistry()
        monitor = Monitor()
        MonitorCollector(monitor, registry)
        root = Resource()
        slow: Any = CancellingResource(Leaf(waiting), monitor=monitor, observers=())
        root.putChild(b"slow", slow)
        root.putChild(b"metrics", MetricsResource(registry))
        port = serve(self, root)
        waiter = await connect(self, port)
        waiter.send(request(b"/slow"))
        asking = await connect(self, port)
        asking.send(request(b"/metrics"))
        page = await asking.closed
        self.assertIn(b"200 OK", page)
        self.assertIn(b"\ncancelweb_requests_in_flight 1.0\n", page)
