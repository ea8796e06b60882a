"""Clients that leave with the whole response, before the handler has called ``finish``.

What belongs here: what counts as whole, and what follows, in memory. Real sockets are in
`test_whole_responses_real`.
"""

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import NO_CONTENT, NOT_MODIFIED
from twisted.web.resource import EncodingResourceWrapper
from twisted.web.server import NOT_DONE_YET, GzipEncoderFactory, Request, Site

from cancelweb import (
    CancellingResource,
    Disconnected,
    Ended,
    Outcome,
    Scope,
    Shared,
    access_log_499,
    current_scope,
)
from cancelweb.monitor import Monitor
from cancelweb.testing import Client, Exchange

from ._kit import Source
from ._scopes import Handler, Leaf
from ._streams import TURN, TurningClock

BODY = b"hello"


class WholeTestCase(SynchronousTestCase):
    """A wrapped page, whose handlers wait on a clock behind the last byte.

    Attributes:
        told: what the hooks and handlers note.
    """

    def setUp(self) -> None:
        """Note what is told."""
        self.clock = TurningClock()
        self.monitor = Monitor(self.clock)
        self.outcomes: list[Outcome] = []
        self.told: list[str] = []

    def client(self, handler: Handler, **options: Any) -> Client:
        """A client of the page."""
        options.setdefault("observers", self.outcomes.append)
        root = CancellingResource(
            Leaf(handler),
            monitor=self.monitor,
            on_cancel=lambda _: self.told.append("cancelled"),
            on_exit=lambda _: self.told.append("exit"),
            **options,
        )
        return Client(root, self.clock)

    def leave(self, handler: Handler, method: bytes = b"GET", **options: Any) -> Outcome:
        """Ask, leave with what has come, and let the handler end."""
        exchange = self.client(handler, **options).request(method, b"/")
        exchange.disconnect()
        return self.outcome()

    def outcome(self) -> Outcome:
        """The only outcome, once all has ended."""
        self.clock.pump([0.25] * 8)
        [outcome] = self.outcomes
        return outcome

    def assert_finished(self, outcome: Outcome) -> None:
        """It is that of a request whose response was finished."""
        self.assertEqual((outcome.cause, outcome.ended), (None, Ended.COMPLETED))
        self.assertIsNone(outcome.would_have_cancelled)
        self.assertEqual(self.told[-1], "exit")
        self.assertNotIn("cancelled", self.told)

    def assert_left(self, outcome: Outcome) -> None:
        """It is that of a request whose client has left."""
        self.assertIsInstance(outcome.cause, Disconnected)
        self.assertIn("cancelled", self.told)

    def later(self, request: Any) -> int:
        """Write all, and finish in another turn, as `WSGIResource` does."""
        request.setHeader(b"content-length", b"5")
        request.write(BODY)
        self.clock.callLater(0.5, lambda: request.finish())
        return NOT_DONE_YET

    async def waiting(self, request: Any) -> None:
        """The same in a coroutine, which is done later still."""
        self.later(request)
        await deferLater(self.clock, 0.7)
        self.told.append("done")


