"""Names and labels of the metrics, and who relies on them: the docs, and the dashboard.

What belongs here: what can be told from the text. What does not: what Prometheus and Grafana say to
it, which has `real.servers.test_prometheus`.
"""

import re

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import CancellingResource, Ended

from .._pages import Page, waiting
from .._visits import connect
from ..docs._docs import DOCS
from ._dashboard import dashboard, queries, queries_of_docs
from ._scraped import Scraped


class NamesTests(SynchronousTestCase):
    """Names and labels, and who relies on them."""

    def setUp(self) -> None:
        """Have something of everything."""
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
        shown = queries_of_docs()
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
