"""The public client in memory: how it leaves, and what it reports about the handler."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.util import DeferredResource

from cancelweb import CancellingResource, Disconnected, Ended, cancel_on_disconnect
from cancelweb.monitor import Monitor
from cancelweb.testing import Client, Exchange

from .._pages import Handler, Page
from ._kit import Slow, echo, waiting


class OutcomeTests(SynchronousTestCase):
    """What the client knows about handlers under cancelweb, and about plain handlers."""

    def setUp(self) -> None:
        """Make a clock."""
        self.clock = Clock()

    def get(self, handler: Handler) -> Exchange:
        """Ask the handler."""
        return Client(Page(handler), self.clock).get()

    def test_stopped(self) -> None:
        """A handler that was stopped has an outcome that says so."""
        exchange = self.get(Slow(self.clock))
        self.assertIsNone(exchange.outcome)
        exchange.disconnect()
        assert exchange.outcome is not None
        self.assertIsInstance(exchange.outcome.cause, Disconnected)
        self.assertIs(exchange.outcome.ended, Ended.STOPPED)

    def test_completed(self) -> None:
        """A handler that has completed has an outcome, even if nothing was waited for."""
        handlers: list[Any] = [Slow(self.clock), cancel_on_disconnect(echo)]
        for handler, seconds in zip(handlers, (2, 0), strict=True):
            exchange = self.get(handler)
            exchange.advance(seconds)
            assert exchange.outcome is not None
            self.assertIs(exchange.outcome.ended, Ended.COMPLETED)

    def test_nested_entry_points(self) -> None:
        """A decorated handler inside a wrapper has one outcome."""
        exchange = Client(CancellingResource(Page(Slow(self.clock))), self.clock).get()
        exchange.disconnect()
        assert exchange.outcome is not None and exchange.served is not None
        self.assertIs(exchange.outcome.ended, Ended.STOPPED)
        self.assertEqual(exchange.served.exits, 1)

    def test_own_observers_are_told(self) -> None:
        """A handler's own hooks and observers are called under the test client, too."""
        told: list[Any] = []
        decorate = cancel_on_disconnect(observers=told.append, on_exit=told.append)
        exchange = self.get(decorate(waiting))
        exchange.disconnect()
        self.assertEqual(len(told), 2)
        self.assertEqual(told[1], exchange.outcome)

    def test_second_scope(self) -> None:
        """A handler that is found after its client has left has the outcome of its own scope."""
        told: list[Any] = []
        late: Deferred[Any] = Deferred()
        wrapper: Any = CancellingResource(
            DeferredResource(late), observers=told.append, monitor=Monitor(self.clock)
        )
        hooks: list[Any] = []
        wrapper = CancellingResource(wrapper, observers=(), on_exit=hooks.append)
        exchange = Client(wrapper, self.clock).post(b"/", b"")
        exchange.disconnect()
        late.callback(Page(lambda _: deferLater(self.clock, 1, lambda: b"page")))
        self.assertIsNone(exchange.outcome)
        exchange.advance(1)
        assert exchange.served is not None
        self.assertEqual((len(told), len(hooks), exchange.served.exits), (2, 1, 1))
        self.assertIs(exchange.outcome, told[1])

    def test_plain(self) -> None:
        """A plain handler has no outcome, and learns why its client left."""
        lost: list[Failure] = []

        def handle(request: Request) -> int:
            request.notifyFinish().addErrback(lost.append)
            return NOT_DONE_YET

        exchange = self.get(handle)
        exchange.disconnect(ConnectionLost())
        self.assertIsNone(exchange.outcome)
        self.assertIsInstance(lost[0].value, ConnectionLost)


class LeavingTests(SynchronousTestCase):
    """How the client's connection ends."""

    def test_told_why(self) -> None:
        """The server sees an orderly end, unless the client gives another reason."""
        for reason, expected in [(None, ConnectionDone), (ConnectionLost(), ConnectionLost)]:
            exchange = Client(Page(cancel_on_disconnect(lambda request: Deferred()))).get()
            exchange.disconnect(reason)
            exchange.disconnect()
            assert exchange.outcome is not None
            cause = exchange.outcome.cause
            assert isinstance(cause, Disconnected) and cause.failure is not None
            self.assertIsInstance(cause.failure.value, expected)

    def test_reason_is_checked(self) -> None:
        """A reason to disconnect that is not an exception is refused."""
        exchange = Client(Page(waiting)).get()
        error = self.assertRaises(TypeError, exchange.disconnect, ConnectionLost)
        self.assertIn("must be an exception", str(error))

    def test_abort(self) -> None:
        """A connection that the server aborts is closed a turn later."""

        def begin(request: Request) -> Deferred[bytes]:
            request.write(b"some")
            return Deferred()

        connection = Client(Page(cancel_on_disconnect(total_timeout=3)(begin))).connect()
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
        connection = Client(Page(cancel_on_disconnect(lambda request: Deferred()))).connect()
        exchange = connection.get()
        connection.send(b"GET / HTTP/1.1\r\nX: " + b"x" * 20000)
        connection.disconnect()
        exchange.advance(0)
        self.assertFalse(connection.is_closed)
        assert exchange.request is not None
        exchange.request.write(b"some")
        exchange.advance(0)
        self.assertTrue(connection.is_closed)
