"""What holds of every kind of work that a handler may return.

What belongs here: the tests that each kind inherits, and what a kind must say about itself.
What does not: what is peculiar to one kind.
"""

import gc
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Disconnected, Ended, TimedOut, scope_of
from cancelweb.testing import Connection

from .._cycles import Memory, no_cycles
from .._pages import PAGE, NoHead
from .._visits import VisitTestCase


class Broken(Exception):
    """An error that a test lets its work fail with."""


class Contract(VisitTestCase):
    """The tests of every kind of work; a subclass says how its work is made, ended and observed."""

    def work(self, request: Request) -> object:
        """Begin the work."""
        raise NotImplementedError

    def complete(self) -> None:
        """Let the work end with the page."""
        raise NotImplementedError

    def fail_with(self, error: Exception) -> None:
        """Let the work fail."""
        raise NotImplementedError

    def is_running(self) -> bool:
        """Whether the work still runs."""
        raise NotImplementedError

    def plain(self, request: Request) -> object:
        """Answer as the plain Twisted handler with which this work is compared."""
        return PAGE

    def assert_as_plain(self, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> None:
        """The response to the work, and what becomes of the connection, are as in plain Twisted."""
        plain, ours = self.serve_plain(self.plain), self.serve(self.work)
        for connection in [plain, ours]:
            connection.request(method, version=version)
        self.complete()
        self.clock.advance(0)
        self.assertEqual(ours.response, plain.response)
        self.assertTrue(ours.response.is_complete)
        self.assertEqual(ours.is_closed, plain.is_closed)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)

    def test_completes(self) -> None:
        """Work that completes is answered like a plain Twisted handler."""
        self.assert_as_plain()

    def test_completes_http_1_0(self) -> None:
        """Over HTTP/1.0, completed work is answered and its connection ends as in plain Twisted."""
        self.assert_as_plain(version=b"HTTP/1.0")

    def test_completes_head(self) -> None:
        """A HEAD that the resource answers itself has the response of plain Twisted."""
        self.assert_as_plain(b"HEAD")

    def test_completes_kept_alive(self) -> None:
        """After completed work, its connection serves the next request with the same response."""
        connection = self.visit(self.work)
        self.complete()
        connection.get()
        self.complete()
        first, second = connection.responses
        self.assertEqual(first, second)
        self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED] * 2)

    def test_stops_when_client_leaves(self) -> None:
        """The work is stopped in the turn in which its client leaves, and nothing is sent."""
        connection = self.visit(self.work)
        self.assertTrue(self.is_running())
        connection.disconnect()
        self.assertFalse(self.is_running())
        self.assertEqual(self.outcome.ended, Ended.STOPPED)
        self.assertIsInstance(self.outcome.cause, Disconnected)
        self.assertEqual(connection.received, b"")

    def test_nothing_of_stopped_work_stays(self) -> None:
        """Stopped work leaves no timer on the clock and no error in the log."""
        self.visit(self.work).disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_fails(self) -> None:
        """Work that fails is answered with 500, and its error is logged once."""
        connection = self.visit(self.work)
        self.fail_with(Broken("by design"))
        self.clock.advance(0)
        self.assert_failed(connection, Broken)
        self.assertEqual(self.outcome.ended, Ended.FAILED)

    def test_deadline_stops(self) -> None:
        """The deadline stops the work and answers 503 in the same turn."""
        connection = self.visit(self.work, timeout=0.5)
        self.clock.advance(0.5)
        self.assertFalse(self.is_running())
        self.assertEqual(connection.response.code, 503)
        self.assertEqual(self.outcome.cause, TimedOut(0.5))
        self.assertEqual(self.outcome.ended, Ended.STOPPED)

    def test_answered_otherwise(self) -> None:
        """Work runs on, even without its client, if other code has finished its response."""
        requests: list[Request] = []

        def handler(request: Request) -> object:
            requests.append(request)
            return self.work(request)

        connection = self.visit(handler)
        requests.pop().finish()
        connection.disconnect()
        self.assertTrue(self.is_running())
        self.assertEqual(self.outcomes, [])
        self.complete()
        self.assertFalse(self.is_running())
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)
        self.assertIs(self.outcome.cause, None)

    def test_faked_head(self) -> None:
        """A HEAD for which Twisted calls render_GET gets an empty 200, and its work is stopped."""
        connection = self.serve(self.work, NoHead)
        connection.request(b"HEAD")
        self.assertFalse(self.is_running())
        self.assertEqual(connection.response.code, 200)
        self.assertEqual(connection.response.body, b"")
        self.assertEqual((self.outcome.ended, self.outcome.leftovers), (Ended.COMPLETED, 1))

    def test_late_in_a_cancelled_scope(self) -> None:
        """Work returned after a timeout of its scope is stopped within a turn, and answered 503."""

        def handler(request: Request) -> object:
            scope_of(request).cancel(TimedOut(0))
            return self.work(request)

        connection = self.visit(handler)
        self.clock.advance(0)
        self.assertFalse(self.is_running())
        self.assertEqual(connection.response.code, 503)

    def test_client_gone_meanwhile(self) -> None:
        """Work that is returned after its client left is stopped at once."""
        connections: list[Connection] = []

        def handler(request: Request) -> object:
            connections[0].disconnect()
            return self.work(request)

        connections.append(self.serve(handler))
        connections[0].get()
        self.assertFalse(self.is_running())
        self.assertEqual(self.outcome.cause, Disconnected())

    def test_leaves_nothing_behind(self) -> None:
        """Completed or abandoned, work leaves no scope, no request and no reference cycle."""
        memory = Memory()

        def handler(request: Request) -> object:
            memory.note(request)
            return self.work(request)

        gc.disable()
        with no_cycles(self):
            self.visit(handler)
            self.complete()
            self.visit(handler).disconnect()
            self.forget()
            self.assertEqual(memory.alive(), [])

    def forget(self) -> None:
        """Drop the references to the work."""
        raise NotImplementedError


