"""Names and labels of the metrics, and what relies on them: the docs and the dashboard.

What belongs here: what can be told from the text. What does not: what Prometheus and Grafana say to
it, which has `real.servers.test_prometheus`.
"""

import re

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import CancellingResource, Ended

from .._docs import DOCS
from .._pages import Page, waiting
from .._visits import connect
from ._dashboard import dashboard, queries, queries_of_docs
from ._scraped import Scraped


class NamesTests(SynchronousTestCase):
    """The names and labels of metrics, and the docs that show them."""

    def setUp(self) -> None:
        """Collect the labels of all metrics of a monitor that has counted something."""
        self.scraped = Scraped()
        self.scraped.connection(waiting).disconnect()
        result: Deferred[bytes] = Deferred()
        self.scraped.connection(lambda _: result, dry_run=True).disconnect()
        result.callback(b"page")
        self.labels: dict[str, set[str]] = {}
        for family in self.scraped.families().values():
            for sample in family.samples:
                self.labels.setdefault(sample.name, set()).update(sample.labels)

    def test_are_conventional(self) -> None:
        """Metrics begin with ``cancelweb_``; counters end in _total, histograms in _seconds."""
        for name, family in self.scraped.families().items():
            self.assertTrue(name.startswith("cancelweb_"), name)
            self.assertTrue(family.documentation.endswith("."), name)
            self.assertEqual(name.endswith("_seconds"), family.type == "histogram", name)
            if family.type == "counter":
                self.assertIn(f"{name}_total", self.labels)

    def test_labels_are_of_bounded_number(self) -> None:
        """Requests of many paths make no new time series, and no labels but three."""
        before = len(self.scraped.samples("cancelweb_requests_total"))
        for number in range(20):
            connection = connect(
                CancellingResource(Page(waiting), monitor=self.scraped.monitor, observers=()),
                self.scraped.clock,
            )
            connection.get(path=b"/%d" % number)
            connection.disconnect()
        self.assertEqual(len(self.scraped.samples("cancelweb_requests_total")), before)
        outcomes = {each.name.lower() for each in Ended}
        for labels, _ in self.scraped.samples("cancelweb_requests_total"):
            self.assertIn(labels["outcome"], outcomes)
        self.assertEqual(set().union(*self.labels.values()), {"cause", "outcome", "le"})

    def test_docs_list_them_all(self) -> None:
        """The how-to page lists each metric with its labels and its type."""
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
        """Each query of the docs and the dashboard names metrics and labels that exist."""
        shown = queries_of_docs()
        for query in [*shown, *queries(dashboard())]:
            self.check(query)
        self.assertEqual(len(shown), 4)

    def check(self, query: str) -> None:
        """Assert that a query names metrics and labels that exist."""
        names = set(re.findall(r"\bcancelweb_\w+", query))
        self.assertTrue(names, query)
        self.assertLessEqual(names, set(self.labels), query)
        self.assertEqual(query.count("("), query.count(")"), query)
        known = {"instance"}.union(*(self.labels[name] for name in names))
        used = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", query))
        for group in re.findall(r"\bby \(([^)]*)\)", query):
            used.update(group.split(", "))
        self.assertLessEqual(used, known, query)


class DashboardTests(SynchronousTestCase):
    """The file of the dashboard."""

    def test_shows_every_metric(self) -> None:
        """Each metric is in a query of the dashboard."""
        asked = " ".join(queries(dashboard()))
        for family in Scraped().registry.collect():
            self.assertIn(family.name, asked)

    def test_panels_have_places_of_their_own(self) -> None:
        """No two panels overlap, none is too wide for the page, and their ids differ."""
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
