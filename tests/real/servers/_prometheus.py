"""A real Prometheus, and a site that it scrapes.

What belongs here: starting it, and asking it. What does not: what is asked.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import treq
from prometheus_client import CollectorRegistry
from prometheus_client.twisted import MetricsResource
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource

from cancelweb import CancellingResource
from cancelweb.monitor import Monitor
from cancelweb.prometheus import MonitorCollector

from ..._docs import PROMETHEUS
from ..._loopback import connect, request, reserve_port, serve
from ..._pages import Handler, Page
from ..._programs import find_program
from ..._servers import LOOPBACK, LoggedProcess, reactor

REMEDY = "apt-get install prometheus"


class Site:
    """A site with entry points on one monitor, and its metrics beside them.

    Attributes:
        port: where it is.
    """

    def __init__(self, test: TestCase) -> None:
        self._test = test
        self._root = Resource()
        self.registry = CollectorRegistry()
        self.monitor = Monitor(reactor)
        MonitorCollector(self.monitor, self.registry)
        self._root.putChild(b"metrics", MetricsResource(self.registry))
        self.port = serve(test, self._root)

    def add(self, path: bytes, handler: Handler, **options: Any) -> None:
        """Add a page."""
        entry_point: Any = CancellingResource(
            Page(handler), monitor=self.monitor, observers=(), **options
        )
        self._root.putChild(path, entry_point)

    async def ask(self, path: bytes) -> bytes:
        """The answer to a client that waits for it."""
        connection = await connect(self._test, self.port)
        connection.send(request(b"/" + path))
        return await connection.closed

    async def leave(self, path: bytes) -> None:
        """Have a client leave when its request has come."""
        connection = await connect(self._test, self.port)
        connection.send(request(b"/" + path))
        before = self.monitor.opened
        while self.monitor.opened == before:
            await deferLater(reactor, 0.001)
        await connection.leave()


def configuration(ports: Sequence[int]) -> str:
    """The example, for a test: with these ports, and more often."""
    targets = json.dumps([f"{LOOPBACK}:{port}" for port in ports])
    text = PROMETHEUS.read_text().replace("15s", "100ms\n    scrape_timeout: 100ms")
    return re.sub(r"targets: .*", f"targets: {targets}", text)


class Prometheus:
    """A Prometheus server that scrapes some processes."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{LOOPBACK}:{port}/api/v1/"

    @classmethod
    async def start(cls, test: TestCase, *ports: int) -> "Prometheus":
        """Start a server for the length of a test, and wait until it has scraped these ports."""
        directory, port = Path(test.mktemp()).resolve(), reserve_port(test)
        directory.mkdir()
        (directory / "prometheus.yml").write_text(configuration(ports))
        process = LoggedProcess()
        command = [
            find_program("prometheus", REMEDY),
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
        ]
        reactor.spawnProcess(process, command[0], command, env=None)
        test.addCleanup(process.stop)
        await process.log.expect("ready to receive web requests")
        prometheus = cls(port)
        await prometheus.until(f"sum(up) == {len(ports)}")
        return prometheus

    async def _get(self, what: str, **parameters: str) -> Any:
        response = await treq.get(f"{self._url}{what}?{urlencode(parameters)}", persistent=False)
        answer = await response.json()
        if answer["status"] != "success":
            raise AssertionError(f"{parameters}: {answer}")
        return answer["data"]

    async def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        """The labels and the values that a query finds."""
        found = (await self._get("query", query=query))["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    async def until(self, query: str) -> None:
        """Wait until a query finds something."""
        while not await self.ask(query):
            await deferLater(reactor, 0.02)

    async def values_of(self, label: str, metric: str) -> list[str]:
        """The values of a label, as by Grafana's ``label_values``."""
        values: list[str] = await self._get(f"label/{label}/values", **{"match[]": metric})
        return values
