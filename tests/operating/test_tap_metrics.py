"""The metrics on the status port of `twist cancelweb`: what is served, and without the extra.

What belongs here: the path in this process. What does not: what each metric says
(`test_prometheus`), and a Prometheus (`real.servers.test_shared_socket`).
"""

import sys
from typing import Any, cast

from prometheus_client import REGISTRY, Counter
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor as _installed_reactor
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import tap
from cancelweb.monitor import Monitor
from cancelweb.prometheus import MonitorCollector
from cancelweb.testing import Response

from .._visits import connect
from .test_tap import parsed

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class MetricsTests(SynchronousTestCase):
    """What a Prometheus gets on the port of `--status`."""

    def setUp(self) -> None:
        """Make a server with a status page, which does not run."""
        *_, page = cast(Any, tap.makeService(parsed("--status", "0")))
        self.page = page.factory.resource

    def ask(self, host: bytes = b"127.0.0.1", method: bytes = b"GET") -> Response:
        """The answer to a request for the metrics."""
        connection = connect(self.page)
        connection.request(method, path=b"/metrics", headers={b"Host": host})
        return connection.response

    def names(self) -> list[str]:
        """The names of the metrics that are served."""
        text = self.ask().body.decode()
        return [family.name for family in text_string_to_metric_families(text)]

    def test_are_those_of_the_server(self) -> None:
        """The metrics of the server's monitor and of its process are served as text."""
        response = self.ask()
        self.assertEqual(response.code, 200)
        (content_type,) = response.headers.getRawHeaders(b"content-type", [])
        self.assertRegex(content_type, rb"^text/plain; version=")
        self.assertIn("cancelweb_requests_in_flight 0.0\n", response.body.decode())
        self.assertIn("python_info", self.names())

    def test_have_the_sites_own(self) -> None:
        """A metric that the site has made is served besides."""
        self.addCleanup(REGISTRY.unregister, Counter("shop_orders", "Orders."))
        self.assertIn("shop_orders", self.names())

    def test_occur_once(self) -> None:
        """If the site exports a monitor of its own, the server's is served instead of it."""
        self.addCleanup(REGISTRY.unregister, MonitorCollector(Monitor()))
        names = self.names()
        self.assertIn("cancelweb_requests", names)
        self.assertEqual(sorted(names), sorted(set(names)))

    def test_are_guarded(self) -> None:
        """A request by a foreign name is refused, as for the page."""
        self.assertEqual(self.ask(b"evil.example").code, 421)

    def test_take_only_GET(self) -> None:
        """A POST is refused."""
        self.assertEqual(self.ask(method=b"POST").code, 405)

    def test_take_HEAD(self) -> None:
        """A HEAD is answered without the metrics, and without a line in the log."""
        with capturedLogs() as events:
            response = self.ask(method=b"HEAD")
        self.assertEqual((response.code, response.body), (200, b""))
        self.assertEqual(events, [])

    def test_need_no_thread(self) -> None:
        """The metrics are served in the reactor's thread, while all its threads are busy."""
        self.patch(reactor, "getThreadPool", None)
        self.assertEqual(self.ask().code, 200)


class MissingTests(SynchronousTestCase):
    """A server without prometheus_client."""

    def test_names_the_extra(self) -> None:
        """Without prometheus_client, the answer is 501, and says what to install."""
        for name in [each for each in sys.modules if each.startswith("prometheus_client")]:
            self.patch_module(name)
        self.patch_module("cancelweb.prometheus", remove=True)
        *_, page = cast(Any, tap.makeService(parsed("--status", "0")))
        connection = connect(page.factory.resource)
        connection.request(b"GET", path=b"/metrics", headers={b"Host": b"localhost"})
        self.assertEqual(connection.response.code, 501)
        self.assertEqual(
            connection.response.body,
            b"cancelweb.prometheus needs prometheus_client: pip install 'cancelweb[prometheus]'\n",
        )

    def patch_module(self, name: str, remove: bool = False) -> None:
        """Make a module fail to import, or be imported anew, until the end of the test."""
        self.addCleanup(sys.modules.__setitem__, name, sys.modules[name])
        if remove:
            del sys.modules[name]
        else:
            cast(Any, sys.modules)[name] = None
