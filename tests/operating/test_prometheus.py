"""The metrics of a monitor, in the text that Prometheus reads.

Rendered by the real prometheus_client. What the monitor counts is for its own tests; names and
labels have `test_prometheus_names`, the real Prometheus has `real.servers.test_prometheus`.
"""

import subprocess
import sys
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.twisted import MetricsResource
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource

from cancelweb import CancellingResource, Cause, Disconnected, current_scope, detach
from cancelweb.monitor import Monitor
from cancelweb.prometheus import MonitorCollector

from .._loopback import connect, request, serve
from .._pages import Page, waiting
from .._visits import kept_request
from .._work import Errand
from ._scraped import Labels, Scraped

CAUSES = Disconnected.__module__


class Impatience(Cause):
    """A cause of a user's own."""


class MetricsTests(SynchronousTestCase):
    """What each metric says of a monitor."""

    def setUp(self) -> None:
        """Make a monitor with a collector."""
        self.scraped = Scraped()

    def test_requests_are_counted_by_cause_and_outcome(self) -> None:
        """The counter has each request that has ended, under its cause and its outcome."""

        def cancelling(_: object) -> Deferred[bytes]:
            current_scope().cancel(Impatience())
            return Deferred()

        self.scraped.connection(lambda _: b"page")
        for _ in range(2):
            self.scraped.connection(waiting).disconnect()
        self.scraped.connection(cancelling)
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

    def test_what_may_come_is_there_before(self) -> None:
        """Before any request, the metrics are there for cancelweb's own causes, with 0."""
        # Prometheus does not see the first increment of a counter that was not there before.
        counts = self.scraped.samples("cancelweb_requests_total")
        causes = {labels["cause"] for labels, _ in counts}
        ours = {each.__name__ for each in Cause.__subclasses__() if each.__module__ == CAUSES}
        ours.remove("ResponseFinished")  # No scope is cancelled for that.
        self.assertEqual(causes, {"none", *ours})
        for labels, value in counts:
            self.assertEqual(value, 0, labels)
        spared = self.scraped.samples("cancelweb_would_have_cancelled_total")
        self.assertEqual(spared, [({"cause": "Disconnected"}, 0), ({"cause": "TimedOut"}, 0)])
        for name in ("stop", "cleanup"):
            self.assertEqual(
                {
                    cause["cause"]
                    for cause, _ in self.scraped.samples(f"cancelweb_{name}_seconds_count")
                },
                ours,
            )

    def test_in_flight(self) -> None:
        """The gauge ``cancelweb_requests_in_flight`` has the requests that have not ended."""
        leaver, _ = self.scraped.connection(waiting), self.scraped.connection(waiting)
        self.assertEqual(self.scraped.value("cancelweb_requests_in_flight"), 2)
        leaver.disconnect()
        self.assertEqual(self.scraped.value("cancelweb_requests_in_flight"), 1)

    def test_survivors(self) -> None:
        """The gauge ``cancelweb_survivors`` has work from when it survives until it ends."""
        work = Errand(obedient=False)
        self.scraped.connection(lambda _: work, survivor_after=1).disconnect()
        self.assertEqual(self.scraped.value("cancelweb_survivors"), 0)
        self.scraped.clock.advance(1)
        self.assertEqual(self.scraped.value("cancelweb_survivors"), 1)
        work.end()
        self.assertEqual(self.scraped.value("cancelweb_survivors"), 0)

    def test_let_go(self) -> None:
        """The gauge ``cancelweb_let_go`` has work that nothing stopped; its stop is not timed."""
        held: list[Deferred[None]] = [Deferred()]
        self.scraped.connection(lambda _: held[0]).disconnect()
        self.assertEqual(self.scraped.value("cancelweb_let_go"), 1)
        labels = {"cause": "Disconnected", "outcome": "let_go"}
        self.assertEqual(self.scraped.value("cancelweb_requests_total", **labels), 1)
        for name, count in (("stop", 0), ("cleanup", 1)):
            name = f"cancelweb_{name}_seconds_count"
            self.assertEqual(self.scraped.value(name, cause="Disconnected"), count)
        held.clear()
        self.assertEqual(self.scraped.value("cancelweb_let_go"), 0)

    def test_detached(self) -> None:
        """The gauge ``cancelweb_detached`` has detached work until it ends."""
        work: Deferred[None] = Deferred()

        def handler(_: object) -> bytes:
            detach(work)
            return b"page"

        self.scraped.connection(handler)
        self.assertEqual(self.scraped.value("cancelweb_detached"), 1)
        work.callback(None)
        self.assertEqual(self.scraped.value("cancelweb_detached"), 0)

    def test_draining(self) -> None:
        """The gauge ``cancelweb_draining`` is 0, and is 1 once a drain has begun."""
        self.assertEqual(self.scraped.value("cancelweb_draining"), 0)
        self.scraped.monitor.drain(1)
        self.assertEqual(self.scraped.value("cancelweb_draining"), 1)

    def test_what_would_have_been_cancelled(self) -> None:
        """A dry run counts what would have been cancelled, and times no stop."""
        result: Deferred[bytes] = Deferred()
        self.scraped.connection(lambda _: result, dry_run=True).disconnect()
        result.callback(b"page")
        name = "cancelweb_would_have_cancelled_total"
        self.assertEqual(self.scraped.value(name, cause="Disconnected"), 1)
        self.assertEqual(self.scraped.counted("cancelweb_stop_seconds_count"), [])

    def test_times_from_leaving_to_stopped_and_of_the_hooks(self) -> None:
        """The histograms of stop and cleanup have a cancelled request's seconds."""
        work, hook = Errand(obedient=False), Deferred[None]()
        self.scraped.connection(lambda _: work, on_cancel=lambda _: hook).disconnect()
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
                if labels["cause"] == "Disconnected"
            }
            self.assertEqual(
                {le for le, count in inside.items() if count},
                {le for le in inside if le >= seconds},
            )

    def test_what_had_nothing_to_stop_has_no_times(self) -> None:
        """The histogram of stops has neither a completed request nor a refused one."""
        self.scraped.connection(lambda _: b"page")
        connection, lost = kept_request()
        connection.disconnect()
        CancellingResource(Page(waiting), monitor=self.scraped.monitor, observers=()).render(lost)
        outcomes = {labels["outcome"] for labels, _ in self.counted()}
        self.assertEqual(outcomes, {"completed", "refused"})
        self.assertEqual(self.scraped.counted("cancelweb_stop_seconds_count"), [])

    def counted(self) -> list[tuple[Labels, float]]:
        """The requests that have ended, by cause and outcome."""
        return self.scraped.counted("cancelweb_requests_total")


class CollectorTests(SynchronousTestCase):
    """A collector in a registry, and without prometheus_client."""

    def test_only_one_in_a_registry(self) -> None:
        """A second collector in the same registry is a ValueError."""
        scraped = Scraped()
        self.assertRaises(ValueError, MonitorCollector, Monitor(Clock()), scraped.registry)

    def test_missing_extra(self) -> None:
        """Without prometheus_client, the ImportError says what to install."""
        program = (
            "import sys; sys.modules['prometheus_client'] = None\n"
            "try:\n    import cancelweb.prometheus\nexcept ImportError as error:\n    print(error)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
        )
        self.assertIn("pip install 'cancelweb[prometheus]'", ran.stdout, ran.stderr)


class ServedTests(TestCase):
    """The page that `prometheus_client.twisted` serves, over a real socket."""

    timeout = 30

    async def test_page(self) -> None:
        """The page of metrics is served while a request is in flight, and counts it."""
        registry = CollectorRegistry()
        monitor = Monitor()
        MonitorCollector(monitor, registry)
        root = Resource()
        slow: Any = CancellingResource(Page(waiting), monitor=monitor, observers=())
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
