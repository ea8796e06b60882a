"""The limit on how long a handler may be stuck.

What belongs here: `timeout` of one entry point, in memory, over HTTP/1. What does not: what the
client gets (`test_limits_deadline`), its own limits (`test_limits_client`), and entry points that
meet.
"""

from collections.abc import AsyncIterator, Iterator

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.web.resource import EncodingResourceWrapper
from twisted.web.server import NOT_DONE_YET, GzipEncoderFactory, Request

from cancelweb import TimedOut, cancel_on_disconnect
from cancelweb.testing import Connection

from .._pages import PAGE, GetPage, returning
from .._visits import connect
from ..http._streams import TURN
from ._limits import LimitsTestCase


class DeadlineCutsWhatIsStuckTests(LimitsTestCase):
    """Promise 14: `timeout` is how long the handler may write nothing."""

    def test_never_begun(self) -> None:
        """A handler that has written nothing is cut at the limit, and its client gets a 503."""
        connection = self.visit(self.handler, timeout=10)
        self.clock.advance(10)
        self.assertEqual(connection.response.code, 503)
        self.assertEqual(self.outcome.cause, TimedOut(10, "timeout"))

    def test_flows(self) -> None:
        """A response that flows is not cut, however long it takes."""
        connection = self.visit(self.slow_stream, timeout=2)
        self.step(60)
        self.assertFalse(connection.is_aborted)
        self.assertGreaterEqual(len(connection.response.body), 50)
        connection.disconnect()

    def test_pauses_of_almost_the_limit(self) -> None:
        """A response whose writes are almost as far apart as the limit is not cut."""
        connection = self.visit(self.writing(1.875, 1.875, 1.875, 1.875), timeout=2)
        self.step(8)
        self.assertFalse(connection.is_aborted)
        connection.disconnect()

    def test_stuck_later(self) -> None:
        """A response that gets stuck is cut within one to two limits of its last write."""
        for last in (0.5, 1, 2.5, 3.875):
            began, self.work = self.clock.seconds(), Deferred(lambda _: None)
            connection = self.visit(self.writing(last), timeout=4)
            self.assertTrue(4 <= self.cut_at(connection, 1000) - began - last <= 8.25)
        self.assertEqual({each.cause for each in self.outcomes}, {TimedOut(4)})

    def test_head_counts(self) -> None:
        """To send the head counts as a write."""

        def handler(request: Request) -> object:
            self.clock.callLater(3, request.write, b"")
            return self.work

        connection = self.visit(handler, timeout=4)
        self.step(4)
        self.assertFalse(connection.is_closed)
        self.assertEqual(self.cut_at(connection), 8)

    def test_headers_set_do_not_count(self) -> None:
        """To set headers and a status does not count as a write, nor does a 100 (Continue)."""

        def handler(request: Request) -> object:
            request.setHeader(b"X-Header", b"1")
            request.setResponseCode(202)
            return self.work

        connection = self.serve(handler, timeout=4)
        connection.get(headers={b"Expect": b"100-continue"})
        self.assertIn(b"100 Continue", connection.received)
        self.clock.advance(4)
        self.assertIn(b"503 Service Unavailable", connection.received)

    def test_without_a_body(self) -> None:
        """A write counts though Twisted sends nothing of it: to a HEAD, or with a 304."""
        for method, status in ((b"HEAD", 200), (b"GET", 304)):

            async def handler(request: Request, status: int = status) -> None:
                request.setResponseCode(status)
                for _ in range(20):
                    request.write(b".")
                    await deferLater(self.clock, 1)
                await Deferred[None](lambda _: None)

            began = self.clock.seconds()
            connection = self.serve(handler, timeout=2)
            connection.request(method)
            self.assertTrue(21 <= self.cut_at(connection, 1000) - began <= 24)
            self.assertEqual((connection.response.code, connection.response.body), (status, b""))

    def test_every_kind_of_handler(self) -> None:
        """The limit cuts Deferreds, coroutines, generators that wait, and unanswered requests."""

        async def coroutine(_: Request) -> bytes:
            return await Deferred[bytes]()

        async def generator(_: Request) -> AsyncIterator[bytes]:
            yield await Deferred[bytes]()

        for handler in (self.handler, coroutine, generator, lambda _: NOT_DONE_YET):
            connection = self.visit(handler, timeout=4)
            self.clock.advance(4)
            self.assertEqual(connection.response.code, 503)

    def test_a_write_costs_nothing(self) -> None:
        """No write moves a timer."""
        connection = self.visit(self.handler, timeout=4)
        before = [each.getTime() for each in self.clock.getDelayedCalls()]
        self.clock.advance(1)
        self.request.write(b".")
        self.assertEqual([each.getTime() for each in self.clock.getDelayedCalls()], before)
        connection.disconnect()

    def test_compressed(self) -> None:
        """A write that a compressor keeps to itself does not count."""
        page = GetPage(
            cancel_on_disconnect(timeout=2, observers=self.outcomes.append)(self.ticking)
        )
        root = EncodingResourceWrapper(page, [GzipEncoderFactory()])
        connection = connect(root, self.clock)
        connection.get(headers={b"Accept-Encoding": b"gzip"})
        self.step(5)
        self.assertTrue(connection.is_aborted)

    async def ticking(self, request: Request) -> None:
        """Write a little every half second."""
        while True:
            request.write(b".")
            await deferLater(self.clock, 0.5)

    def test_no_timer_is_left(self) -> None:
        """Whatever ends a request, no timer is left."""
        for end in ("answer", "fail", "leave", "cut"):
            work: Deferred[bytes] = Deferred()
            connection = self.visit(returning(work), timeout=4, total_timeout=9)
            if end == "answer":
                work.callback(PAGE)
            elif end == "fail":
                work.errback(KeyError())
                self.flushLoggedErrors(KeyError)
            elif end == "cut":
                self.clock.advance(4)
            connection.disconnect()
            self.clock.advance(TURN)
            self.assertEqual(self.clock.getDelayedCalls(), [], end)


