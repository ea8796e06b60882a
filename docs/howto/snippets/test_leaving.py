"""What happens to the handlers when their clients disconnect."""

from leaving_after import Booking, Export, Rates
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cancelweb.testing import Client, assert_no_leaks, assert_stopped, sweep


class LeavingTests(SynchronousTestCase):
    def test_one_moment(self):
        clock = Clock()
        client = Client(Export(clock), clock)
        exchange = client.get(b"/report")
        exchange.advance(0.5)
        exchange.disconnect()
        assert_stopped(exchange)
        assert_no_leaks(client)

    def test_to_the_end(self):
        clock = Clock()
        exchange = Client(Export(clock), clock).get(b"/report")
        self.assertIsNone(exchange.response)
        exchange.advance(1)
        self.assertEqual(exchange.response.code, 200)
        self.assertEqual(exchange.response.body, b"the report")

    def test_every_moment(self):
        for make_resource in Export, Booking, Rates:
            report = sweep(make_resource, b"/")
            self.assertTrue(report.points)
            print(report)
