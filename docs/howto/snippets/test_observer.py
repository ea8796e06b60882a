"""The outcomes of requests are counted."""

from observer import Counts, Report
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import CancellingResource, Disconnected
from cancelweb.testing import Client


class CountsTests(SynchronousTestCase):
    def setUp(self):
        self.clock, self.counts, self.outcomes = Clock(), Counts(), []
        report = Report(lambda: deferLater(self.clock, 5, lambda: b"the report"))
        root = CancellingResource(report, observers=[self.counts, self.outcomes.append])
        self.client = Client(root, self.clock)

    def test_client_that_disconnects(self):
        exchange = self.client.get(b"/")
        exchange.advance(2)
        exchange.disconnect()
        [outcome] = self.outcomes
        self.assertIsInstance(outcome.cause, Disconnected)
        self.assertEqual(outcome.cancelled - outcome.opened, 2)
        self.assertEqual(self.counts.requests, {("STOPPED", "Disconnected"): 1})

    def test_client_that_stays(self):
        self.client.get(b"/").advance(5)
        self.assertEqual(self.counts.requests, {("COMPLETED", "none"): 1})
