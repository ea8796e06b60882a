"""`Cause.headers`: what an answer says besides, whatever makes its page.

What belongs here: the headers, and what is said of wrong ones. What does not: the pages.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent
from twisted.web.server import Request

from cancelweb import Cause, Draining, TimedOut, current_scope
from cancelweb.testing import Response

from .._logs import log_events, of_cancelweb
from .._visits import connect, response_of
from ._answers import AnswerTestCase
from ._multiplexed import HTTP2TestCase


class Later(Cause):
    """A cause with headers of its class."""

    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "7", "X-Why": "quota, used up"}


class Last(Cause):
    """A cause after whose answer the connection is closed."""

    headers = {"connection": "Close"}  # noqa: RUF012


@frozen
class Held(Cause):
    """A cause that is given its headers."""

    headers: Any = field(factory=dict)


@frozen
class Annotated(Cause):
    """A cause that must be given its headers."""

    headers: Mapping[str, str]


@frozen
class Counted(Cause):
    """A cause that computes its headers."""

    seconds: int

    @property
    def headers(self) -> Mapping[str, str]:
        """See `Cause`."""
        return {"Retry-After": str(10 // self.seconds)}


WRONG: list[tuple[Any, type[Exception], str]] = [
    (["Retry-After"], TypeError, "must be a mapping such as {'Retry-After': '5'}, not ['Retry-A"),
    (lambda self: {}, TypeError, "must be a mapping such as"),
    ({"Retry-After": 5}, TypeError, "must map str to str, not 'Retry-After' to 5"),
    ({b"Retry-After": "5"}, TypeError, "must map str to str, not b'Retry-After' to '5'"),
    ({"Retry After": "5"}, ValueError, "must be made of printable ASCII, not 'Retry After': '5'"),
    ({"": "5"}, ValueError, "must be made of printable ASCII"),
    ({"X-A": "5\r\nX-B: 6"}, ValueError, "must be made of printable ASCII"),
    ({"X-A": "caf\xe9"}, ValueError, "must be made of printable ASCII"),
    ({"content-length": "5"}, ValueError, "must not have content-length: what makes the body, er"),
    ({"Content-Type": "a/b"}, ValueError, "must not have Content-Type"),
    ({"Connection": "keep-alive"}, ValueError, "may set Connection to 'close' only, not to 'keep"),
]


class CauseHeadersTests(AnswerTestCase):
    """The answer has the headers of its cause."""

    def answer(self, cause: Cause, error_page: Any = None) -> Response:
        """The answer to a request that is cancelled for a cause."""

        def handler(request: Request) -> Deferred[bytes]:
            current_scope().cancel(cause)
            return Deferred()

        connection = connect(self.deadline(error_page, handler))
        connection.get()
        connection.client.clock.advance(0)
        connection.client.clock.advance(0)
        self.is_closed = connection.is_closed
        return connection.response

    def test_a_mapping_of_the_class(self) -> None:
        """Headers in a mapping of the class are sent with the default page and the site's own."""
        for error_page in (None, lambda request, cause: b"own"):
            response = self.answer(Later(), error_page)
            self.assertEqual(response.header(b"retry-after"), b"7")
            self.assertEqual(response.header(b"x-why"), b"quota, used up")
            self.assertFalse(self.is_closed)

    def test_a_property_or_a_field(self) -> None:
        """Headers that a property makes, or a field of attrs holds, are sent."""
        for cause in (Counted(2), Held({"Retry-After": "5"}), Annotated({"Retry-After": "5"})):
            self.assertEqual(self.answer(cause).header(b"retry-after"), b"5")

    def test_none(self) -> None:
        """A cause has no headers by default."""
        self.assertEqual([dict(each.headers) for each in (Cause(), TimedOut(1), Held())], [{}] * 3)

    def test_the_last_of_its_connection(self) -> None:
        """A cause with `Connection: close` closes the connection, as a drain does."""
        for cause in (Last(), Draining(3)):
            self.assertEqual(self.answer(cause).header(b"connection"), b"close")
            self.assertTrue(self.is_closed)
        self.assertEqual(dict(Draining(3).headers), {"Retry-After": "3", "Connection": "close"})

    def test_wrong_ones_of_a_class(self) -> None:
        """Wrong headers of a class are an error where the class is defined."""
        for wrong, error, text in WRONG:
            with self.assertRaises(error) as raised:
                type("Busy", (Cause,), {"headers": wrong})
            self.assertTrue(str(raised.exception).startswith(f"Busy.headers {text}"), wrong)

    def test_wrong_ones_of_an_instance(self) -> None:
        """Wrong headers of an instance are logged and left out; the client is answered."""
        causes = [Held(wrong) for wrong, _, _ in WRONG]
        for cause in [*causes, Counted(0)]:
            events = log_events(self)
            response = self.answer(cause)
            self.assertIsNone(response.header(b"retry-after"))
            self.assertIsNotNone(response.header(b"content-type"))
            [event] = of_cancelweb(events)
            self.assertRegex(
                str(formatEvent(event)), r"^the headers of .* are wrong and were left out$"
            )
            self.assertEqual(len(self.flushLoggedErrors()), 1)


class OverHTTP2Tests(HTTP2TestCase):
    """The headers of a cause over HTTP/2, which has no header for connections."""

    def test_each(self) -> None:
        """All headers of a cause but `Connection` are sent over HTTP/2."""
        for cause, name in [(Last(), b"connection"), (Later(), b"retry-after")]:

            def handler(request: Request, cause: Cause = cause) -> object:
                current_scope().cancel(cause)
                return self.work(request)

            self.connect(handler)
            stream = self.get()
            self.assertEqual(response_of(stream).code, 503)
            value = response_of(stream).header(name)
            self.assertEqual(value is not None, name == b"retry-after")
