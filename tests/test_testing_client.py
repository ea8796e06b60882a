"""The public client in memory: what it sends, what it tells, and how it leaves."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import Data, File

from cancelweb import CancellingResource, Disconnected, Ended, cancel_on_disconnect
from cancelweb.testing import Client, Exchange
from cancelweb.testing._clock import step
from cancelweb.testing._responses import parse
from cancelweb.testing._transport import BUFFER_SIZE

from ._scopes import Handler, Leaf


def body_of(exchange: Exchange) -> bytes:
    """The body of a complete answer."""
    response = exchange.response
    assert response is not None and response.is_complete, response
    return response.body


def echo(request: Request) -> bytes:
    """A handler that answers with what it was sent."""
    content: Any = request.content
    return b" ".join([request.method, request.uri, content.read()])


def waiting(request: Request) -> int:
    """A handler of plain Twisted that answers never."""
    return NOT_DONE_YET


class Slow:
    """A decorated handler that takes two seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, request: Request) -> Any:
        """Handle."""
        return cancel_on_disconnect(self._later)(request)

    async def _later(self, request: Request) -> bytes:
        await deferLater(self._clock, 2)
        return b"late"


class RequestTests(SynchronousTestCase):
    """What is sent and what comes back."""

    def setUp(self) -> None:
        """Serve an echo."""
        self.client = Client(Leaf(echo))

    def test_get(self) -> None:
        """A GET has its path and query, and the answer code, headers and body."""
        exchange = self.client.get(b"/a?b=c", {b"X-Mine": b"1"})
        self.assertEqual(body_of(exchange), b"GET /a?b=c ")
        assert exchange.response is not None and exchange.request is not None
        self.assertEqual(exchange.response.code, 200)
        self.assertEqual(exchange.response.headers.getRawHeaders(b"content-length"), [b"11"])
        self.assertEqual(exchange.request.getHeader(b"x-mine"), b"1")
        self.assertEqual(str(exchange), "GET /a?b=c")

    def test_post(self) -> None:
        """A POST has a body."""
        self.assertEqual(body_of(self.client.post(b"/", b"data")), b"POST / data")

    def test_strings(self) -> None:
        """What is not bytes is refused, with what it is."""
        client: Any = self.client
        requests: list[tuple[Any, ...]] = [
            ("path", b"GET", "/", {}, b""),
            ("method", "GET", b"/", {}, b""),
            ("headers", b"GET", b"/", {b"X-Mine": "1"}, b""),
            ("body", b"POST", b"/", {}, "data"),
        ]
        for name, *request in requests:
            error = self.assertRaises(TypeError, client.request, *request)
            self.assertIn(f"{name} must be bytes, not '", str(error))

    def test_any_method(self) -> None:
        """Any other method can be sent, with or without a body."""
        self.assertEqual(body_of(self.client.request(b"PUT", b"/", body=b"it")), b"PUT / it")
        self.assertEqual(body_of(self.client.request(b"HEAD", b"/")), b"")

    def test_head_that_twisted_fakes(self) -> None:
        """An answer to HEAD has a length and no body."""
        page = Data(b"12345", "text/plain")
        page.isLeaf = True
        exchange = Client(page).request(b"HEAD", b"/")
        self.assertEqual(body_of(exchange), b"")
        assert exchange.response is not None
        self.assertEqual(exchange.response.headers.getRawHeaders(b"content-length"), [b"5"])

    def test_keep_alive(self) -> None:
        """Several requests follow each other on one connection."""
        connection = self.client.connect()
        first = connection.get(b"/1")
        self.assertTrue(first.is_over)
        second = connection.post(b"/2", b"body")
        self.assertEqual([body_of(first), body_of(second)], [b"GET /1 ", b"POST /2 body"])
        self.assertFalse(connection.is_closed)

    def test_rest_of_a_body(self) -> None:
        """A body can be sent in parts; the handler is called when it is whole."""
        connection = self.client.connect()
        exchange = connection.request(b"POST", b"/", {b"Content-Length": b"6"}, b"abc")
        self.assertIsNotNone(exchange.request)
        self.assertIsNone(exchange.response)
        connection.send(b"def")
        self.assertEqual(body_of(exchange), b"POST / abcdef")

    def test_refused_by_twisted(self) -> None:
        """A request that Twisted cannot read is answered by it, and has no outcome."""
        connection = self.client.connect()
        connection.send(b"nonsense\r\n\r\n")
        exchange = connection.get()
        self.assertIsNone(exchange.outcome)
        assert exchange.response is not None
        self.assertEqual(exchange.response.code, 400)

    def test_100_continue(self) -> None:
        """An informational answer is not the answer."""
        connection = self.client.connect()
        headers = {b"Expect": b"100-continue", b"Content-Length": b"2"}
        exchange = connection.request(b"POST", b"/", headers)
        self.assertIsNone(exchange.response)
        connection.send(b"it")
        self.assertEqual(body_of(exchange), b"POST / it")

    def test_chunks(self) -> None:
        """A chunked answer is there as far as it has come."""
        requests: list[Request] = []

        def begin(request: Request) -> int:
            requests.append(request)
            request.write(b"one ")
            return NOT_DONE_YET

        exchange = Client(Leaf(begin)).get()
        assert exchange.response is not None
        self.assertEqual((exchange.response.body, exchange.response.is_complete), (b"one ", False))
        requests[0].write(b"two")
        requests[0].finish()
        self.assertEqual(body_of(exchange), b"one two")

    def test_pipelined(self) -> None:
        """What is sent before the answer to the first is answered behind it."""
        clock = Clock()
        connection = Client(Leaf(Slow(clock)), clock).connect()
        first, second = connection.get(b"/1"), connection.get(b"/2")
        first.advance(2)
        self.assertEqual(body_of(first), b"late")
        self.assertIsNone(second.response)
        second.advance(2)
        self.assertEqual(body_of(second), b"late")

    def test_a_connection_each(self) -> None:
        """Requests of the client itself have connections of their own."""
        client = Client(Leaf(waiting))
        first, second = client.get(), client.get()
        first.disconnect()
        self.assertTrue(first.is_over)
        self.assertFalse(second.is_over)

    def test_answer_that_ends_with_the_connection(self) -> None:
        """Without a length, the body is complete when the server has closed."""
        connection = self.client.connect()
        exchange = connection.get(b"/x", {b"Connection": b"close"})
        self.assertFalse(connection.is_closed)
        exchange.advance(0)
        self.assertTrue(connection.is_closed)
        self.assertEqual(body_of(exchange), b"GET /x ")

    def test_body_without_length(self) -> None:
        """A body without a length lasts until the end of the connection."""
        for at_end in False, True:
            (response,) = parse(b"HTTP/1.0 200 OK\r\n\r\nhalf", [b"GET"], at_end)
            self.assertEqual((response.body, response.is_complete), (b"half", at_end))

    def test_answer_without_body(self) -> None:
        """A 204 is complete with its head."""

        def nothing(request: Request) -> bytes:
            request.setResponseCode(204)
            return b""

        self.assertEqual(body_of(Client(Leaf(nothing)).get()), b"")


