"""The ways in which a sweep's client leaves: by a reset, and in the middle of its body."""

from typing import Any

from twisted.internet.task import Clock
from twisted.web.server import Request, Site

from cancelweb.testing import Client, Exchange, sweep

from .._pages import Page
from ._sweeps import SweepTestCase, plain, resource, two_waits


def stream(client: Client) -> Any:
    """Ask over HTTP/2."""
    return client.connect_http2().get()


def reset(exchange: Any) -> None:
    """Leave the stream, and keep the connection."""
    exchange.reset()


def upload(client: Client) -> Exchange:
    """Ask with a body that comes in two halves, a second apart."""
    connection = client.connect()
    exchange = connection.request(b"POST", b"/", {b"Content-Length": b"8"}, b"half")
    connection.send(b"half", delay=1)
    return exchange


class ResetTests(SweepTestCase):
    """Sweeps whose client resets its stream of HTTP/2."""

    def test_each_point(self) -> None:
        """A sweep resets the stream wherever the handler waits, and keeps the connection open."""
        resets: list[bool] = []

        def leave(exchange: Any) -> None:
            exchange.reset()
            resets.append(exchange.connection.is_closed)

        report = sweep(resource(two_waits), stream, leave=leave, forced=False, beside=False)
        lines = {line.number for point in report.points for line in point.lines}
        self.assertEqual(len(lines), 2)
        self.assertEqual(resets, [False] * len(report.points))

    def test_what_runs_on(self) -> None:
        """A plain handler whose timer outlives the reset of its stream is reported."""
        (finding, *_) = self.findings(
            plain(lambda request, clock: late(request, clock) and 1), request=stream, leave=reset
        )
        self.assertTrue(finding.startswith("left behind: "), finding)


def late(request: Request, clock: Clock) -> Any:
    """Answer later, even if the client has left."""
    return clock.callLater(5, request.write, b"late")


def clock_of(request: Any) -> Clock:
    """The clock of a request, which has no site yet."""
    clock: Clock = request.channel.site.reactor
    return clock


class BodyTests(SweepTestCase):
    """Sweeps whose client leaves while it sends a body."""

    def test_is_a_point(self) -> None:
        """A sweep leaves before the second half of the body, and then where the handler waits."""
        report = sweep(resource(two_waits), upload, forced=False, beside=False)
        self.assertEqual([len(each.lines) for each in report.points], [0, 1, 1])

    def test_beside_another(self) -> None:
        """A second client that also sends its body in halves gets its answer."""
        report = sweep(resource(two_waits), upload)
        self.assertIn(True, [each.is_beside for each in report.points])

    def test_what_is_left(self) -> None:
        """What a request begins for a body that never comes is reported as left behind."""

        begun: list[Any] = []

        class Early(Request):
            def gotLength(self, length: int | None) -> None:
                begun.append(clock_of(self).callLater(9, begun.clear))
                super().gotLength(length)

            def process(self) -> None:
                begun.pop().cancel()
                super().process()

        def make(clock: Clock) -> Any:
            site: Any = Site(resource(two_waits)(clock), reactor=clock)
            site.requestFactory = Early
            return site

        (finding, *_) = self.findings(make, request=upload)
        self.assertTrue(finding.startswith("left behind: "), finding)

    def test_sends_no_more(self) -> None:
        """A client that has left does not send the rest of its body."""
        client = Client(Page(lambda _: b"page"))
        exchange = upload(client)
        exchange.disconnect()
        self.assertEqual(client.clock.getDelayedCalls(), [])
        self.assertIsNone(exchange.response)

    def test_sends_later(self) -> None:
        """A client that stays sends the rest of its body when it is due."""
        client = Client(Page(lambda request: request.content.read()))
        exchange = upload(client)
        exchange.advance(1)
        assert exchange.response is not None
        self.assertEqual(exchange.response.body, b"halfhalf")
        exchange.disconnect()