class DeliveredIsNotAbandonedTests(WholeTestCase):
    """Who has the whole response has not left early: nothing was cancelled."""

    def test_finish_that_comes_late(self) -> None:
        """The response counts as finished, and the late ``finish`` does nothing."""
        outcome = self.leave(self.later)
        self.assert_finished(outcome)
        self.assertEqual((outcome.status, outcome.sent), (200, 5))
        self.assertEqual(self.monitor.totals, {("none", "completed"): 1})

    def test_returned_work(self) -> None:
        """It runs to its end, as after an early finish."""
        self.assert_finished(self.leave(self.waiting))
        self.assertEqual(self.told, ["done", "exit"])

    def test_leftover_work(self) -> None:
        """All else is stopped as leftover work, at once."""

        async def handler(request: Any) -> None:
            current_scope().track(Deferred(lambda _: self.told.append("leftover")))
            await self.waiting(request)

        outcome = self.leave(handler)
        self.assert_finished(outcome)
        self.assertEqual((outcome.leftovers, self.told), (1, ["leftover", "done", "exit"]))

    def test_streams(self) -> None:
        """A generator runs on behind its last chunk, unheard."""

        async def handler(request: Any) -> AsyncIterator[bytes]:
            request.setHeader(b"content-length", b"5")
            yield BODY
            await deferLater(self.clock, 0.5)
            self.told.append("behind")
            yield b""

        self.assert_finished(self.leave(handler))
        self.assertEqual(self.told, ["behind", "exit"])

    def test_own_listeners(self) -> None:
        """They are told of the loss by Twisted, and find a finished request; see `finished`."""

        def handler(request: Any) -> int:
            finished = request.notifyFinish()
            finished.addErrback(lambda _: self.told.append(f"finished: {request.finished}"))
            return self.later(request)

        self.assert_finished(self.leave(handler))
        self.assertEqual(self.told, ["finished: 1", "exit"])

    def test_requests_with_listeners_of_their_own(self) -> None:
        """So it is where a request hands out listeners in a way of its own."""

        class OwnRequest(Request):
            def notifyFinish(self) -> Deferred[None]:
                """See `IRequest`."""
                return super().notifyFinish()

        client = self.client(self.waiting)
        site: Any = client.site
        site.requestFactory = OwnRequest
        client.get().disconnect()
        self.assert_finished(self.outcome())

    def test_spared_methods_and_dry_runs(self) -> None:
        """Nothing would have been cancelled, either."""
        self.assert_finished(self.leave(self.waiting, b"POST"))
        self.outcomes.clear()
        self.assert_finished(self.leave(self.waiting, dry_run=True))

    def test_shared_work(self) -> None:
        """What the request awaits behind its last byte, alone, is not cancelled."""
        shared = Shared(lambda: deferLater(self.clock, 0.5, lambda: self.told.append("shared")))

        async def handler(request: Any) -> None:
            request.setHeader(b"content-length", b"5")
            request.write(BODY)
            await shared()

        self.assert_finished(self.leave(handler))
        self.assertEqual(self.told, ["shared", "exit"])

    def test_unreported_losses(self) -> None:
        """A drain that finds it so, before Twisted tells, cancels nothing; nor does the report."""
        scopes: list[Scope] = []

        async def handler(request: Any) -> None:
            scopes.append(current_scope())
            await self.waiting(request)

        exchange = self.client(handler).get()
        request: Any = scopes[0].request
        request.channel = None
        scopes[0].catch_up(is_reported_by_now=True)
        exchange.disconnect()
        self.assert_finished(self.outcome())

    def logged(self, handler: Handler) -> list[int]:
        """The statuses in the access log, of a client that leaves after a moment."""
        logged: list[int] = []

        class LoggingSite(Site):
            def log(self, request: Any) -> None:
                """Note the status."""
                logged.append(request.code)

        page = CancellingResource(Leaf(handler), on_exit=access_log_499)
        clock: Any = self.clock
        exchange = Client(LoggingSite(page, reactor=clock)).get()
        self.clock.pump([TURN] * 9)
        exchange.disconnect()
        return logged

    def test_access_log(self) -> None:
        """The line, which Twisted leaves out, has the status that was sent."""
        self.assertEqual(self.logged(self.later), [200])

    def test_access_log_of_what_was_broken_off(self) -> None:
        """There is none where this side has broken the connection off behind the last byte."""

        async def failing(request: Any) -> None:
            self.later(request)
            raise ValueError("behind")

        self.assertEqual(self.logged(failing), [])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class WholeMeansWholeTests(WholeTestCase):
    """What counts as the whole response, and what does not."""

    def sent(self, body: bytes, *lengths: bytes, code: int = 200) -> Handler:
        """A handler that writes this, with these lengths, and waits."""

        async def handler(request: Request) -> None:
            request.setResponseCode(code)
            request.responseHeaders.setRawHeaders(b"content-length", lengths)
            if not lengths:
                request.responseHeaders.removeHeader(b"content-length")
            request.write(body)
            await deferLater(self.clock, 0.5)

        return handler

    def test_without_a_body(self) -> None:
        """As soon as its head is out, whatever its length says."""
        for handler, method in [
            (self.sent(b"", b"5"), b"HEAD"),
            (self.sent(b"", code=NO_CONTENT), b"GET"),
            (self.sent(b"", b"5", code=NOT_MODIFIED), b"GET"),
            (self.sent(b"", b"0"), b"GET"),
        ]:
            self.outcomes.clear()
            self.assert_finished(self.leave(handler, method))

    def test_not_all(self) -> None:
        """A byte is missing, or the length is not known, so that only the end tells."""
        for body, lengths in [
            (b"hell", (b"5",)),
            (BODY, ()),
            (BODY, (b"5", b"5")),
            (BODY, (b"five",)),
        ]:
            self.outcomes.clear()
            self.assert_left(self.leave(self.sent(body, *lengths)))

    def test_compressed(self) -> None:
        """A compressed body has no length, and ends with ``finish``."""
        root = EncodingResourceWrapper(
            CancellingResource(Leaf(self.waiting), observers=self.outcomes.append),
            [GzipEncoderFactory()],
        )
        client = Client(root, self.clock)
        client.get(headers={b"Accept-Encoding": b"gzip"}).disconnect()
        self.assertIsInstance(self.outcome().cause, Disconnected)

    def test_only_a_head(self) -> None:
        """Nothing was written, and so nothing was received."""

        async def handler(request: Request) -> bytes:
            request.setHeader(b"content-length", b"0")
            return await deferLater(self.clock, 1, lambda: b"")

        self.assert_left(self.leave(handler))

    def test_unsent(self) -> None:
        """Bytes that the transport still holds were received by no client."""
        connection = self.client(self.later).connect()
        connection.pause()
        connection.get().disconnect()
        self.assert_left(self.outcome())

    def test_broken_off(self) -> None:
        """A handler that fails behind its last byte has failed, though the client has it all."""

        async def handler(request: Request) -> None:
            request.setHeader(b"content-length", b"5")
            request.write(BODY)
            await deferLater(self.clock, 0.5)
            raise ValueError("behind")

        exchange = self.client(handler).get()
        exchange.advance(1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertIs(self.outcome().ended, Ended.FAILED)
        self.assertTrue(exchange.is_over)


class WholeOverHTTP2Tests(WholeTestCase):
    """The same over HTTP/2, where each stream has a queue of its own."""

    def stream(self, handler: Handler) -> Exchange:
        """Ask over HTTP/2."""
        stream = self.client(handler).connect_http2().get()
        self.clock.pump([TURN] * 9)
        return stream

    def test_whole(self) -> None:
        """A reset, and the loss of the connection."""
        for leave in ("reset", "disconnect"):
            self.outcomes.clear()
            stream = self.stream(self.waiting)
            getattr(stream, leave)()
            self.assert_finished(self.outcome())

    def test_failed_and_whole(self) -> None:
        """A stream is reset behind a failure, though all of it was written."""

        async def handler(request: Request) -> None:
            request.setHeader(b"content-length", b"5")
            request.write(BODY)
            raise ValueError("behind")

        stream: Any = self.stream(handler)
        self.clock.pump([TURN] * 9)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertTrue(stream.is_over and stream.was_reset)

    def test_queued(self) -> None:
        """What the client had no room for was not received."""

        async def handler(request: Request) -> None:
            request.setHeader(b"content-length", b"100000")
            request.write(bytes(100_000))
            await deferLater(self.clock, 0.5)

        connection: Any = self.client(handler).connect_http2()
        connection._h2.acknowledge_received_data = lambda *_: []
        stream = connection.get()
        self.clock.pump([TURN] * 9)
        stream.reset()
        self.assert_left(self.outcome())

    def test_held_by_the_connection(self) -> None:
        """What the connection's transport still holds may be of this stream."""
        connection: Any = self.client(self.waiting).connect_http2()
        connection._transport.read(False)
        stream = connection.get()
        self.clock.pump([TURN] * 9)
        stream.disconnect()
        self.assert_left(self.outcome())

    def test_producers(self) -> None:
        """A producer is stopped, which Twisted does not do over HTTP/2."""

        def handler(request: Any) -> int:
            request.setHeader(b"content-length", b"5")
            request.registerProducer(Source(self.told.append), True)
            request.write(BODY)
            return NOT_DONE_YET

        stream: Any = self.stream(handler)
        stream.reset()
        self.assert_finished(self.outcome())
        self.assertIn("stop", self.told)