class RootTests(SynchronousTestCase):
    """What a client is given."""

    def test_site(self) -> None:
        """A Site serves its own clock, and makes the requests with its own factory."""

        class Special(Request):
            """A request of the site's own class."""

        clock = Clock()
        site = Site(Leaf(echo), requestFactory=Special, reactor=clock)
        client = Client(site)
        self.assertIs(client.site, site)
        self.assertIs(client.clock, clock)
        exchange = client.get()
        self.assertIsInstance(exchange.request, Special)
        self.assertEqual(type(exchange.request).__qualname__, Special.__qualname__)
        self.assertIs(site.requestFactory, Special)

    def test_clock(self) -> None:
        """A given clock is that of the site."""
        clock = Clock()
        self.assertIs(Client(Leaf(echo), clock).site.reactor, clock)

    def test_other_reactor(self) -> None:
        """A Site on another reactor is refused, with what to do."""
        for site, clock in [
            (Site(Resource()), None),
            (Site(Resource(), reactor=Clock()), Clock()),
        ]:
            error = self.assertRaises(ValueError, Client, site, clock)
            self.assertIn("Site(resource, reactor=clock)", str(error))

    def test_no_resource(self) -> None:
        """Anything else is refused."""
        error = self.assertRaises(TypeError, Client, Resource)
        self.assertIn("a resource or a Site", str(error))