class HeldUpTests(LimitsTestCase):
    """Promise 14: for as long as the client has paused a stream, `timeout` does not count."""

    def test_streams(self) -> None:
        """A stream is not cut while its client does not read, and flows on afterwards."""

        def generator(_: Request) -> Iterator[bytes]:
            while True:
                yield b"."

        for handler in (generator, self.slow_stream):
            connection = self.visit(handler, timeout=2)
            self.step(1)
            connection.pause(full=True)
            self.step(30)
            self.assertFalse(connection.is_aborted)
            before = len(connection.response.body)
            connection.resume()
            self.step(10)
            self.assertFalse(connection.is_aborted)
            self.assertGreater(len(connection.response.body), before)
            connection.disconnect()

    def producing(self, is_push: bool) -> Connection:
        """A handler whose producer has written once, and a client that has paused it."""

        def handler(request: Request) -> object:
            request.registerProducer(StringTransport() if is_push else Puller(request), is_push)
            request.write(b".")
            return self.work

        connection = self.visit(handler, timeout=2)
        connection.pause(full=True)
        return connection

    def test_producers(self) -> None:
        """A handler's own producer, push or pull, is not cut while its client does not read."""
        for is_push in (True, False):
            connection = self.producing(is_push)
            self.step(30)
            self.assertFalse(connection.is_aborted)
            connection.disconnect()

    def test_stuck_after_the_pause(self) -> None:
        """A producer that gets stuck is cut within two limits after its client has read on."""
        connection = self.producing(True)
        self.step(30)
        connection.resume()
        self.assertTrue(32 <= self.cut_at(connection) <= 34)
        self.assertEqual(self.outcome.cause, TimedOut(2))

    def test_without_producer(self) -> None:
        """A handler without a producer is cut though its client does not read."""
        connection = self.visit(self.writing(0), timeout=2)
        self.clock.advance(TURN)
        connection.pause(full=True)
        self.assertLess(self.cut_at(connection), 5)

    def test_before_the_response(self) -> None:
        """A response that has not begun is cut though its client does not read."""
        connection = self.serve(self.handler, timeout=2)
        connection.get()
        connection.pause(full=True)
        self.clock.advance(2)
        connection.resume()
        self.assertEqual(connection.response.code, 503)


class Puller:
    """A pull producer that writes when it is asked to."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def resumeProducing(self) -> None:
        """See `IPullProducer`."""

    def stopProducing(self) -> None:
        """See `IProducer`."""
