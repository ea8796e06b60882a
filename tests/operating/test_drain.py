"""A drain: which requests are turned away from then on, and how it is called for.

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

from .._pages import Page, waiting
from .._visits import connect, connect_http2, response_of
from ._drains import DrainTestCase


class NewRequestsTests(DrainTestCase):
    """Requests that come once a drain has begun."""

    def test_are_turned_away(self) -> None:
        """A request during a drain is answered 503 with Retry-After; its handler is not run."""
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
        """A drain closes the connection of a request that it turns away, and reads no more."""
        connection = self.connection(lambda _: b"page")
        self.drain()
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        self.clock.advance(0)
        self.assertTrue(connection.is_closed)
        self.assertEqual(connection.received.count(b"HTTP/1.1 503"), 1)

    def test_for_ever(self) -> None:
        """Requests that come after the end of a drain are turned away, too."""
        done = self.drain()
        self.advance(0)
        self.assertEqual(done, [None])
        connection = self.connection(lambda _: b"page")
        connection.get()
        self.assertEqual(connection.response.code, 503)

    def test_whatever_their_method(self) -> None:
        """A drain turns away a POST and a HEAD as well as a GET."""
        self.drain()
        for method in b"POST", b"HEAD":
            connection = self.connection(lambda _: b"page")
            connection.request(method=method)
            self.assertEqual(connection.response.code, 503)

    def test_over_http2(self) -> None:
        """A drain answers a stream with 503 and Retry-After, and its connection goes on."""
        connection = connect_http2(self.wrapped(lambda _: b"page"), self.clock)
        self.drain()
        for _ in range(2):
            response = response_of(connection.get())
            self.assertEqual(response.code, 503)
            self.assertEqual(response.header(b"retry-after"), b"10")
            self.assertIsNone(response.header(b"connection"))
            self.assertFalse(connection.is_closed)

    def test_at_an_entry_point_inside(self) -> None:
        """Where only a part of a site is drained, only the handlers of that part are not run."""
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
    """Calls of `Monitor.drain`."""

    def test_is_the_same_for_all(self) -> None:
        """A second call of `drain` changes nothing, and returns a Deferred of its own."""
        connection = self.connection(waiting)
        connection.get()
        first, second = self.drain(10), self.drain(99)
        self.advance(10)
        self.assertEqual((first, second, self.drain(0)), ([None], [None], [None]))

    def test_a_wait_can_be_given_up(self) -> None:
        """To cancel the Deferred of `drain` ends the wait, and not the drain."""
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
        """To drain for what is not a number of seconds is an error, and begins no drain."""
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
        """A monitor without a clock drains by the clock of the requests."""
        monitor = Monitor()
        connection = connect(CancellingResource(Page(waiting), monitor=monitor), self.clock)
        connection.get()
        done = self.monitor.drain(0), monitor.drain(10)
        self.advance(10)
        self.assertEqual(connection.response.code, 503)
        for each in done:
            self.successResultOf(each)

    def test_a_wrong_clock(self) -> None:
        """A monitor with a clock that is none is a TypeError at once."""
        wrong: Any = 5
        with self.assertRaisesRegex(TypeError, "^clock must provide IReactorTime"):
            Monitor(wrong)
