"""A client that opens and resets streams as fast as it can: its clean-up is bounded.

CVE-2023-44487, and CVE-2025-8671, where the client has the server do the resetting. In memory; over
a socket, with another client beside, in `test_storms`.
"""

from typing import Any
from weakref import WeakSet

from hyperframe.frame import WindowUpdateFrame
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource, Disconnected, Ended, RapidReset, Scope, scope_of

from ._http2 import Stream
from ._inmemory import log_events
from ._multiplexed import HTTP2TestCase
from ._pages import PAGE, NoHead, Page

MOST = 5


class RapidResetTestCase(HTTP2TestCase):
    """A page whose clean-up takes until the test lets it end."""

    def setUp(self) -> None:
        super().setUp()
        self.handled = 0
        self.cleanups: list[Deferred[None]] = []

    def handler(self, request: Request) -> Deferred[bytes]:
        """Count, and wait."""
        self.handled += 1
        return Deferred()

    def clean_up(self, scope: Scope) -> Deferred[None]:
        """A hook that takes its time."""
        self.cleanups.append(Deferred())
        return self.cleanups[-1]

    def serve_slow_cleanup(self, **options: Any) -> None:
        """Connect to the page."""
        options.setdefault("max_cleanups", MOST)
        self.connect(self.handler, on_exit=self.clean_up, cleanup_timeout=60, **options)

    def reset_rapidly(self, streams: int, method: str = "GET", path: str = "/") -> None:
        """Open streams, and reset each as soon as the server has seen it."""
        for _ in range(streams):
            stream = self.client.get(path, method)
            self.connection.pump()
            self.client.reset(stream)
        self.exchange()

    def reset_at_once(self, streams: int) -> None:
        """Open streams and reset them, all in one read of the server's."""
        for _ in range(streams):
            self.client.reset(self.client.get("/"))
        self.exchange()


class BoundTests(RapidResetTestCase):
    """How much is under way."""

    def test_bounded(self) -> None:
        """However many streams are reset, so many are cleaned up at a time, and no more begun."""
        self.serve_slow_cleanup()
        self.reset_rapidly(100 * MOST)
        self.assertEqual((self.handled, len(self.cleanups)), (MOST, MOST))

    def test_default(self) -> None:
        """A hundred, unless the door was given another number."""
        self.serve_slow_cleanup(max_cleanups=None)
        self.reset_rapidly(300)
        self.assertEqual((self.handled, len(self.cleanups)), (100, 100))

    def test_the_open_ones_come_on_top(self) -> None:
        """What was open before the bound was reached may still be abandoned: no cleanup is lost."""
        self.serve_slow_cleanup()
        streams = [self.get() for _ in range(10)]
        self.reset_rapidly(MOST)
        for stream in streams:
            self.client.reset(stream)
        self.reset_rapidly(MOST)
        self.assertEqual(len(self.cleanups), 10 + MOST)

    def test_work_that_takes_its_time_to_stop(self) -> None:
        """What has still to stop counts as well, for as long as it is waited for."""
        self.connect(self.stubborn, max_cleanups=MOST, survivor_after=60)
        self.reset_rapidly(100 * MOST)
        self.assertEqual(self.handled, MOST)

    def stubborn(self, request: Request) -> object:
        """Work that swallows its cancellation."""
        self.handled += 1
        return Deferred[bytes]().addErrback(lambda _: Deferred())

    def test_what_must_not_be_cut(self) -> None:
        """So does a POST in a wrapped tree, which goes on when its client has left."""
        page: Any = Page(self.work)
        page.render_POST = page.render_GET
        wrapped: Any = CancellingResource(page, max_cleanups=MOST, observers=())
        self.open(wrapped)
        for number in range(100):
            self.reset_rapidly(1, "POST", f"/{number}")
        self.assertEqual((len(self.works), self.stopped), (MOST, []))

    def test_quick_ones_are_not_limited(self) -> None:
        """What is cleaned up in the turn of its reset leaves nothing to be counted."""
        self.connect(self.handler, max_cleanups=MOST)
        self.reset_rapidly(100)
        self.assertEqual(self.handled, 100)
        self.assertEqual({each.ended for each in self.outcomes}, {Ended.STOPPED})

    def test_scopes_that_somebody_keeps(self) -> None:
        """Nor do scopes count that have closed, and that somebody keeps."""
        kept: list[Scope] = []

        def handler(request: Request) -> Deferred[bytes]:
            kept.append(scope_of(request))
            return self.handler(request)

        def hook(scope: Scope) -> Deferred[None]:
            return self.clean_up(scope)

        self.connect(handler, on_exit=hook, max_cleanups=MOST)
        for _ in range(10):
            self.reset_rapidly(1)
            self.cleanups.pop().callback(None)
        self.assertEqual(self.handled, 10)

    def test_reset_by_the_server(self) -> None:
        """A client that has the server reset its streams is bounded as well (CVE-2025-8671)."""
        self.serve_slow_cleanup()
        for _ in range(10 * MOST):
            stream = self.client.get("/")
            self.connection.pump()
            self.overflow_window(stream.stream_id)
            self.connection.pump()
        self.assertLessEqual(len(self.cleanups), MOST)
        self.flushLoggedErrors()

    def overflow_window(self, stream_id: int) -> None:
        """Widen a stream's window beyond what it may be, which the client's library would not do.

        For that the server resets the stream (RFC 9113, section 6.9.1).
        """
        frame = WindowUpdateFrame(stream_id, window_increment=2**31 - 1)
        transport: Any = self.client.transport
        transport.write(frame.serialize())


