"""Export the numbers of a `Monitor` to Prometheus (metrics).

The monitor counts, and this module names the metrics. No other module imports
``prometheus_client``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ._checks import check_instance
from .causes import (
    Disconnected,
    Draining,
    Ended,
    Outcome,
    RapidReset,
    TimedOut,
)
from .monitor import Monitor

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Histogram
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        Metric,
    )
except ImportError as error:
    raise ImportError(
        "cancelweb.prometheus needs prometheus_client: pip install 'cancelweb[prometheus]'",
        name=error.name,
    ) from error

__all__ = ["MonitorCollector"]

BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds. Most work stops in the turn in which it is asked to stop."""

CAUSES = tuple(cause.__name__ for cause in (Disconnected, TimedOut, Draining, RapidReset))

# A rate misses the first event of a kind unless its counter already existed, with the value 0
# (https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics).
NO_REQUESTS = {(cause, ended.name.lower()): 0 for cause in ("none", *CAUSES) for ended in Ended}
NONE_SPARED = dict.fromkeys((Disconnected.__name__, TimedOut.__name__), 0)


class MonitorCollector:
    """Exports what a monitor counts to Prometheus.

    Make one for each monitor and registry. It may be collected from any thread. The label ``cause``
    is ``none`` or the class name of a cause; the label ``outcome`` is a member of `cancelweb.Ended`
    in lower case. The series of cancelweb's own causes exist from the start, with the value 0.
    Methods and paths are not labels: a client could make up as many as it likes.

    Args:
        monitor: the monitor to export. The collector becomes one more observer of its requests.
        registry: where to register; by default the registry that ``prometheus_client`` serves.

    Raises:
        ValueError: ``registry`` already has these metrics.
    """

    def __init__(self, monitor: Monitor, registry: CollectorRegistry = REGISTRY) -> None:
        check_instance("monitor", monitor, Monitor, "a cancelweb.monitor.Monitor")
        check_instance("registry", registry, CollectorRegistry, "a CollectorRegistry")
        self._monitor = monitor
        text = "Seconds from the cancel until the work stopped, or was named a survivor."
        self._stop = _histogram("stop", text)
        self._cleanup = _histogram("cleanup", "Seconds that a cancelled request's hooks took.")
        registry.register(self)
        monitor.add_observer(self._observe)

    def _observe(self, outcome: Outcome) -> None:
        if outcome.cancelled is None or outcome.ended is Ended.REFUSED:
            return
        cause = type(outcome.cause).__name__
        if outcome.ended is not Ended.LET_GO:
            self._stop.labels(cause).observe(outcome.stopped - outcome.cancelled)
        self._cleanup.labels(cause).observe(outcome.closed - outcome.stopped)

    def collect(self) -> Iterable[Metric]:
        """The current metrics; ``prometheus_client`` calls this for each scrape."""
        # This may run in any thread. The monitor returns copies, each made in one step of CPython.
        yield from self._counters()
        yield from self._gauges()
        yield from self._stop.collect()
        yield from self._cleanup.collect()

    describe = collect
    """The registry calls this to find names that it already has, which it then refuses."""

    def _counters(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "cancelweb_requests", "Requests that have ended.", labels=("cause", "outcome")
        )
        for labels, count in {**NO_REQUESTS, **self._monitor.totals}.items():
            requests.add_metric(labels, count)
        yield requests
        spared = CounterMetricFamily(
            "cancelweb_would_have_cancelled",
            "Requests that a dry run or their method kept from being cancelled.",
            labels=("cause",),
        )
        for cause, count in {**NONE_SPARED, **self._monitor.would_have_cancelled}.items():
            spared.add_metric((cause,), count)
        yield spared

    def _gauges(self) -> Iterator[Metric]:
        monitor = self._monitor
        for name, text, value in (
            ("requests_in_flight", "Requests that have not ended.", len(monitor.scopes)),
            ("survivors", "Work that still runs long after its cancel.", len(monitor.survivors)),
            ("let_go", "Work that nothing could stop and that still runs.", len(monitor.let_go)),
            ("detached", "Work that runs on outside its request.", len(monitor.detached)),
            ("draining", "1 once the server drains, else 0.", monitor.is_draining),
        ):
            yield GaugeMetricFamily(f"cancelweb_{name}", text, value)


def _histogram(name: str, text: str) -> Histogram:
    # In no registry: `collect` returns it with the other metrics.
    made = Histogram(f"cancelweb_{name}_seconds", text, ("cause",), buckets=BUCKETS, registry=None)
    for cause in CAUSES:
        made.labels(cause)
    return made
