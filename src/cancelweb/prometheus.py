"""The numbers of a `Monitor`, for Prometheus.

What is counted is the monitor's business; here it gets its names. Needs ``prometheus_client``,
which is imported nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
        "cancelweb.prometheus needs prometheus_client: pip install cancelweb[prometheus]",
        name=error.name,
    ) from error

__all__ = ["MonitorCollector"]

BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds. Most work stops in the turn in which it is asked."""

CAUSES = tuple(cause.__name__ for cause in (Disconnected, TimedOut, Draining, RapidReset))

# A rate sees nothing of the first of a kind unless its counter was there before, with 0
# (https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics).
NO_REQUESTS = {(cause, ended.name.lower()): 0 for cause in ("none", *CAUSES) for ended in Ended}
NONE_SPARED = dict.fromkeys((Disconnected.__name__, TimedOut.__name__), 0)


class MonitorCollector:
    """Shows what a monitor counts to Prometheus.

    Keep one for each monitor and registry; it may be collected from any thread. The values of the
    label ``cause`` are ``none`` and the names of the classes of causes, those of ``outcome`` the
    members of `cancelweb.Ended` in lower case. Those of cancelweb's own are there from the start,
    with 0. There are no labels for methods and paths: a client could make up as many as it likes.

    Args:
        monitor: what to show. Becomes one more observer of its requests.
        registry: where to register; the one that ``prometheus_client`` serves unless given.

    Raises:
        ValueError: ``registry`` has these metrics already.
    """

    def __init__(self, monitor: Monitor, registry: CollectorRegistry = REGISTRY) -> None:
        self._monitor = monitor
        self._stop = _histogram("stop", "From the cancel until the work had stopped.")
        self._cleanup = _histogram("cleanup", "What the cleanup hooks of cancelled requests took.")
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
        """What there is to show now; ``prometheus_client`` calls this for each page."""
        # Maybe in a thread. What a monitor tells are copies, each made in one step of CPython's.
        yield from self._counters()
        yield from self._gauges()
        yield from self._stop.collect()
        yield from self._cleanup.collect()

    describe = collect
    """The registry looks here for names that it has already, which it then refuses."""

    def _counters(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "cancelweb_requests", "Requests that have ended.", labels=("cause", "outcome")
        )
        for labels, count in {**NO_REQUESTS, **self._monitor.totals}.items():
            requests.add_metric(labels, count)
        yield requests
        spared = CounterMetricFamily(
            "cancelweb_would_have_cancelled",
            "Requests that would have been cancelled, but for a dry run or their method.",
            labels=("cause",),
        )
        for cause, count in {**NONE_SPARED, **self._monitor.would_have_cancelled}.items():
            spared.add_metric((cause,), count)
        yield spared

    def _gauges(self) -> Iterator[Metric]:
        monitor = self._monitor
        for name, text, value in (
            ("requests_in_flight", "Requests that have not ended.", len(monitor.scopes)),
            ("survivors", "Work that still runs, long after its cancel.", len(monitor.survivors)),
            ("let_go", "Work that nothing could stop, and that still runs.", len(monitor.let_go)),
            ("detached", "Work that goes on outside its request.", len(monitor.detached)),
            ("draining", "Whether the server is being drained.", monitor.is_draining),
        ):
            yield GaugeMetricFamily(f"cancelweb_{name}", text, value)


def _histogram(name: str, text: str) -> Histogram:
    # In no registry: it is shown with the rest.
    made = Histogram(f"cancelweb_{name}_seconds", text, ("cause",), buckets=BUCKETS, registry=None)
    for cause in CAUSES:
        made.labels(cause)
    return made
