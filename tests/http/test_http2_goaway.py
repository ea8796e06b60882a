"""A client that opens a stream over HTTP/2 and says goodbye, with GOAWAY, in the same read.

The connection is closed by then, though Twisted still hands the request on, and whatever answers it
raises. What belongs here: requests that are gone on entry. What does not: requests that are being
handled when one side says goodbye (`test_http2_goodbye`).
"""

from typing import Any

from twisted.internet.defer import Deferred

from cancelweb import Disconnected, Draining, Ended, RapidReset

from .._cycles import no_cycles
from .._pages import PAGE, Handler, NoHead
from ._goodbyes import HANDLERS, GoodbyeTestCase, HandlerError, raises, returns_bytes, writes


class RefusedTests(GoodbyeTestCase):
    """Requests that are gone on entry: their handlers are not run."""

    def assert_refused(self) -> None:
        """No handler was run, nothing was written or logged, and the client counts as gone."""
        self.assertEqual(self.handled, [])
        self.assert_nothing_written()
        self.assert_logged()
        self.assert_told_once()
        self.assertIs(self.outcomes[0].ended, Ended.REFUSED)
        self.assertIsInstance(self.outcomes[0].cause, Disconnected)

    def test_decorated(self) -> None:
        """A decorated handler is not run when the client says goodbye, whatever it would do."""
        for handler in HANDLERS:
            self.decorate(handler)
            self.ask_and_go()
            self.assert_refused()

    def test_wrapped(self) -> None:
        """A wrapped handler is not run when the client says goodbye, whatever it would do."""
        for handler in HANDLERS:
            self.wrap(handler)
            self.ask_and_go()
            self.assert_refused()

    def test_head(self) -> None:
        """The handler of a HEAD is not run when the client says goodbye, be it faked or not."""
        self.decorate(returns_bytes)
        self.ask_and_go(method=b"HEAD")
        self.assert_refused()
        self.begin()
        hook = self.ran.append
        handler = self.noting(returns_bytes)
        self.connect(handler, NoHead, on_exit=lambda _: hook("exit"))
        self.ask_and_go(method=b"HEAD")
        self.assertEqual(self.handled, [])
        self.assert_nothing_written()
        self.assert_logged()

    def test_with_a_reset(self) -> None:
        """The handler of a stream is not run when the client resets it and says goodbye."""
        self.wrap(returns_bytes)
        with self.connection.in_one_read():
            self.connection.get().reset()
            self.connection.go_away()
        self.turn(3)
        self.assert_refused()

    def test_two_streams(self) -> None:
        """No handler is run for two streams that are opened in the read of the goodbye."""
        self.wrap(raises)
        self.ask_and_go(b"/1", b"/2")
        self.assertEqual(self.handled, [])
        self.assert_nothing_written()
        self.assert_logged()
        self.assertEqual([each.ended for each in self.outcomes], [Ended.REFUSED] * 2)

    def test_beside_a_stream_that_waits(self) -> None:
        """Beside a stream that waits, which is stopped, the handler of a new one is not run."""
        self.wrap(self.work)
        self.get(b"/1")
        self.ask_and_go(b"/2")
        self.assertEqual((self.handled, self.stopped), ([b"/1"], [b"/1"]))
        self.assert_nothing_written()
        self.assert_logged()
        found = {each.path: each.ended for each in self.outcomes}
        self.assertEqual(found, {b"/1": Ended.STOPPED, b"/2": Ended.REFUSED})
        self.assertEqual(self.monitor.scopes, ())

    def test_half_a_body(self) -> None:
        """A request that lacks half its body at the goodbye never comes to a handler."""
        self.wrap(raises)
        with self.connection.in_one_read():
            self.connection.post(b"/", b"half", {b"Content-Length": b"8"})
            self.connection.go_away()
        self.turn(3)
        self.assertEqual((self.handled, self.outcomes), ([], []))
        self.assert_nothing_written()
        self.assert_logged()

    def test_leaves_no_cycle(self) -> None:
        """A request that is gone on entry leaves nothing to the cycle collector."""
        self.wrap(returns_bytes)
        with no_cycles(self):
            self.ask_and_go()
        self.assert_refused()


