"""A client that opens a stream over HTTP/2 and says goodbye, with GOAWAY, in the same read.

The connection is closed by then, though Twisted still hands the request on, and whatever answers it
raises. What belongs here: requests that are gone on entry. What does not: those that are being
handled when one side says goodbye (`test_http2_goodbye`).
"""

from typing import Any

from twisted.internet.defer import Deferred

from cancelweb import Disconnected, Draining, Ended, RapidReset

from .._cycles import no_cycles
from .._pages import PAGE, Handler, NoHead
from ._goodbyes import HANDLERS, GoodbyeTestCase, HandlerError, raises, returns_bytes, writes


class RefusedTests(GoodbyeTestCase):
    """A request that counts as gone on entry: its handler is not run."""

    def assert_refused(self) -> None:
        """No handler was run, nothing was written or logged, and the client counts as gone."""
        self.assertEqual(self.handled, [])
        self.assert_nothing_written()
        self.assert_logged()
        self.assert_told_once()
        self.assertIs(self.outcomes[0].ended, Ended.REFUSED)
        self.assertIsInstance(self.outcomes[0].cause, Disconnected)

    def test_decorated(self) -> None:
        """So it is for decorated handlers, whatever they would do."""
        for handler in HANDLERS:
            self.decorate(handler)
            self.go_away()
            self.assert_refused()

    def test_wrapped(self) -> None:
        """So it is for wrapped ones."""
        for handler in HANDLERS:
            self.wrap(handler)
            self.go_away()
            self.assert_refused()

    def test_head(self) -> None:
        """So it is for a HEAD, also for one that Twisted would fake."""
        self.decorate(returns_bytes)
        self.go_away(method="HEAD")
        self.assert_refused()
        self.begin()
        hook = self.ran.append
        handler = self.noting(returns_bytes)
        self.connect(handler, NoHead, on_exit=lambda _: hook("exit"))
        self.go_away(method="HEAD")
        self.assertEqual(self.handled, [])
        self.assert_nothing_written()
        self.assert_logged()

    def test_with_a_reset(self) -> None:
        """So it is if the stream is reset before that, in the same read."""
        self.wrap(returns_bytes)
        self.client.reset(self.client.get("/"))
        self.client.go_away()
        self.read_at_once()
        self.assert_refused()

    def test_two_streams(self) -> None:
        """So it is for two streams that are opened in that read."""
        self.wrap(raises)
        self.client.get("/1")
        self.go_away("/2")
        self.assertEqual(self.handled, [])
        self.assert_nothing_written()
        self.assert_logged()
        self.assertEqual([each.ended for each in self.outcomes], [Ended.REFUSED] * 2)

    def test_beside_a_stream_that_waits(self) -> None:
        """So it is beside a stream that waits, of which the work is stopped."""
        self.wrap(self.work)
        self.get("/1")
        self.go_away("/2")
        self.assertEqual((self.handled, self.stopped), ([b"/1"], [b"/1"]))
        self.assert_nothing_written()
        self.assert_logged()
        found = {each.path: each.ended for each in self.outcomes}
        self.assertEqual(found, {b"/1": Ended.STOPPED, b"/2": Ended.REFUSED})
        self.assertEqual(self.monitor.scopes, ())

    def test_half_a_body(self) -> None:
        """A request of which the body is still to come never comes to a handler."""
        self.wrap(raises)
        self.client.send_half("/")
        self.client.go_away()
        self.read_at_once()
        self.assertEqual((self.handled, self.outcomes), ([], []))
        self.assert_nothing_written()
        self.assert_logged()

    def test_leaves_no_cycle(self) -> None:
        """Nothing is left to the cycle collector."""
        self.wrap(returns_bytes)
        with no_cycles(self):
            self.go_away()
        self.assert_refused()


class TurnedAwayTests(GoodbyeTestCase):
    """A request that is turned away before it is found to be gone."""

    def assert_turned_away(self, cause: type[Any]) -> None:
        """No handler was run for it, nothing was written or logged."""
        self.assertEqual(self.handled, [])
        self.assert_nothing_written()
        self.assert_logged()
        self.assertIs(self.outcomes[-1].ended, Ended.REFUSED)
        self.assertIsInstance(self.outcomes[-1].cause, (cause, Disconnected))

    def test_by_a_drain(self) -> None:
        """So it is during a drain, which ends."""
        done: list[None] = []
        self.wrap(returns_bytes)
        self.monitor.drain(5).addCallback(done.append)
        self.go_away()
        self.assert_turned_away(Draining)
        self.clock.pump([1] * 10)
        self.assertEqual(done, [None])

    def test_by_the_limit_on_rapid_resets(self) -> None:
        """So it is where too many requests of its connection are still to be cleaned up."""
        gate: Deferred[None] = Deferred()
        self.connect(self.noting(self.work), on_exit=lambda _: gate, max_cleanups=1)
        self.client.reset(self.get())
        self.exchange()
        self.begin()
        self.go_away()
        self.assert_turned_away(RapidReset)
        gate.callback(None)


class SparedTests(GoodbyeTestCase):
    """A request of a method that may not be cut, or in a dry run: its handler is run, unheard."""

    def assert_run(self, *errors: type[Exception], ended: Ended = Ended.COMPLETED) -> None:
        """The handler was run, nothing was written, and only its own errors were logged."""
        self.assertEqual(self.handled, [b"/"])
        self.assert_nothing_written()
        self.assert_logged(*errors)
        self.assert_told_once()
        self.assertIs(self.outcomes[0].cause, None)
        self.assertIs(self.outcomes[0].ended, Ended.FAILED if errors else ended)

    def test_a_post(self) -> None:
        """A POST is handled, whatever its handler does: it may not be cut by surprise."""
        for handler in HANDLERS:
            self.wrap(handler)
            self.go_away(method="POST")
            self.assert_run_to_its_end(handler)

    def test_a_dry_run(self) -> None:
        """So is a GET in a dry run."""
        for handler in HANDLERS:
            self.wrap(handler, dry_run=True)
            self.go_away()
            self.assert_run_to_its_end(handler)

    def assert_run_to_its_end(self, handler: Handler) -> None:
        """It was run. What a dead request is finished with is not seen."""
        ended = Ended.LET_GO if handler is writes else Ended.COMPLETED
        self.assert_run(*([HandlerError] if handler is raises else []), ended=ended)

    def test_work_that_ends_later(self) -> None:
        """Work that ends later is waited for; its result is dropped, its failure is logged."""
        for result, errors in ((PAGE, ()), (HandlerError(), (HandlerError,))):
            self.wrap(self.work)
            self.go_away(method="POST")
            self.assertEqual((self.stopped, self.outcomes), ([], []))
            work: Any = self.works.pop(b"/")
            (work.errback if errors else work.callback)(result)
            self.assert_run(*errors)

    def test_a_deadline(self) -> None:
        """At a deadline nothing is stopped, and nothing is written."""
        self.wrap(self.work, timeout=5)
        self.go_away(method="POST")
        self.clock.advance(5)
        self.assertEqual(self.stopped, [])
        self.assert_nothing_written()
        self.works.pop(b"/").callback(PAGE)
        self.assert_run()

    def test_a_drain(self) -> None:
        """A drain stops the work, and nothing is written."""
        done: list[None] = []
        self.wrap(self.work)
        self.go_away(method="POST")
        self.monitor.drain(1).addCallback(done.append)
        self.clock.pump([1] * 10)
        self.assertEqual((done, self.stopped), ([None], [b"/"]))
        self.assert_nothing_written()
        self.assert_logged()
        self.assert_told_once()
