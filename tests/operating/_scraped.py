"""The metrics of a monitor as ``prometheus_client`` renders them, read back.

What belongs here: a monitor on a clock, and its page of metrics. What does not: what a metric says.
"""

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.task import Clock

from cancelweb import CancellingResource
from cancelweb.monitor import Monitor
from cancelweb.prometheus import MonitorCollector
from cancelweb.testing import Connection

from .._pages import Handler, Page
from .._visits import connect

Labels = dict[str, str]


class Scraped:
    """A monitor, its collector, and what a page of metrics says of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.monitor = Monitor(self.clock)
        self.registry = CollectorRegistry()
        MonitorCollector(self.monitor, self.registry)

    def connection(self, handler: Handler, method: bytes = b"GET", **options: Any) -> Connection:
        """A client whose request is being handled."""
        wrapper = CancellingResource(Page(handler), monitor=self.monitor, observers=(), **options)
        connection = connect(wrapper, self.clock)
        connection.request(method=method)
        return connection

    def families(self) -> dict[str, Any]:
        """The metrics by name, without the times of creation that the Prometheus client adds."""
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

    def counted(self, name: str) -> list[tuple[Labels, float]]:
        """The samples of this name whose value is not 0."""
        return [(labels, value) for labels, value in self.samples(name) if value]

    def value(self, name: str, **labels: str) -> float:
        """The value of the one sample with this name and these labels."""
        [value] = [value for found, value in self.samples(name) if found == labels]
        return value