class TurnedAwayTests(GoodbyeTestCase):
    """Requests that are turned away before they are found to be gone."""

    def assert_turned_away(self, cause: type[Any]) -> None:
        """No handler was run for it, nothing was written or logged."""
        self.assertEqual(self.handled, [])
        self.assert_nothing_written()
        self.assert_logged()
        self.assertIs(self.outcomes[-1].ended, Ended.REFUSED)
        self.assertIsInstance(self.outcomes[-1].cause, (cause, Disconnected))

    def test_by_a_drain(self) -> None:
        """A request that is gone on entry is turned away by a drain, which ends."""
        done: list[None] = []
        self.wrap(returns_bytes)
        self.monitor.drain(5).addCallback(done.append)
        self.ask_and_go()
        self.assert_turned_away(Draining)
        self.clock.pump([1] * 10)
        self.assertEqual(done, [None])

    def test_by_the_limit_on_rapid_resets(self) -> None:
        """A request that is gone on entry is turned away by `max_abandoned`."""
        gate: Deferred[None] = Deferred()
        self.connect(self.noting(self.work), on_exit=lambda _: gate, max_abandoned=1)
        self.get().reset()
        self.settle()
        self.begin()
        self.ask_and_go()
        self.assert_turned_away(RapidReset)
        gate.callback(None)


class SparedTests(GoodbyeTestCase):
    """Requests that must not be cut: their handlers are run though the client is gone."""

    def assert_run(self, *errors: type[Exception], ended: Ended = Ended.COMPLETED) -> None:
        """The handler was run, nothing was written, and only its own errors were logged."""
        self.assertEqual(self.handled, [b"/"])
        self.assert_nothing_written()
        self.assert_logged(*errors)
        self.assert_told_once()
        self.assertIs(self.outcomes[0].cause, None)
        self.assertIs(self.outcomes[0].ended, Ended.FAILED if errors else ended)

    def test_a_post(self) -> None:
        """A POST in a wrapped tree is handled though the client is gone, whatever that does."""
        for handler in HANDLERS:
            self.wrap(handler)
            self.ask_and_go(method=b"POST")
            self.assert_run_to_its_end(handler)

    def test_a_dry_run(self) -> None:
        """A GET in a dry run is handled though the client is gone, whatever that does."""
        for handler in HANDLERS:
            self.wrap(handler, dry_run=True)
            self.ask_and_go()
            self.assert_run_to_its_end(handler)

    def assert_run_to_its_end(self, handler: Handler) -> None:
        """The handler was run. What it finishes a dead request with is not seen."""
        ended = Ended.LET_GO if handler is writes else Ended.COMPLETED
        self.assert_run(*([HandlerError] if handler is raises else []), ended=ended)

    def test_work_that_ends_later(self) -> None:
        """Work for a dead POST is waited for; its result is dropped, its failure is logged."""
        for result, errors in ((PAGE, ()), (HandlerError(), (HandlerError,))):
            self.wrap(self.work)
            self.ask_and_go(method=b"POST")
            self.assertEqual((self.stopped, self.outcomes), ([], []))
            work: Any = self.works.pop(b"/")
            (work.errback if errors else work.callback)(result)
            self.assert_run(*errors)

    def test_a_deadline(self) -> None:
        """A deadline does not stop the work for a dead POST, and nothing is written."""
        self.wrap(self.work, timeout=5)
        self.ask_and_go(method=b"POST")
        self.clock.advance(5)
        self.assertEqual(self.stopped, [])
        self.assert_nothing_written()
        self.works.pop(b"/").callback(PAGE)
        self.assert_run()

    def test_a_drain(self) -> None:
        """The end of a drain stops the work for a dead POST, and nothing is written."""
        done: list[None] = []
        self.wrap(self.work)
        self.ask_and_go(method=b"POST")
        self.monitor.drain(1).addCallback(done.append)
        self.clock.pump([1] * 10)
        self.assertEqual((done, self.stopped), ([None], [b"/"]))
        self.assert_nothing_written()
        self.assert_logged()
        self.assert_told_once()
