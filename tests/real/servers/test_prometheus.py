"""The metrics in a real Prometheus: scraped, checked, and asked what the dashboard asks.

What belongs here: what the server of Prometheus and the types of Grafana make of what is ours. What
does not: what each metric says, which needs neither.
"""

import json
import re
import subprocess
from math import isfinite
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import generate_latest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import Request

from cancelweb import detach

from ..._loopback import connect, request
from ..._pages import waiting
from ..._programs import find_program
from ..._servers import LOOPBACK, reactor
from ..._work import Errand
from ...operating._dashboard import dashboard, queries_of_docs
from ._prometheus import REMEDY, Prometheus, Site

VARIABLES = {"instance": ".*", "cause": ".*", "__rate_interval": "1m"}
"""What Grafana puts in place of the dashboard's variables when all is chosen."""


def resolved(query: str) -> str:
    """A query of the dashboard as Grafana sends it."""
    return re.sub(r"\$(\w+)", lambda match: VARIABLES[match[1]], query)


class QueriesTests(TestCase):
    """The queries of the dashboard and the docs.

    A Prometheus takes five seconds to begin: a test asks whatever it has made traffic for.
    """

    timeout = 30

    async def start(self) -> None:
        """Serve, and be scraped once before there is any traffic."""
        find_program("prometheus", REMEDY)
        self.site = Site(self)
        self.site.add(b"quick", lambda _: b"page")
        self.site.add(b"slow", waiting)
        self.prometheus = await Prometheus.start(self, self.site.port)

    async def make_traffic(self) -> None:
        """Make traffic of every kind, and wait until it is scraped."""
        site, stubborn, detached = self.site, Errand(obedient=False), Deferred[None]()
        self.addCleanup(stubborn.end)
        self.addCleanup(detached.callback, None)
        site.add(b"cleaned", waiting, on_cancel=lambda _: deferLater(reactor, 0.02))
        site.add(b"stubborn", lambda _: stubborn, survivor_after=0.01)
        unstoppable: Deferred[bytes] = Deferred()
        self.addCleanup(unstoppable.errback, CancelledError())
        site.add(b"unstoppable", lambda _: unstoppable)
        site.add(b"dry", lambda _: deferLater(reactor, 0.02, lambda: b"page"), dry_run=True)

        def detaching(_: Request) -> bytes:
            detach(detached)
            return b"page"

        site.add(b"detaching", detaching)
        for path in (b"quick", b"detaching"):
            await site.ask(path)
        for path in (b"slow", b"cleaned", b"stubborn", b"dry", b"unstoppable"):
            await site.leave(path)
        await self.prometheus.until("rate(cancelweb_would_have_cancelled_total[1m]) > 0")
        connection = await connect(self, site.port)
        connection.send(request(b"/slow"))
        await self.prometheus.until("cancelweb_requests_in_flight == 1")
        await self.prometheus.until("cancelweb_survivors == 1")
        await self.prometheus.until("cancelweb_let_go == 1")

    async def test_find_what_has_happened(self) -> None:
        """All queries of the dashboard and the docs find numbers after some traffic."""
        await self.start()
        await self.make_traffic()
        for panel in dashboard()["panels"]:
            for target in panel["targets"]:
                await self.check(resolved(target["expr"]), target["legendFormat"])
        for query in queries_of_docs():
            found = await self.prometheus.ask(query)
            self.assertTrue([value for _, value in found if value > 0], query)
        values = await self.values_of_variables()
        self.assertEqual(values["instance"], [f"{LOOPBACK}:{self.site.port}"])
        self.assertLessEqual({"none", "Disconnected"}, set(values["cause"]))

    async def check(self, query: str, legend: str) -> None:
        """Check that a panel has something to show, and the labels that its legend names."""
        found = await self.prometheus.ask(query)
        numbers = [value for _, value in found if isfinite(value)]
        self.assertTrue(numbers, query)
        self.assertEqual(any(numbers), "draining" not in query, query)
        for labels, _ in found:
            self.assertEqual(set(labels), set(re.findall(r"{{(\w+)}}", legend)), query)

    async def values_of_variables(self) -> dict[str, list[str]]:
        """The values of the dashboard's variables, by their names."""
        values = {}
        for variable in dashboard()["templating"]["list"]:
            if variable["type"] == "query":
                asked = variable["query"]["query"]
                [(metric, label)] = re.findall(r"^label_values\((\w+), (\w+)\)$", asked)
                values[variable["name"]] = await self.prometheus.values_of(label, metric)
        return values

    async def test_see_the_first_of_each_kind(self) -> None:
        """The share of cancelled requests begins at 0, and the rates see the first one."""
        await self.start()
        await self.site.ask(b"quick")
        await self.prometheus.until("sum(rate(cancelweb_requests_total[1m])) > 0")
        [[target]] = [
            panel["targets"]
            for panel in dashboard()["panels"]
            if panel["title"] == "Cancelled of all"
        ]
        self.assertEqual(await self.prometheus.ask(resolved(target["expr"])), [({}, 0.0)])
        await self.site.leave(b"slow")
        await self.prometheus.until('cancelweb_requests_total{cause="Disconnected"} == 1')
        for name in ("requests_total", "stop_seconds_count", "cleanup_seconds_count"):
            query = f'rate(cancelweb_{name}{{cause="Disconnected"}}[1m]) > 0'
            self.assertTrue(await self.prometheus.ask(query), query)


class PromtoolTests(TestCase):
    """The linter of Prometheus."""

    async def test_finds_nothing(self) -> None:
        """The linter of Prometheus finds nothing wrong with the metrics."""
        tool, site = find_program("promtool", REMEDY), Site(self)
        site.add(b"slow", waiting)
        await site.leave(b"slow")
        checked = subprocess.run(
            [tool, "check", "metrics"],
            input=generate_latest(site.registry),
            capture_output=True,
            timeout=30,
        )
        self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, b""))


class GrafanaTests(SynchronousTestCase):
    """The dashboard, read with the types that Grafana publishes."""

    def test_knows_each_field(self) -> None:
        """The dashboard, read and written with Grafana's types, has lost and changed nothing."""
        register_default_plugins()
        read = Dashboard.from_json(dashboard())
        self.compare(dashboard(), json.loads(JSONEncoder().encode(read)), "")

    def compare(self, ours: Any, theirs: Any, at: str) -> None:
        """Check that all of ours is in theirs, which may have defaults besides."""
        if isinstance(ours, dict):
            self.assertLessEqual(set(ours), set(theirs), at)
            for name, value in ours.items():
                self.compare(value, theirs[name], f"{at}/{name}")
        elif isinstance(ours, list):
            self.assertEqual(len(ours), len(theirs), at)
            for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
                self.compare(one, other, f"{at}/{number}")
        else:
            self.assertEqual(ours, theirs, at)
