"""The header in which a client tells how long it will wait.

What belongs here: the option `timeout_header` of entry points, in memory. What is passed on to
other servers is for `stoppable.test_upstream_time_left`.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, formatEvent
from twisted.web.server import Request

from cancelweb import (
    TimedOut,
    current_scope,
)

from .._logs import log_events, of_cancelweb
from .._visits import VisitTestCase, connect
from ..http._nests import NESTS, NestTestCase

HEADER = "X-Request-Timeout"
NAME = HEADER.encode()


class ClientsTimeTests(VisitTestCase):
    """Promise 14: a client can shorten the limits of the server, and never extend them."""

    def ask(self, *values: bytes, **options: Any) -> float | None:
        """The deadline of a request with these values of the header."""
        deadlines: list[float | None] = []

        def handler(_: Request) -> object:
            deadlines.append(current_scope().deadline)
            return Deferred()

        self.connection = self.serve(handler, timeout_header=HEADER, **options)
        value = (b"\r\n" + NAME + b": ").join(values)
        self.connection.get(headers={NAME: value} if values else {})
        return deadlines[0]

    def test_alone(self) -> None:
        """The header sets the limit where the server has none."""
        for value, seconds in ((b"2", 2), (b"0.5", 0.5), (b".5", 0.5), (b"3.", 3), (b" 7 ", 7)):
            self.assertEqual(self.ask(value), seconds)
            self.connection.disconnect()

    def test_cut(self) -> None:
        """The cause names the header, and the client is answered with `timeout_status`."""
        self.ask(b"2", timeout=30, timeout_status=504)
        self.clock.advance(2)
        self.assertEqual(self.connection.response.code, 504)
        self.assertEqual(self.outcome.cause, TimedOut(2, HEADER))
        self.assertEqual(str(self.outcome.cause), "timed out after 2 s (X-Request-Timeout)")

    def test_never_extends(self) -> None:
        """Of the client's time and the server's limits the soonest holds."""
        for value in (b"3000", b"9"):
            self.assertEqual(self.ask(value, timeout=5), 5)
            self.connection.disconnect()
            self.assertEqual(self.ask(value, total_timeout=5), 5)
            self.connection.disconnect()
        self.assertEqual(self.ask(b"3", timeout=5, total_timeout=7), 3)

    def test_whole_response(self) -> None:
        """The client's time counts for the whole response, also when that has begun."""

        def handler(request: Request) -> object:
            request.write(b".")
            return Deferred()

        connection = self.serve(handler, timeout_header=HEADER)
        connection.get(headers={NAME: b"2"})
        self.clock.advance(2)
        self.assertTrue(connection.is_aborted)

    def test_nonsense(self) -> None:
        """A header that makes no sense is ignored, and logged at debug level."""
        events = log_events(self)
        wrong = [b"soon", b"-1", b"0", b"0.0", b"nan", b"inf", b"-inf", b"1e3", b"1_0", b"", b"2s"]
        wrong += [b"0x10", b"\xd9\xa3", b"1 2", b"9" * 400, b"+1", b"."]
        for value in wrong:
            self.assertEqual(self.ask(value, timeout=5), 5, value)
            self.connection.disconnect()
        logged = [each for each in of_cancelweb(events) if each["log_level"] is LogLevel.debug]
        self.assertEqual(len(logged), len(wrong))
        self.assertEqual(
            formatEvent(logged[0]),
            "ignored X-Request-Timeout [b'soon']: it must be one number of seconds, more than 0",
        )

    def test_repeated(self) -> None:
        """A header that comes twice is ignored."""
        self.assertEqual(self.ask(b"2", b"3", timeout=5), 5)

    def test_absent(self) -> None:
        """A request without the header has the limits of the server, and nothing is logged."""
        events = log_events(self)
        self.assertEqual(self.ask(timeout=5), 5)
        self.assertEqual(of_cancelweb(events), [])

    def test_not_read(self) -> None:
        """Without the option `timeout_header` the header is not read."""
        connection = self.serve(lambda _: Deferred())
        connection.get(headers={NAME: b"2"})
        self.clock.advance(2)
        self.assertEqual(connection.received, b"")
        connection.disconnect()


class NestedTests(NestTestCase):
    """Promise 7: where entry points name one header each, both count."""

    def test_soonest(self) -> None:
        """The header of each entry point is read, and the soonest limit holds."""
        for nest in NESTS:
            connection = connect(
                nest(self.handler, {"timeout_header": "A"}, {"timeout_header": "B"})
            )
            connection.get(headers={b"A": b"3", b"B": b"2"})
            self.assertEqual(self.scopes.pop().deadline, 2)
            connection.disconnect()
