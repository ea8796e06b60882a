"""The delay before a drain, in which a server is a lame duck: it serves, but is not ready.

What belongs here: delays and the closing of ports in memory. What does not: probes
(`test_health`), and processes (`real.system.test_twist_drain`).
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb.monitor import Monitor
from cancelweb.testing import Connection

from .._logs import log_events, of_cancelweb
from .._pages import returning, waiting
from .._visits import connect_http2, response_of
from ._drains import DrainTestCase


class DelayTests(DrainTestCase):
    """A drain with a delay."""

    def test_is_served(self) -> None:
        """In the delay, a new request is answered as before, as the last of its connection."""
        before, after = (self.connection(returning(b"page")) for _ in range(2))
        self.monitor.drain(10, delay=5)
        self.advance(4.9)
        before.get()
        self.assert_last(before)
        self.assertFalse(after.is_closed)
        self.assertEqual((self.monitor.is_ready, self.monitor.is_draining), (False, False))
        self.advance(0.1)
        self.assertEqual((self.monitor.is_ready, self.monitor.is_draining), (False, True))
        after.get()
        self.assertEqual(after.response.code, 503)
        self.assertEqual(after.response.header(b"retry-after"), b"10")

    def assert_last(self, connection: Connection) -> None:
        """The page was sent, and its connection is closed."""
        self.advance(0)
        self.assertEqual((connection.response.code, connection.response.body), (200, b"page"))
        self.assertEqual(connection.response.header(b"connection"), b"close")
        self.assertTrue(connection.is_closed)

    def test_requests_before_it(self) -> None:
        """A request that is in flight when the delay begins is the last of its connection."""
        page: Deferred[bytes] = Deferred()
        connection = self.connection(lambda _: page)
        connection.get()
        self.monitor.drain(10, delay=5)
        self.assertTrue(self.monitor.scopes)
        page.callback(b"page")
        self.assert_last(connection)

    def test_responses_that_have_begun(self) -> None:
        """A response whose headers are sent before the delay leaves the close to the next one."""
        requests: Any = []
        connection = self.connection(lambda request: requests.append(request) or waiting(request))
        connection.get()
        requests[0].write(b"a part")
        self.monitor.drain(10, delay=5)
        requests[0].finish()
        self.advance(0)
        self.assertIsNone(connection.responses[0].header(b"connection"))
        self.assertFalse(connection.is_closed)
        connection.get()
        requests[1].finish()
        self.advance(0)
        self.assertEqual(connection.responses[1].header(b"connection"), b"close")
        self.assertTrue(connection.is_closed)

    def test_pipelined_requests(self) -> None:
        """A request that is pipelined behind the last one of its connection is not run."""
        connection = self.connection(returning(b"page"))
        self.monitor.drain(10, delay=5)
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        self.advance(0)
        self.assertTrue(connection.is_closed)
        self.assertEqual(connection.received.count(b"HTTP/1.1 200 "), 1)
        self.assertEqual(self.monitor.opened, 1)

    def test_sites_that_share_a_monitor(self) -> None:
        """In the delay of a monitor, connections to each of its sites are closed."""
        connections = [self.connection(returning(b"page")) for _ in range(2)]
        self.monitor.drain(10, delay=5)
        for connection in connections:
            connection.get()
            self.assert_last(connection)

    def test_time_limits(self) -> None:
        """In the delay, the error page of a time limit closes its connection, too."""
        connection = self.connection(waiting, timeout=2)
        self.monitor.drain(10, delay=5)
        connection.get()
        self.advance(2)
        self.assertEqual(connection.response.code, 503)
        self.assertEqual(connection.response.header(b"connection"), b"close")
        self.assertTrue(connection.is_closed)

    def test_later_calls(self) -> None:
        """A later call with a delay joins a drain without one, which serves no request more."""
        connection = self.connection(returning(b"page"))
        self.monitor.drain(10)
        self.monitor.drain(10, delay=5)
        connection.get()
        self.assertEqual(connection.response.code, 503)

    def test_dry_run(self) -> None:
        """In a dry run, the delay closes no connection."""
        connection = self.connection(returning(b"page"), dry_run=True)
        self.monitor.drain(10, delay=5)
        connection.get()
        self.advance(0)
        self.assertEqual(connection.response.code, 200)
        self.assertIsNone(connection.response.header(b"connection"))
        self.assertFalse(connection.is_closed)

    def test_over_http2(self) -> None:
        """Over HTTP/2, requests in the delay are answered as before, and their connection lasts."""
        connection = connect_http2(self.wrapped(returning(b"page")), self.clock)
        self.monitor.drain(10, delay=5)
        for _ in range(2):
            stream = connection.get()
            self.advance(0)
            response = response_of(stream)
            self.assertEqual((response.code, response.body), (200, b"page"))
            self.assertIsNone(response.header(b"connection"))
        self.assertFalse(connection.is_closed)

    def test_upgraded(self) -> None:
        """A connection that is upgraded in the delay, to WebSocket say, stays open."""

        def take_over(request: Any) -> int:
            request.channel.dataReceived = lambda data: None
            request.channel.connectionLost = lambda reason: None
            request.setResponseCode(101)
            request.setHeader(b"connection", b"Upgrade")
            request.write(b"")
            return NOT_DONE_YET

        connection = self.connection(take_over)
        self.monitor.drain(10, delay=5)
        connection.get()
        self.advance(0)
        self.assertEqual(connection.response.header(b"connection"), b"Upgrade")
        self.assertFalse(connection.is_closed)

    def test_request_that_cannot_be_told(self) -> None:
        """A request that raises when it is told is logged, and served all the same."""
        original = Request.setHeader

        def set_header(request: Request, name: bytes, value: bytes) -> None:
            if name == b"connection":
                raise ZeroDivisionError
            original(request, name, value)

        self.patch(Request, "setHeader", set_header)
        connection = self.connection(returning(b"page"))
        self.monitor.drain(10, delay=5)
        connection.get()
        self.assertEqual(connection.response.code, 200)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_requests_have_the_drain_after_it(self) -> None:
        """A request that came in the delay has all the seconds of the drain."""
        done: list[None] = []
        self.monitor.drain(10, delay=5).addCallback(done.append)
        connection = self.connection(waiting)
        connection.get()
        self.advance(5, 9.9)
        self.assertEqual(connection.responses, [])
        self.advance(0.1)
        self.assertEqual(connection.response.code, 503)
        self.advance(1)
        self.assertEqual(done, [None])

    def test_lasts_even_if_there_is_nothing_to_do(self) -> None:
        """A delay is not cut short if no request is in flight: new ones may still come."""
        done: list[None] = []
        self.monitor.drain(10, delay=5).addCallback(done.append)
        self.advance(4.9)
        self.assertEqual(done, [])
        self.advance(0.1)
        self.assertEqual(done, [None])

    def test_wrong_arguments(self) -> None:
        """Wrong numbers of seconds, and a ``close`` that cannot be called, are refused at once."""
        wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
            ({"delay": -1}, ValueError, "delay must be 0 or more"),
            ({"delay": None}, TypeError, "delay must be a number"),
            ({"exit_after": float("inf")}, ValueError, "exit_after must be 0 or more and finite"),
            ({"exit_after": "5"}, TypeError, "exit_after must be a number"),
            ({"close": Deferred()}, TypeError, "close must be a function"),
        ]
        for arguments, kind, message in wrong:
            with self.assertRaisesRegex(kind, message):
                self.monitor.drain(1, **arguments)
        self.assertTrue(self.monitor.is_ready)


class CloseTests(DrainTestCase):
    """A drain that closes ports between its delay and its beginning."""

    def drained(self, close: Any) -> list[None]:
        """Begin the drain; returns a list that has one item when it is over."""
        done: list[None] = []
        self.monitor.drain(10, delay=1, close=close).addCallback(done.append)
        return done

    def test_is_waited_for(self) -> None:
        """Requests are served until the ports have closed, and turned away then."""
        closed: Deferred[None] = Deferred()
        calls: list[bool] = []

        def close() -> Deferred[None]:
            calls.append(self.monitor.is_draining)
            return closed

        done = self.drained(close)
        self.assertEqual(calls, [])
        self.advance(1)
        self.assertEqual((calls, self.monitor.is_draining), ([False], False))
        closed.callback(None)
        self.advance(0)
        self.assertTrue(self.monitor.is_draining)
        self.advance(0)
        self.assertEqual(done, [None])

    def test_has_five_seconds(self) -> None:
        """Ports that do not close in five seconds are logged, and the drain goes on."""
        done = self.drained(Deferred)
        self.advance(1, 4.9)
        self.assertFalse(self.monitor.is_draining)
        events = log_events(self)
        self.advance(0.1, 0)
        self.assertEqual(done, [None])
        (event,) = of_cancelweb(events)
        self.assertEqual(event["log_format"], "the ports did not close")
        self.flushLoggedErrors()

    def test_fails(self) -> None:
        """A function that raises is logged, and the drain goes on."""

        def fail() -> None:
            raise RuntimeError("no port")

        done = self.drained(fail)
        self.advance(1, 0)
        self.assertEqual(done, [None])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class ReadyTests(DrainTestCase):
    """Readiness of a monitor."""

    def test_until_the_drain(self) -> None:
        """A monitor is ready until its drain is called for, even if that is over."""
        self.assertTrue(Monitor().is_ready)
        self.drain(0)
        self.assertFalse(self.monitor.is_ready)
        self.advance(0)
        self.assertFalse(self.monitor.is_ready)