class AtOnceTests(RapidResetTestCase):
    """Streams that are opened and reset in one read: the server hears of both at once.

    In plain Twisted even a page of bytes raises there, where another stream follows, and the
    connection is lost with a traceback in the log.
    """

    def test_not_handled(self) -> None:
        """Its handler is not run: there was never anybody to answer."""
        self.connect(self.handler)
        self.reset_at_once(100)
        self.assertEqual(self.handled, 0)
        self.assertEqual({each.ended for each in self.outcomes}, {Ended.REFUSED})
        self.assertEqual({each.cause for each in self.outcomes}, {Disconnected()})

    def test_bytes(self) -> None:
        """Nor is one that returns bytes; the connection goes on, and nothing is logged."""
        self.connect(lambda _: PAGE)
        self.reset_at_once(100)
        self.assertEqual(self.get().body, PAGE)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_what_must_not_be_cut(self) -> None:
        """A POST in a wrapped tree is run all the same, and what it returns is sent to nobody."""
        page: Any = Page(lambda _: PAGE)
        page.render_POST = page.render_GET
        wrapped: Any = CancellingResource(page, observers=self.outcomes.append)
        self.open(wrapped)
        self.client.reset(self.client.get("/", "POST"))
        self.exchange()
        self.assertEqual(self.outcome().would_have_cancelled, Disconnected())
        self.assertEqual(self.get().body, PAGE)

    def test_a_sibling_that_answers_it(self) -> None:
        """What is settled for it by another stream, in the same read, is dropped as well."""
        self.answer_from_a_sibling()
        self.assertEqual([each.path for each in self.outcomes], [b"/other", b"/"])

    def test_a_sibling_where_nobody_is_told(self) -> None:
        """So is it where the scope has nothing else to do."""
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
        other = self.client.get("/other")
        self.client.reset(first)
        self.exchange()
        self.assertEqual(other.body, PAGE)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_bounded(self) -> None:
        """The hooks of the door are run for it, and bounded like any."""
        self.serve_slow_cleanup()
        self.reset_at_once(100 * MOST)
        self.assertEqual((self.handled, len(self.cleanups)), (0, MOST))
        self.assertEqual(len(self.outcomes), 99 * MOST)
        self.assertEqual(self.flushLoggedErrors(), [])


