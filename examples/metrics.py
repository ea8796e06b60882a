"""A site with metrics for Prometheus.

Run it::

    PYTHONPATH=examples twist web --class=metrics.root

`curl http://localhost:8080/` takes five seconds. Interrupt one or two, then see
`curl http://localhost:8080/metrics` for how they ended.
"""

from typing import Any

from prometheus_client.twisted import MetricsResource
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import CancellingResource
from cancelweb.monitor import Monitor
from cancelweb.prometheus import MonitorCollector


class Slow(Resource):
    """Answers after five seconds."""

    isLeaf = True

    def render_GET(self, request: IRequest) -> Deferred[bytes]:
        """Wait."""
        return deferLater(reactor, 5, lambda: b"Sorry to keep you waiting.\n")


def root() -> Resource:
    """The page, and the metrics beside it. Requests for the metrics are not counted."""
    monitor = Monitor()
    MonitorCollector(monitor)
    page: Any = CancellingResource(Slow(), monitor=monitor)
    site = Resource()
    site.putChild(b"", page)
    site.putChild(b"metrics", MetricsResource())
    return site