class OutcomeTests(SynchronousTestCase):
    """What is known of handlers under cancelweb, and of those that are not."""

    def setUp(self) -> None:
        """Make a clock."""
        self.clock = Clock()

    def get(self, handler: Handler) -> Exchange:
        """Ask."""
        return Client(Leaf(handler), self.clock).get()

    def test_stopped(self) -> None:
        """A handler that was stopped has an outcome that says so."""
        exchange = self.get(Slow(self.clock))
        self.assertIsNone(exchange.outcome)
        exchange.disconnect()
        assert exchange.outcome is not None
        self.assertIsInstance(exchange.outcome.cause, Disconnected)
        self.assertIs(exchange.outcome.ended, Ended.STOPPED)

    def test_completed(self) -> None:
        """One that has completed has one, too; even if nothing was to be waited for."""
        handlers: list[Any] = [Slow(self.clock), cancel_on_disconnect(echo)]
        for handler, seconds in zip(handlers, (2, 0), strict=True):
            exchange = self.get(handler)
            exchange.advance(seconds)
            assert exchange.outcome is not None
            self.assertIs(exchange.outcome.ended, Ended.COMPLETED)

    def test_nested_doors(self) -> None:
        """A decorated handler inside a wrapper has one outcome."""
        exchange = Client(CancellingResource(Leaf(Slow(self.clock))), self.clock).get()
        exchange.disconnect()
        assert exchange.outcome is not None and exchange.served is not None
        self.assertIs(exchange.outcome.ended, Ended.STOPPED)
        self.assertEqual(exchange.served.exits, 1)

    def test_own_observers_are_told(self) -> None:
        """Observers and hooks of the handler's own are told as ever."""
        told: list[Any] = []
        decorate = cancel_on_disconnect(observers=told.append, on_exit=told.append)
        exchange = self.get(decorate(waiting))
        exchange.disconnect()
        self.assertEqual(len(told), 2)
        self.assertEqual(told[1], exchange.outcome)

    def test_plain(self) -> None:
        """A handler that knows nothing of cancelweb has none, and all else works."""
        lost: list[Failure] = []

        def handle(request: Request) -> int:
            request.notifyFinish().addErrback(lost.append)
            return NOT_DONE_YET

        exchange = self.get(handle)
        exchange.disconnect(ConnectionLost())
        self.assertIsNone(exchange.outcome)
        self.assertIsInstance(lost[0].value, ConnectionLost)