class ResultContract(Contract):
    """The tests of kinds whose result is the page; all of them wait for one Deferred."""

    def setUp(self) -> None:
        super().setUp()
        self.stopped = 0
        self.inner: Deferred[bytes] = Deferred()

    def wrap(self, inner: Deferred[bytes]) -> object:
        """Wrap the Deferred in the kind of work under test."""
        raise NotImplementedError

    def work(self, request: Request) -> object:
        self.inner = Deferred(self._stop)
        return self.wrap(self.inner)

    def _stop(self, _: object) -> None:
        self.stopped += 1

    def complete(self) -> None:
        self.inner.callback(PAGE)

    def fail_with(self, error: Exception) -> None:
        self.inner.errback(error)

    def is_running(self) -> bool:
        return not self.inner.called

    def forget(self) -> None:
        del self.inner

    def test_stopped_once(self) -> None:
        """The work is asked to stop exactly once."""
        self.visit(self.work).disconnect()
        self.clock.advance(60)
        self.assertEqual(self.stopped, 1)


class WritingContract(Contract):
    """The tests of kinds whose code writes and finishes the response itself."""

    def setUp(self) -> None:
        super().setUp()
        self.error: Exception | None = None
        self.request: Any = None

    def write(self) -> None:
        """Finish the response, or fail, as the last step of the work."""
        if self.error is not None:
            raise self.error
        if not self.request.finished:
            self.request.write(PAGE)
            self.request.finish()

    def fail_with(self, error: Exception) -> None:
        self.error = error
        self.complete()

    def complete(self) -> None:
        self.clock.advance(1)

    def plain(self, request: Request) -> object:
        self.clock.callLater(1, self._write_plain, request)
        return NOT_DONE_YET

    def _write_plain(self, request: Any) -> None:
        request.write(PAGE)
        request.finish()