class RestTests(RapidResetTestCase):
    """What happens to the rest."""

    def overrun(self, **options: Any) -> Stream:
        """Reach the bound; returns a stream that comes too late."""
        self.serve_slow_cleanup(**options)
        self.reset_rapidly(MOST)
        self.outcomes.clear()
        return self.get("/late")

    def test_answered(self) -> None:
        """Too many requests, it is told in one line that nobody may keep."""
        stream = self.overrun()
        self.assertEqual(stream.headers[b":status"], b"429")
        self.assertEqual(stream.headers[b"cache-control"], b"no-store")
        self.assertEqual(stream.body, f"{RapidReset()}\n".encode())
        self.assertTrue(stream.ended)

    def test_answered_under_a_faked_head(self) -> None:
        """So is a HEAD that Twisted fakes."""
        self.connect(self.handler, NoHead, on_exit=self.clean_up, max_cleanups=1)
        self.reset_rapidly(1)
        stream = self.get(method="HEAD")
        self.assertEqual((stream.headers[b":status"], stream.body), (b"429", b""))

    def test_hooks_are_not_run(self) -> None:
        """Its hooks would be the clean-up of which there is too much: they are not run."""
        self.overrun()
        self.assertEqual((self.handled, len(self.cleanups)), (MOST, MOST))

    def test_observers_are_told(self) -> None:
        """The observers are told that it was refused, and why; its scope has closed."""
        self.overrun()
        self.assertEqual(self.outcome().ended, Ended.REFUSED)
        self.assertEqual(self.outcome().cause, RapidReset())
        self.assertEqual(self.outcome().path, b"/late")

    def test_log(self) -> None:
        """The log has one line for it, at info, and nothing above."""
        events = log_events(self)
        self.overrun(observers=None)
        self.assertEqual({each["log_level"] for each in events}, {LogLevel.info})
        told = [each for each in events if each.get("path") == b"/late"]
        self.assertEqual([each["ended"] for each in told], [Ended.REFUSED])

    def test_served_again(self) -> None:
        """As soon as one clean-up has ended, the next request is handled."""
        self.overrun()
        self.cleanups[0].callback(None)
        self.get()
        self.assertEqual(self.handled, MOST + 1)

    def test_late_hooks_give_way(self) -> None:
        """Clean-up that hangs is not waited for for ever: the connection is served again."""
        self.overrun()
        self.clock.advance(60)
        self.get()
        self.assertEqual(self.handled, MOST + 1)
        self.assertEqual(len(self.outcomes), MOST + 1)

    def test_deadline(self) -> None:
        """No timer is set for a request that is turned away."""
        self.overrun(timeout=7)
        self.assertNotIn(7, [round(call.getTime()) for call in self.clock.getDelayedCalls()])


class OthersTests(RapidResetTestCase):
    """Who is not concerned."""

    def test_open_siblings(self) -> None:
        """A stream of the same connection that was open before is answered."""
        self.connect(self.work, on_exit=self.clean_up, max_cleanups=MOST)
        sibling = self.get("/sibling")
        self.reset_rapidly(100)
        self.works[b"/sibling"].callback(PAGE)
        self.exchange()
        self.assertEqual(sibling.body, PAGE)

    def test_other_connections(self) -> None:
        """The requests of another client are handled: the bound is each connection's own."""
        self.serve_slow_cleanup()
        self.reset_rapidly(100)
        self.open(self.page)
        self.get()
        self.assertEqual(self.handled, MOST + 1)

    def test_dry_run(self) -> None:
        """In a dry run nobody is turned away."""
        wrapped: Any = CancellingResource(
            Page(self.handler), max_cleanups=MOST, dry_run=True, observers=()
        )
        self.open(wrapped)
        self.reset_rapidly(100)
        self.assertEqual(self.handled, 100)

    def test_the_outermost_door_decides(self) -> None:
        """Where doors meet, the one that is met first asks, and only it."""
        self.serve_slow_cleanup(max_cleanups=1)
        wrapped: Any = CancellingResource(self.page, max_cleanups=MOST)
        self.open(wrapped)
        self.reset_rapidly(100)
        self.assertEqual(self.handled, MOST)

    def test_nothing_is_kept(self) -> None:
        """Nothing of the requests is kept beyond their clean-up, though the connection goes on."""
        seen: WeakSet[Any] = WeakSet()

        def handler(request: Request) -> int:
            seen.update([request, scope_of(request)])
            return NOT_DONE_YET

        self.connect(handler, on_exit=self.clean_up, max_cleanups=MOST)
        self.reset_rapidly(100)
        self.assertEqual(len(seen), 2 * MOST)
        for each in self.cleanups:
            each.callback(None)
        self.cleanups.clear()
        self.assertEqual(list(seen), [])
