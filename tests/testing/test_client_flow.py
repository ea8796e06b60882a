"""The public client in memory: producers of data that it reads at once, later, or not at all."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import File

from cancelweb.testing import Client
from cancelweb.testing._clock import step
from cancelweb.testing._transport import BUFFER_SIZE

from .._pages import Page
from ._kit import Source, body_of


class FlowTests(SynchronousTestCase):
    """Back-pressure on a push producer."""

    def setUp(self) -> None:
        """Ask for what a producer makes."""
        self.requests: list[Request] = []
        self.told: list[str] = []

        def produce(request: Request) -> int:
            request.registerProducer(Source(self.told.append), True)
            self.requests.append(request)
            return NOT_DONE_YET

        self.connection = Client(Page(produce)).connect()
        self.exchange = self.connection.get()

    def test_full_buffer_pauses(self) -> None:
        """A client that does not read pauses the producer, once the buffer is full."""
        self.connection.pause()
        self.requests[0].write(b"x" * BUFFER_SIZE)
        self.requests[0].write(b"x" * BUFFER_SIZE)
        self.assertEqual(self.told, ["pause"])
        self.assertIsNone(self.exchange.response)
        self.connection.resume()
        self.exchange.advance(0)
        self.assertEqual(self.told, ["pause", "resume"])
        assert self.exchange.response is not None
        self.assertEqual(len(self.exchange.response.body), 2 * BUFFER_SIZE)

    def test_full_already(self) -> None:
        """A client that stops reading with full buffers pauses the producer at once."""
        self.connection.pause(full=True)
        self.assertEqual(self.told, ["pause"])
        self.connection.resume()
        self.exchange.advance(0)
        self.assertEqual(self.told, ["pause", "resume"])

    def test_leaving_stops(self) -> None:
        """A client that leaves stops the producer."""
        self.exchange.disconnect()
        self.assertEqual(self.told, ["stop"])

    def test_closing_waits_for_reader(self) -> None:
        """A server that closes the connection does so when all has been read."""
        connection = self.exchange.client.connect()
        exchange = connection.get(b"/", {b"Connection": b"close"})
        connection.pause()
        request = self.requests[1]
        request.write(b"x" * (BUFFER_SIZE + 1))
        request.unregisterProducer()
        request.finish()
        exchange.advance(0)
        self.assertFalse(connection.is_closed)
        connection.resume()
        exchange.advance(0)
        self.assertTrue(connection.is_closed)
        self.assertEqual(len(body_of(exchange)), BUFFER_SIZE + 1)


class FileTests(SynchronousTestCase):
    """Pull producers, which Twisted itself runs on the global reactor."""

    def setUp(self) -> None:
        """Make a file of several reads, and read one."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"x" * 300_000)
        page = File(path)
        page.isLeaf = True
        self.connection = Client(page).connect()
        self.exchange = self.connection.get()
        step(self.exchange.client.clock)

    def received(self) -> int:
        """How much of the file has come."""
        assert self.exchange.response is not None
        return len(self.exchange.response.body)

    def test_run_on_the_clock(self) -> None:
        """A file is served with one read in each turn of the clock."""
        self.assertTrue(0 < self.received() < 300_000)
        self.exchange.advance(0)
        self.assertEqual(len(body_of(self.exchange)), 300_000)

    def test_wait_for_reader(self) -> None:
        """A client that does not read pauses the file."""
        self.connection.pause()
        self.exchange.advance(0)
        self.connection.resume()
        self.assertLess(self.received(), 300_000)
        self.exchange.advance(0)
        self.assertEqual(self.received(), 300_000)

    def test_stop_with_client(self) -> None:
        """A client that leaves closes the file, and later calls of its producer do nothing."""
        assert self.exchange.request is not None
        producer: Any = self.exchange.request.producer
        self.exchange.disconnect()
        self.assertIsNone(producer._producer.request)
        for late in producer.stopProducing, producer.pauseProducing, producer.resumeProducing:
            late()

    def test_failing(self) -> None:
        """A pull producer that fails is logged and unregistered."""

        class Failing:
            def resumeProducing(self) -> None:
                raise ValueError("no more")

        def produce(request: Request) -> int:
            request.registerProducer(Failing(), False)
            return NOT_DONE_YET

        exchange = Client(Page(produce)).get()
        exchange.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        assert exchange.request is not None
        self.assertIsNone(exchange.request.producer)
