"""The public client in memory: what it sends, and what comes back.

How the client leaves is in `test_client_leaving`, how fast it reads in `test_client_flow`.
"""

from typing import Any

from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import Data

from cancelweb import cancel_on_disconnect
from cancelweb.testing import Client, Connection, Response
from cancelweb.testing._responses import parse

from .._pages import Page
from ._kit import Slow, body_of, echo, waiting


class RequestTests(SynchronousTestCase):
    """What a client sends, and what comes back."""

    def setUp(self) -> None:
        """Serve an echo."""
        self.client = Client(Page(echo))

    def test_get(self) -> None:
        """A GET has its path, query and headers; its answer has a code, headers and a body."""
        exchange = self.client.get(b"/a?b=c", {b"X-Mine": b"1"})
        self.assertEqual(body_of(exchange), b"GET /a?b=c ")
        assert exchange.response is not None and exchange.request is not None
        self.assertEqual(exchange.response.code, 200)
        self.assertEqual(exchange.response.headers.getRawHeaders(b"content-length"), [b"11"])
        self.assertEqual(exchange.request.getHeader(b"x-mine"), b"1")
        self.assertEqual(str(exchange), "GET /a?b=c")

    def test_post(self) -> None:
        """A POST arrives with its body."""
        self.assertEqual(body_of(self.client.post(b"/", b"data")), b"POST / data")

    def test_strings(self) -> None:
        """A path, method, header or body that is not bytes is refused, and the error names it."""
        client: Any = self.client
        requests: list[tuple[Any, ...]] = [
            ("path", b"GET", "/", {}, b""),
            ("method", "GET", b"/", {}, b""),
            ("headers", b"GET", b"/", {b"X-Mine": "1"}, b""),
            ("body", b"POST", b"/", {}, "data"),
        ]
        error = self.assertRaises(TypeError, self.client.connect().request, b"GET", version=1.0)
        self.assertIn("version must be bytes, not 1.0", str(error))
        for name, *request in requests:
            error = self.assertRaises(TypeError, client.request, *request)
            self.assertIn(f"{name} must be bytes, not '", str(error))

    def test_any_method(self) -> None:
        """A request can have any method, with or without a body."""
        self.assertEqual(body_of(self.client.request(b"PUT", b"/", body=b"it")), b"PUT / it")
        self.assertEqual(body_of(self.client.request(b"HEAD", b"/")), b"")

    def test_head_that_twisted_fakes(self) -> None:
        """An answer to HEAD has a content-length and no body."""
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
        """A request that Twisted cannot read is answered 400 by Twisted, and has no outcome."""
        connection = self.client.connect()
        connection.send(b"nonsense\r\n\r\n")
        exchange = connection.get()
        self.assertIsNone(exchange.outcome)
        assert exchange.response is not None
        self.assertEqual(exchange.response.code, 400)

    def test_100_continue(self) -> None:
        """An informational response is not taken for the answer."""
        connection = self.client.connect()
        headers = {b"Expect": b"100-continue", b"Content-Length": b"2"}
        exchange = connection.request(b"POST", b"/", headers)
        self.assertIsNone(exchange.response)
        connection.send(b"it")
        self.assertEqual(body_of(exchange), b"POST / it")

    def test_chunks(self) -> None:
        """A chunked response can be read as far as it has come."""
        requests: list[Request] = []

        def begin(request: Request) -> int:
            requests.append(request)
            request.write(b"one ")
            return NOT_DONE_YET

        exchange = Client(Page(begin)).get()
        assert exchange.response is not None
        self.assertEqual((exchange.response.body, exchange.response.is_complete), (b"one ", False))
        requests[0].write(b"two")
        requests[0].finish()
        self.assertEqual(body_of(exchange), b"one two")

    def test_wait_after_wait(self) -> None:
        """A wait that follows another ends when it is due, as with a reactor."""
        clock = Clock()

        async def handler(request: Request) -> bytes:
            await deferLater(clock, 1)
            await deferLater(clock, 0.7)
            return b"%g" % clock.seconds()

        exchange = Client(Page(cancel_on_disconnect(handler)), clock).get()
        exchange.advance(1.7)
        self.assertEqual(body_of(exchange), b"1.7")
        exchange.advance(1)
        self.assertEqual(clock.seconds(), 2.7)

    def test_what_a_call_raises(self) -> None:
        """`Exchange.advance` raises what a delayed call raises."""
        client = Client(Page(echo))
        client.clock.callLater(1, int, "no number")
        exchange = client.get()
        self.assertRaises(ValueError, exchange.advance, 2)

    def test_pipelined(self) -> None:
        """A request that is sent before the first is answered is answered after the first."""
        clock = Clock()
        connection = Client(Page(Slow(clock)), clock).connect()
        first, second = connection.get(b"/1"), connection.get(b"/2")
        first.advance(2)
        self.assertEqual(body_of(first), b"late")
        self.assertIsNone(second.response)
        second.advance(2)
        self.assertEqual(body_of(second), b"late")

    def test_a_connection_each(self) -> None:
        """Requests that are made on the client itself have a connection each."""
        client = Client(Page(waiting))
        first, second = client.get(), client.get()
        first.disconnect()
        self.assertTrue(first.is_over)
        self.assertFalse(second.is_over)

    def test_connection_that_is_closed_behind_the_answer(self) -> None:
        """A request with "Connection: close" is answered, and its connection is closed."""
        connection = self.client.connect()
        exchange = connection.get(b"/x", {b"Connection": b"close"})
        self.assertFalse(connection.is_closed)
        exchange.advance(0)
        self.assertTrue(connection.is_closed)
        self.assertEqual(body_of(exchange), b"GET /x ")

    def test_in_one_read(self) -> None:
        """What is sent together arrives together, also from a client that then disconnects."""
        asked: list[bytes] = []

        def handler(request: Request) -> int:
            asked.append(request.path)
            request.notifyFinish().addErrback(lambda _: asked.append(b"lost"))
            return NOT_DONE_YET

        connection = Client(Page(handler)).connect()
        with connection.in_one_read():
            with connection.in_one_read():
                connection.get(b"/1")
            connection.send(b"GET /2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual(asked, [])
            connection.disconnect()
        self.assertEqual(asked, [b"/1", b"lost"])

    def test_more_than_was_asked_for(self) -> None:
        """Bytes behind the last answer are told, unless the client may have asked for them."""

        def handler(request: Request) -> bytes:
            transport: Any = request.channel
            transport.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
            return b""

        connection = Client(Page(handler)).connect()
        exchange = connection.request(b"HEAD")
        error = self.assertRaises(AssertionError, lambda: exchange.response)
        self.assertIn("more than was asked for: b'HTTP/1.1 200 OK", str(error))
        connection.send(b"GET / HTTP/1.1\r\n")
        self.assertIsNotNone(exchange.response)

    def test_body_that_ends_with_the_connection(self) -> None:
        """A body without a length is whole when all was read of a connection that was closed."""
        requests: list[Request] = []

        def begin(request: Request) -> int:
            requests.append(request)
            request.write(b"abc")
            return NOT_DONE_YET

        for is_aborted in False, True:
            connection = Client(Page(begin)).connect()
            exchange = connection.request(b"GET", version=b"HTTP/1.0")
            connection.pause(full=True)
            requests[-1].write(b"def")
            if is_aborted:
                transport: Any = requests[-1].transport
                transport.abortConnection()
            else:
                requests[-1].finish()
            self.assertFalse(connection.response.is_complete)
            connection.resume()
            exchange.advance(0)
            self.assertIs(connection.response.is_complete, not is_aborted)

    def test_length_that_is_there_twice(self) -> None:
        """An answer with two lengths is read by the first; its header is told when it is asked."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nit"
        [response], rest = parse(head, [b"GET"], False)
        self.assertEqual((response.body, response.is_complete, rest), (b"it", True, b""))
        self.assertRaises(AssertionError, response.header, b"content-length")

    def test_version(self) -> None:
        """A request can be one of HTTP/1.0, whose connection is closed after the answer."""
        connection = self.client.connect()
        exchange = connection.request(b"GET", b"/old", version=b"HTTP/1.0")
        exchange.advance(0)
        self.assertEqual(body_of(exchange), b"GET /old ")
        self.assertEqual(connection.response.version, b"HTTP/1.0")
        self.assertTrue(connection.received.startswith(b"HTTP/1.0 200 OK\r\n"))
        self.assertTrue(connection.is_closed)

    def test_the_only_answer(self) -> None:
        """A connection has its only answer; none, a second, or bytes behind it are errors."""
        connection = self.client.connect()
        self.assertIn("expected one answer, found []", self.refused(connection))
        connection.get(b"/1")
        self.assertEqual(connection.response.body, b"GET /1 ")
        connection.send(b"GET /2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn("followed by b'HTTP/1.1 200 OK", self.refused(connection))
        connection = self.client.connect()
        connection.get(b"/1")
        connection.get(b"/2")
        self.assertIn("b'GET /2 '", self.refused(connection))

    def refused(self, connection: Connection) -> str:
        """The error of a connection that does not have exactly one answer."""
        return str(self.assertRaises(AssertionError, lambda: connection.response))

    def test_header(self) -> None:
        """A header has its value, a missing one is None, and a header sent twice is an error."""
        response = Response(200)
        self.assertIsNone(response.header(b"x-mine"))
        response.headers.addRawHeader(b"X-Mine", b"1")
        self.assertEqual(response.header(b"x-mine"), b"1")
        response.headers.addRawHeader(b"X-Mine", b"2")
        error = self.assertRaises(AssertionError, response.header, b"x-mine")
        self.assertEqual(str(error), "header b'x-mine' occurs 2 times: [b'1', b'2']")

    def test_equal_answers(self) -> None:
        """Two answers are equal if they differ in nothing but their date."""
        first, second, third = (Response(200) for _ in range(3))
        first.headers.addRawHeader(b"date", b"Sun, 06 Nov 1994 08:49:37 GMT")
        second.headers.addRawHeader(b"date", b"Sun, 06 Nov 1994 08:49:38 GMT")
        third.headers.addRawHeader(b"etag", b"1")
        self.assertEqual(first, second)
        self.assertNotEqual(first, third)

    def test_body_without_length(self) -> None:
        """A body without a length is complete at the end of the connection, and not before."""
        for at_end in False, True:
            [response], _ = parse(b"HTTP/1.0 200 OK\r\n\r\nhalf", [b"GET"], at_end)
            self.assertEqual((response.body, response.is_complete), (b"half", at_end))

    def test_answer_without_body(self) -> None:
        """A 204 response is complete without a body."""

        def nothing(request: Request) -> bytes:
            request.setResponseCode(204)
            return b""

        self.assertEqual(body_of(Client(Page(nothing)).get()), b"")


class RootTests(SynchronousTestCase):
    """The resource, Site or clock that a client is given."""

    def test_site(self) -> None:
        """A client of a Site uses the clock and the request factory of that Site."""

        class Special(Request):
            """A request of the site's own class."""

        clock = Clock()
        site = Site(Page(echo), requestFactory=Special, reactor=clock)
        client = Client(site)
        self.assertIs(client.site, site)
        self.assertIs(client.clock, clock)
        exchange = client.get()
        self.assertIsInstance(exchange.request, Special)
        self.assertEqual(type(exchange.request).__qualname__, Special.__qualname__)
        self.assertIs(site.requestFactory, Special)

    def test_clock(self) -> None:
        """A clock that the client is given becomes the clock of its Site."""
        clock = Clock()
        self.assertIs(Client(Page(echo), clock).site.reactor, clock)

    def test_other_reactor(self) -> None:
        """A Site on another reactor is refused, and the error shows how to make one."""
        for site, clock in [
            (Site(Resource()), None),
            (Site(Resource(), reactor=Clock()), Clock()),
        ]:
            error = self.assertRaises(ValueError, Client, site, clock)
            self.assertIn("Site(resource, reactor=clock)", str(error))

    def test_no_resource(self) -> None:
        """A root that is neither a resource nor a Site is refused."""
        error = self.assertRaises(TypeError, Client, Resource)
        self.assertIn("a resource or a Site", str(error))
