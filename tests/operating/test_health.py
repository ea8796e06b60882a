"""Readiness and liveness: what probes are told, and that they do not count as requests.

What belongs here: the resources of `cancelweb.health` in memory. What does not: processes that are
probed (`real.system.test_twist_drain`).
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application import strports
from twisted.internet.defer import succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import formatEvent
from twisted.python import log
from twisted.web.resource import Resource
from twisted.web.util import DeferredResource

from cancelweb import CancellingResource
from cancelweb.health import LivenessResource, ReadinessResource
from cancelweb.status import StatusResource
from cancelweb.testing import Response

from .._docs import HEALTH, OWN_SERVER, run
from .._logs import log_events
from .._pages import Page, waiting
from .._visits import connect
from ._drains import DrainTestCase

READY, STOPPING, ALIVE = (200, b"ready\n"), (503, b"stopping\n"), (200, b"alive\n")


class HealthTests(DrainTestCase):
    """Probes of a site, before a drain, in its delay and while it turns requests away."""

    def setUp(self) -> None:
        super().setUp()
        self.logs: list[Any] = []

    def site(self) -> Resource:
        """A site with both resources, and a page."""
        root = Resource()
        root.putChild(b"readyz", ReadinessResource(self.monitor))
        root.putChild(b"livez", LivenessResource())
        root.putChild(b"page", Page(lambda _: b"page"))
        return root

    def ask(self, root: Any, path: bytes, method: bytes = b"GET", **headers: Any) -> Response:
        """The answer to a probe."""
        connection = connect(root, self.clock)
        connection.request(method, path, **headers)
        return connection.response

    def told(self, root: Any, *paths: bytes) -> list[tuple[int, bytes]]:
        """What probes of these paths are told."""
        answers = [self.ask(root, path) for path in paths]
        return [(each.code, each.body) for each in answers]

    def assert_told(self, root: Any, readyz: bytes, livez: bytes) -> None:
        """Readiness ends with the call for the drain; liveness never does; neither counts."""
        self.assertEqual(self.told(root, readyz, livez), [READY, ALIVE])
        self.monitor.drain(10, delay=5)
        self.assertEqual(self.told(root, readyz, livez), [STOPPING, ALIVE])
        self.advance(5)
        self.assertEqual(self.told(root, readyz, livez), [STOPPING, ALIVE])
        self.advance(10, 10)
        self.assertEqual(self.told(root, readyz, livez), [STOPPING, ALIVE])
        self.assertEqual((self.monitor.opened, self.outcomes), (0, []))

    def test_in_a_plain_site(self) -> None:
        """A site without cancellation may have them."""
        self.assert_told(self.site(), b"/readyz", b"/livez")

    def test_in_a_wrapped_site(self) -> None:
        """Inside a wrapped site, a drain does not answer in their place."""
        wrapped: Any = CancellingResource(self.site(), monitor=self.monitor)
        self.assert_told(wrapped, b"/readyz", b"/livez")

    def test_in_two_wrappers(self) -> None:
        """The same holds where wrappers are nested."""
        root = Resource()
        inner: Any = CancellingResource(self.site(), monitor=self.monitor)
        root.putChild(b"health", inner)
        wrapped: Any = CancellingResource(root, monitor=self.monitor)
        self.assert_told(wrapped, b"/health/readyz", b"/health/livez")

    def test_on_the_status_page(self) -> None:
        """The status page has them, too, under whatever name it is asked."""
        status = StatusResource(self.monitor)
        self.assert_told(status, b"/readyz", b"/livez")
        answer = self.ask(status, b"/readyz", headers={b"Host": b"status.example"})
        self.assertEqual(answer.code, 503)

    def test_that_come_late(self) -> None:
        """A wrapped site may find them later; the request that finds them is counted."""
        root: Any = CancellingResource(
            DeferredResource(succeed(LivenessResource())), monitor=self.monitor
        )
        self.assertEqual(self.told(root, b"/"), [ALIVE])

    def test_others_are_turned_away(self) -> None:
        """Beside them, other pages of the wrapped site are turned away and counted."""
        wrapped: Any = CancellingResource(self.site(), monitor=self.monitor)
        self.monitor.drain(0)
        self.assertEqual(self.ask(wrapped, b"/page").code, 503)
        self.assertEqual(self.monitor.opened, 1)

    def test_head(self) -> None:
        """A HEAD gets the same head without a body, no cache may keep it, and nothing is logged."""
        self.monitor.drain(10)
        events = log_events(self)
        for path, code in {b"/readyz": 503, b"/livez": 200}.items():
            answer = self.ask(self.site(), path, b"HEAD")
            self.assertEqual((answer.code, answer.body), (code, b""))
            self.assertEqual(answer.header(b"cache-control"), b"no-store")
            length = self.ask(self.site(), path).header(b"content-length")
            self.assertEqual(answer.header(b"content-length"), length)
        self.assertEqual([formatEvent(each) for each in events], [])

    def run_program(self, path: Path) -> tuple[MemoryReactorClock, dict[str, Any]]:
        """Run a program of the docs in memory; returns its reactor and its names."""
        reactor = MemoryReactorClock()
        self.patch(sys.modules["twisted.internet"], "reactor", reactor)
        self.patch(strports, "service", partial(strports.service, reactor=reactor))
        self.patch(log, "startLogging", self.logs.append)
        names = run(path.read_text())
        names["site"].reactor = self.clock
        self.monitor = names["monitor"]
        return reactor, names

    def test_programs_of_the_docs(self) -> None:
        """The programs of the how-tos tell probes, log, and bound their exit, with a delay, too."""
        for path, seconds, expected, logs in (
            (HEALTH, 15, {"exit_after": 5}, []),  # twistd logs for it
            (OWN_SERVER, 30, {"delay": 5, "exit_after": 5}, [sys.stdout]),
        ):
            reactor, names = self.run_program(path)
            self.assertEqual(self.logs, logs)
            self.assertEqual(self.told(names["site"], b"/readyz"), [READY])
            [(drain, arguments, options)] = reactor.triggers["before"]["shutdown"]
            self.assertEqual((drain, arguments), (self.monitor.drain, (seconds,)))
            close = options.pop("close", None)
            self.assertEqual((options, callable(close)), (expected, "port" in names))
            drain(0)
            self.assertEqual(self.told(names["site"], b"/readyz"), [STOPPING])

    def test_no_monitor(self) -> None:
        """A ReadinessResource without a monitor is refused, with a hint."""
        wrong: Any = Page(waiting)
        with self.assertRaisesRegex(TypeError, "takes a cancelweb.monitor.Monitor.*monitor=..."):
            ReadinessResource(wrong)