class LeavingTests(SynchronousTestCase):
    """How a connection ends."""

    def test_told_why(self) -> None:
        """The server is told of an orderly end, unless another is given."""
        for reason, expected in [(None, ConnectionDone), (ConnectionLost(), ConnectionLost)]:
            exchange = Client(Leaf(cancel_on_disconnect(lambda request: Deferred()))).get()
            exchange.disconnect(reason)
            exchange.disconnect()
            assert exchange.outcome is not None
            cause = exchange.outcome.cause
            assert isinstance(cause, Disconnected) and cause.failure is not None
            self.assertIsInstance(cause.failure.value, expected)

    def test_reason_is_checked(self) -> None:
        """What is no exception is refused."""
        exchange = Client(Leaf(waiting)).get()
        error = self.assertRaises(TypeError, exchange.disconnect, ConnectionLost)
        self.assertIn("must be an exception", str(error))

    def test_abort(self) -> None:
        """A connection that the server aborts is closed a turn later."""

        def begin(request: Request) -> Deferred[bytes]:
            request.write(b"some")
            return Deferred()

        connection = Client(Leaf(cancel_on_disconnect(timeout=3)(begin))).connect()
        exchange = connection.get()
        exchange.advance(2)
        self.assertFalse(connection.is_aborted)
        exchange.advance(1)
        self.assertTrue(connection.is_aborted)
        exchange.advance(0)
        self.assertTrue(connection.is_closed)
        assert exchange.response is not None
        self.assertFalse(exchange.response.is_complete)

    def test_pipelined_bytes_hide_it(self) -> None:
        """While more than 16 KiB wait behind a request, its client's leaving is not seen."""
        connection = Client(Leaf(cancel_on_disconnect(lambda request: Deferred()))).connect()
        exchange = connection.get()
        connection.send(b"GET / HTTP/1.1\r\nX: " + b"x" * 20000)
        connection.disconnect()
        exchange.advance(0)
        self.assertFalse(connection.is_closed)
        assert exchange.request is not None
        exchange.request.write(b"some")
        exchange.advance(0)
        self.assertTrue(connection.is_closed)


class Source:
    """A push producer that notes what it is told."""

    def __init__(self, request: Request) -> None:
        self.told: list[str] = []
        self.request = request
        request.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """Note."""
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """Note."""
        self.told.append("resume")

    def stopProducing(self) -> None:
        """Note."""
        self.told.append("stop")


class FlowTests(SynchronousTestCase):
    """Back-pressure."""

    def setUp(self) -> None:
        """Ask for what a producer makes."""
        self.sources: list[Source] = []

        def produce(request: Request) -> int:
            self.sources.append(Source(request))
            return NOT_DONE_YET

        self.connection = Client(Leaf(produce)).connect()
        self.exchange = self.connection.get()
        self.source = self.sources[0]

    def test_full_buffer_pauses(self) -> None:
        """A client that does not read pauses the producer, once the buffer is full."""
        self.connection.pause()
        self.source.request.write(b"x" * BUFFER_SIZE)
        self.source.request.write(b"x" * BUFFER_SIZE)
        self.assertEqual(self.source.told, ["pause"])
        self.assertIsNone(self.exchange.response)
        self.connection.resume()
        self.exchange.advance(0)
        self.assertEqual(self.source.told, ["pause", "resume"])
        assert self.exchange.response is not None
        self.assertEqual(len(self.exchange.response.body), 2 * BUFFER_SIZE)

    def test_leaving_stops(self) -> None:
        """A client that leaves stops the producer."""
        self.exchange.disconnect()
        self.assertEqual(self.source.told, ["stop"])

    def test_closing_waits_for_reader(self) -> None:
        """A server that closes the connection does so when all has been read."""
        connection = self.exchange.client.connect()
        exchange = connection.get(b"/", {b"Connection": b"close"})
        connection.pause()
        request = self.sources[1].request
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
        """A file is served, one read a turn of the clock."""
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
        """A client that leaves closes the file; what comes later does nothing."""
        assert self.exchange.request is not None
        producer: Any = self.exchange.request.producer
        self.exchange.disconnect()
        self.assertIsNone(producer._producer.request)
        for late in producer.stopProducing, producer.pauseProducing, producer.resumeProducing:
            late()

    def test_failing(self) -> None:
        """A pull producer that fails is logged, and let go of."""

        class Failing:
            def resumeProducing(self) -> None:
                raise ValueError("no more")

        def produce(request: Request) -> int:
            request.registerProducer(Failing(), False)
            return NOT_DONE_YET

        exchange = Client(Leaf(produce)).get()
        exchange.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        assert exchange.request is not None
        self.assertIsNone(exchange.request.producer)
