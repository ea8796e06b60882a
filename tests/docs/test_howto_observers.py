"""The programs of the how-to on observers."""

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import formatEvent
from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from cancelweb import CancellingResource
from cancelweb.testing import Client

from .._docs import DOCS, OBSERVER, TEST_OBSERVER, run
from .._logs import log_events
from .._visits import connect


def waiting() -> Deferred[bytes]:
    """A calculation that ends only when it is cancelled."""
    return Deferred(lambda _: None)


class ObserverTests(SynchronousTestCase):
    """The observers of the how-to, and where they are registered."""

    def setUp(self) -> None:
        """Run the program."""
        self.names = run(OBSERVER.read_text())
        self.events = log_events(self)

    def lines(self, namespace: str) -> list[str | None]:
        """The lines that were logged under this name."""
        return [formatEvent(each) for each in self.events if each["log_namespace"] == namespace]

    def test_slow_request(self) -> None:
        """The how-to's observer logs a slow request beside the default log, and no fast one."""
        connection = connect(self.names["Report"](waiting))
        connection.get(headers={b"Authorization": b"Basic YW5uOg=="})
        connection.client.clock.advance(2)
        connection.disconnect()
        connect(self.names["Report"](waiting)).get().disconnect()
        [event] = [each for each in self.events if each["log_namespace"] == "shop"]
        self.assertRegex(formatEvent(event) or "", r"Report\.render_GET took 2\.0 s: \w+$")
        self.assertEqual(event["user"], "ann")
        self.assertEqual(len(self.lines("cancelweb")), 2)

    def test_wrapper(self) -> None:
        """The how-to's site is a wrapped one."""
        self.assertIsInstance(self.names["site_of"](Resource()).resource, CancellingResource)

    def test_default_log(self) -> None:
        """A decorated handler with observers of its own has no default log in a wrapped site."""
        source = OBSERVER.read_text().replace("[log_outcome, log_slow]", "log_slow")
        report: Any = run(source)["Report"](waiting)
        connect(CancellingResource(report)).get().disconnect()
        self.assertEqual(self.lines("cancelweb"), [])

    def test_seconds_to_stop(self) -> None:
        """The how-to's counts have the seconds that work took to stop."""
        counts, clock = self.names["Counts"](), Clock()

        async def calculate() -> bytes:
            try:
                return await waiting()
            finally:
                await deferLater(clock, 3)

        root = CancellingResource(self.names["Report"](calculate), observers=counts)
        Client(root, clock, watch=False).get().disconnect()
        clock.advance(3)
        self.assertEqual(counts.seconds_to_stop, 3)

    def test_shown_tests(self) -> None:
        """The tests that the how-to shows pass, with its own program."""
        self.patch(sys, "path", [str(DOCS / "howto" / "snippets"), *sys.path])
        self.addCleanup(sys.modules.pop, "observer", None)
        case = run(TEST_OBSERVER.read_text())["CountsTests"]
        result = TestResult()
        for name in ("test_client_that_disconnects", "test_client_that_stays"):
            case(name).run(result)
        self.assertEqual((result.successes, result.failures, result.errors), (2, [], []))
