"""A drain: who is turned away from then on, and how it is called for.

What belongs here: drains of requests in memory. What does not: those of real connections
(`real.system.test_drain`).
"""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.web.resource import Resource
from twisted.web.server import Request

from cancelweb import (
    CancellingResource,
    Draining,
    Ended,
)
from cancelweb.monitor import Monitor

from .._http2 import HTTP2Client
from .._inmemory import H2Connection
from .._pages import Page, waiting
from .._visits import connect
from ._drains import DrainTestCase


class NewRequestsTests(DrainTestCase):
    """Requests that come once it has begun."""

    def test_are_turned_away(self) -> None:
        """They are answered 503, told when to come again, and their handler is not run."""
        ran: list[Request] = []

        def handler(request: Request) -> bytes:
            ran.append(request)
            return b"page"

        connection = self.connection(handler)
        connection.get()
        self.drain()
        self.clock.advance(0.5)
        connection.get()
        served, refused = connection.responses
        self.assertEqual((len(ran), served.code, refused.code), (1, 200, 503))
        self.assertEqual(refused.header(b"retry-after"), b"10")
        self.assertEqual(refused.header(b"connection"), b"close")
        self.assertEqual(self.outcomes[-1].cause, Draining(10))
        self.assertEqual(self.outcomes[-1].ended, Ended.REFUSED)
        self.assertEqual(self.monitor.totals[("Draining", "refused")], 1)

    def test_their_connection_is_closed(self) -> None:
        """The server closes it behind the answer, and handles nothing that was sent behind."""
        connection = self.connection(lambda _: b"page")
        self.drain()
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        self.clock.advance(0)
        self.assertTrue(connection.is_closed)
        self.assertEqual(connection.received.count(b"HTTP/1.1 503"), 1)

    def test_for_ever(self) -> None:
        """They are when the drain is over, too."""
        done = self.drain()
        self.advance(0)
        self.assertEqual(done, [None])
        connection = self.connection(lambda _: b"page")
        connection.get()
        self.assertEqual(connection.response.code, 503)

    def test_whatever_their_method(self) -> None:
        """A POST is no exception, nor is a HEAD, which gets no body."""
        self.drain()
        for method in b"POST", b"HEAD":
            connection = self.connection(lambda _: b"page")
            connection.request(method=method)
            self.assertEqual(connection.response.code, 503)

    def test_over_http2(self) -> None:
        """A stream is answered 503 with Retry-After, and its connection goes on."""
        protocol = HTTP2Client()
        site = self.connection(lambda _: b"page").client.site
        connection = H2Connection(site, self.clock, protocol)
        self.drain()
        for _ in range(2):
            stream = protocol.get("/")
            connection.pump()
            self.assertEqual(stream.headers[b":status"], b"503")
            self.assertEqual(stream.headers[b"retry-after"], b"10")
            self.assertNotIn(b"connection", stream.headers)

    def test_at_a_entry_point_inside(self) -> None:
        """Where only a part of a site is drained, its handlers are not run."""
        inner: Any = CancellingResource(Page(self.fail), monitor=self.monitor)
        root = Resource()
        root.putChild(b"part", inner)
        root.putChild(b"rest", Page(lambda _: b"page"))
        connection = connect(CancellingResource(root, monitor=Monitor()), self.clock)
        self.drain()
        connection.get(path=b"/rest")
        connection.get(path=b"/part")
        self.clock.advance(0)
        self.assertEqual([each.code for each in connection.responses], [200, 503])

    def test_one_that_was_accepted_before(self) -> None:
        """A request that meets a second entry point of a draining monitor is not new."""
        rest: Deferred[None] = Deferred()
        page = CancellingResource(Page(lambda _: b"page"), monitor=self.monitor)

        async def handler(request: Request) -> object:
            await rest
            return page.render(request)

        connection = self.connection(handler)
        connection.get()
        self.drain()
        rest.callback(None)
        self.assertEqual((connection.response.code, connection.response.body), (200, b"page"))


class CallTests(DrainTestCase):
    """The call itself."""

    def test_is_the_same_for_all(self) -> None:
        """Who calls it again has a Deferred of his own, and changes nothing."""
        connection = self.connection(waiting)
        connection.get()
        first, second = self.drain(10), self.drain(99)
        self.advance(10)
        self.assertEqual((first, second, self.drain(0)), ([None], [None], [None]))

    def test_a_wait_can_be_given_up(self) -> None:
        """To cancel its Deferred stops the wait, and not the drain."""
        connection = self.connection(waiting)
        connection.get()
        given_up, done = self.monitor.drain(10), self.drain()
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        self.advance(10)
        self.assertEqual((done, connection.response.code), ([None], 503))

    def test_is_told(self) -> None:
        """A monitor tells whether it drains."""
        self.assertFalse(self.monitor.is_draining)
        self.drain()
        self.assertTrue(self.monitor.is_draining)

    def test_wrong_seconds(self) -> None:
        """What is no number of seconds is an error, and begins nothing."""
        wrong: list[tuple[Any, type[Exception]]] = [
            ("10", TypeError),
            (True, TypeError),
            (None, TypeError),
            (-1, ValueError),
            (float("inf"), ValueError),
            (float("nan"), ValueError),
        ]
        for seconds, error in wrong:
            with self.assertRaisesRegex(error, "^seconds must be"):
                self.monitor.drain(seconds)
        self.assertFalse(self.monitor.is_draining)

    def test_takes_the_time_of_the_site(self) -> None:
        """Where the monitor was given no clock, it is that of the requests."""
        monitor = Monitor()
        connection = connect(CancellingResource(Page(waiting), monitor=monitor), self.clock)
        connection.get()
        done = self.monitor.drain(0), monitor.drain(10)
        self.advance(10)
        self.assertEqual(connection.response.code, 503)
        for each in done:
            self.successResultOf(each)

    def test_a_wrong_clock(self) -> None:
        """A clock that is none is a TypeError at once."""
        wrong: Any = 5
        with self.assertRaisesRegex(TypeError, "^clock must provide IReactorTime"):
            Monitor(wrong)
