"""A client that opens and resets streams as fast as it can: its clean-up is bounded.

CVE-2023-44487, and CVE-2025-8671, where the client has the server do the resetting. In memory; over
a socket, with another client beside, in `real.storms.test_storms`. What happens to the requests
that come too late is in `test_rapid_reset_rest`; what still runs when cleanup is over, and the
default bound, in `test_rapid_reset_running`.
"""

from typing import Any

from hyperframe.frame import WindowUpdateFrame
from twisted.internet.defer import Deferred
from twisted.web.server import Request

from cancelweb import CancellingResource, Disconnected, Ended, Scope, scope_of
from cancelweb.testing import Stream

from .._pages import PAGE, GetPage
from .._visits import response_of
from ._rapid import MOST, RapidResetTestCase


class BoundTests(RapidResetTestCase):
    """The bound on streams of a connection that are cleaned up at a time."""

    def test_bounded(self) -> None:
        """However many streams are reset, at most `max_abandoned` are cleaned up at a time."""
        self.serve_slow_cleanup()
        self.reset_rapidly(100 * MOST)
        self.assertEqual((self.handled, len(self.cleanups)), (MOST, MOST))

    def test_the_open_ones_come_on_top(self) -> None:
        """Streams that were open before the bound was reached are cleaned up beyond it."""
        self.serve_slow_cleanup()
        streams = [self.get() for _ in range(10)]
        self.reset_rapidly(MOST)
        for stream in streams:
            stream.reset()
        self.reset_rapidly(MOST)
        self.assertEqual(len(self.cleanups), 10 + MOST)

    def test_work_that_takes_its_time_to_stop(self) -> None:
        """Work that is slow to stop counts as a cleanup for as long as it is waited for."""
        self.connect(self.stubborn, max_abandoned=MOST, survivor_after=60)
        self.reset_rapidly(100 * MOST)
        self.assertEqual(self.handled, MOST)

    def stubborn(self, request: Request) -> object:
        """Work that swallows its cancellation."""
        self.handled += 1
        return Deferred[bytes]().addErrback(lambda _: Deferred())

    def test_what_must_not_be_cut(self) -> None:
        """A POST in a wrapped tree counts as a cleanup while it goes on after its reset."""
        page: Any = GetPage(self.work)
        page.render_POST = page.render_GET
        wrapped: Any = CancellingResource(page, max_abandoned=MOST, observers=())
        self.open(wrapped)
        for number in range(100):
            self.reset_rapidly(1, b"POST", b"/%d" % number)
        self.assertEqual((len(self.works), self.stopped), (MOST, []))

    def test_quick_ones_are_not_limited(self) -> None:
        """Streams that are cleaned up in the turn of their reset are not limited."""
        self.connect(self.handler, max_abandoned=MOST)
        self.reset_rapidly(100)
        self.assertEqual(self.handled, 100)
        self.assertEqual({each.ended for each in self.outcomes}, {Ended.STOPPED})

    def test_closed_scopes_that_are_kept(self) -> None:
        """Scopes that have closed do not count, even if something keeps them alive."""
        kept: list[Scope] = []

        def handler(request: Request) -> Deferred[bytes]:
            kept.append(scope_of(request))
            return self.handler(request)

        def hook(scope: Scope) -> Deferred[None]:
            return self.clean_up(scope)

        self.connect(handler, on_exit=hook, max_abandoned=MOST)
        for _ in range(10):
            self.reset_rapidly(1)
            self.cleanups.pop().callback(None)
        self.assertEqual(self.handled, 10)

    def test_reset_by_the_server(self) -> None:
        """A client that has the server reset its streams is bounded as well (CVE-2025-8671)."""
        self.serve_slow_cleanup()
        for _ in range(10 * MOST):
            self.overflow_window(self.connection.get())
        self.assertLessEqual(len(self.cleanups), MOST)
        self.flushLoggedErrors()

    def overflow_window(self, stream: Stream) -> None:
        """Widen a stream's window beyond what it may be, which the client's library would not do.

        For that the server resets the stream (RFC 9113, section 6.9.1).
        """
        frame = WindowUpdateFrame(stream.number, window_increment=2**31 - 1)
        self.connection._transport.deliver(frame.serialize())
        self.assertTrue(stream.is_over)


class AtOnceTests(RapidResetTestCase):
    """Streams that are opened and reset in one read: the server hears about both at once.

    In plain Twisted even a page of bytes raises there, where another stream follows, and the
    connection is lost with a traceback in the log.
    """

    def test_not_handled(self) -> None:
        """The handler of a stream that is reset in the read that opens it is not run."""
        self.connect(self.handler)
        self.reset_at_once(100)
        self.assertEqual(self.handled, 0)
        self.assertEqual({each.ended for each in self.outcomes}, {Ended.REFUSED})
        self.assertEqual({each.cause for each in self.outcomes}, {Disconnected()})

    def test_bytes(self) -> None:
        """Streams that would be answered at once are dropped, and the connection goes on."""
        self.connect(lambda _: PAGE)
        self.reset_at_once(100)
        self.assertEqual(response_of(self.get()).body, PAGE)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_what_must_not_be_cut(self) -> None:
        """A POST in a wrapped tree is run though its stream is reset; its result is dropped."""
        page: Any = GetPage(lambda _: PAGE)
        page.render_POST = page.render_GET
        wrapped: Any = CancellingResource(page, observers=self.outcomes.append)
        self.open(wrapped)
        with self.connection.in_one_read():
            self.connection.request(b"POST").reset()
        self.settle()
        self.assertEqual(self.outcome.would_have_cancelled, Disconnected())
        self.assertEqual(response_of(self.get()).body, PAGE)

    def test_a_sibling_that_answers_it(self) -> None:
        """The result that a sibling settles in the read in which a stream is reset is dropped."""
        self.answer_from_a_sibling()
        self.assertEqual([each.path for each in self.outcomes], [b"/other", b"/"])

    def test_a_sibling_without_observers(self) -> None:
        """A result that a sibling settles in the read of the reset is dropped without observers."""
        self.answer_from_a_sibling(observers=())

    def answer_from_a_sibling(self, **options: Any) -> None:
        """Settle what one stream waits for in the read in which it is reset."""

        def handler(request: Any) -> object:
            if request.path == b"/other":
                self.works[b"/"].callback(PAGE)
                return PAGE
            return self.work(request)

        self.connect(handler, **options)
        first = self.get()
        with self.connection.in_one_read():
            other = self.connection.get(b"/other")
            first.reset()
        self.settle()
        self.assertEqual(response_of(other).body, PAGE)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_bounded(self) -> None:
        """The hooks for streams that are reset at once are run, and bounded as any others."""
        self.serve_slow_cleanup()
        self.reset_at_once(100 * MOST)
        self.assertEqual((self.handled, len(self.cleanups)), (0, MOST))
        self.assertEqual(len(self.outcomes), 99 * MOST)
        self.assertEqual(self.flushLoggedErrors(), [])
