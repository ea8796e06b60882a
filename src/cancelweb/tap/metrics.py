"""Serves the metrics of this process for Prometheus, on the port of its status page: ``/metrics``.

`cancelweb.prometheus` has the metrics of the monitor; ``prometheus_client`` has all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from twisted.web.http import NOT_IMPLEMENTED, OK
from twisted.web.resource import Resource
from twisted.web.server import Request

from ..monitor import Monitor

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

OURS = "cancelweb_"


class Answering(Resource):
    """Answers with a status, and with what a function returns.

    The function is called in the reactor's thread: metrics are served while all threads are busy.
    """

    isLeaf = True

    def __init__(self, code: int, content_type: str, make_body: Callable[[], bytes]) -> None:
        super().__init__()
        self._code, self._content_type, self._make_body = code, content_type, make_body

    def render_GET(self, request: Request) -> bytes:
        """See `IResource`."""
        request.setResponseCode(self._code)
        request.setHeader(b"content-type", self._content_type.encode())
        # Twisted would drop the body with a line in the log, for each probe.
        return b"" if request.method == b"HEAD" else self._make_body()


def metrics_of(monitor: Monitor) -> Resource:
    """Make the resource of the metrics.

    It has those of the monitor, and all that the registry of ``prometheus_client`` has: those of
    the process, and the site's own. Without ``prometheus_client``, it answers 501 and names the
    extra.
    """
    try:
        from ..prometheus import MonitorCollector
    except ImportError as error:
        text = f"{error}\n".encode()
        return Answering(NOT_IMPLEMENTED, "text/plain; charset=utf-8", lambda: text)
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    MonitorCollector(monitor, registry)
    registry.register(Others())
    return Answering(OK, CONTENT_TYPE_LATEST, lambda: generate_latest(registry))


class Others:
    """Collects the metrics of the process, and of the site, from their common registry."""

    def collect(self) -> Iterator[Metric]:
        """See ``prometheus_client.registry.Collector``."""
        from prometheus_client import REGISTRY

        # The site may export a monitor of its own there, and each name may occur only once.
        return (each for each in REGISTRY.collect() if not each.name.startswith(OURS))
