"""What still runs for an abandoned request, when its scope has closed: it counts until it ends.

What belongs here: what counts against the bound, how long, and what a client behind the same proxy
notices of it. What does not: cleanup that goes on (`test_rapid_reset`), and the answer beyond the
bound (`test_rapid_reset_rest`).
"""

import contextlib
import gc
import tracemalloc
from collections import Counter
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource, scope_of

from .._logs import log_events
from .._pages import PAGE, GetPage
from .._visits import response_of
from ._rapid import MOST, RapidResetTestCase

A_SECOND = 25
"""How many requests per second a bad client abandons."""


class RunningTestCase(RapidResetTestCase):
    """Pages whose work outlives its scope."""

    def setUp(self) -> None:
        """Keep what the work waits for, as whatever will fire it does."""
        super().setUp()
        self.running: list[Deferred[bytes]] = []

    async def stubborn(self, request: Request) -> bytes:
        """Take no notice of the cancel."""
        self.handled += 1
        await self.stuck()
        return PAGE

    async def stuck(self) -> None:
        """Wait for the last of `running`, whatever is cancelled."""
        end: Deferred[bytes] = Deferred()
        self.running.append(end)
        while not end.called:
            waiting: Deferred[bytes] = Deferred()
            end.chainDeferred(waiting)
            with contextlib.suppress(CancelledError):
                await waiting

    def let_go(self, request: Request) -> Deferred[bytes]:
        """Begin work that nothing can stop."""
        self.handled += 1
        self.running.append(Deferred())
        return self.running[-1]

    def assert_full(self) -> None:
        """The next request is turned away."""
        before = self.handled
        self.assertEqual(response_of(self.get()).code, 429)
        self.assertEqual(self.handled, before)

    def assert_free(self) -> None:
        """The next request is handled."""
        before = self.handled
        self.get().reset()
        self.assertEqual(self.handled, before + 1)


class CountedTests(RunningTestCase):
    """What counts when the scope has closed."""

    def test_survivors(self) -> None:
        """A survivor counts until it has ended, though its scope has closed."""
        self.connect(self.stubborn, max_abandoned=MOST)
        self.reset_rapidly(10 * MOST)
        self.clock.advance(5)
        self.assertEqual(len(self.outcomes), 10 * MOST)
        self.assert_full()
        self.running[0].callback(PAGE)
        self.assert_free()

    def test_work_that_outlives_its_hooks(self) -> None:
        """Work that a hook began, and whose time is up, counts until it has ended."""

        self.connect(
            self.handler, on_exit=lambda scope: scope.track(self.stuck()), max_abandoned=MOST
        )
        self.reset_rapidly(MOST)
        self.clock.advance(10)
        self.assertEqual(len(self.outcomes), MOST)
        self.assert_full()
        self.running[0].callback(PAGE)
        self.assert_free()

    def test_let_go(self) -> None:
        """Work that was let go counts for as long as something can end it."""
        self.connect(self.let_go, max_abandoned=MOST)
        self.reset_rapidly(10 * MOST)
        self.assertEqual((self.handled, len(self.outcomes)), (MOST, 10 * MOST))
        self.running.pop(0)
        self.assert_free()

    def test_unknown_code(self) -> None:
        """A request that its handler keeps somewhere counts until it is dropped there."""
        kept = []

        def handler(request: Request) -> int:
            self.handled += 1
            kept.append(request)
            return NOT_DONE_YET

        self.connect(handler, max_abandoned=MOST)
        self.reset_rapidly(10 * MOST)
        self.assertEqual(self.handled, MOST)
        kept.clear()
        self.assert_free()

    def test_garbage(self) -> None:
        """A survivor that nothing can resume any more counts until it is collected."""
        self.connect(self.stubborn, max_abandoned=MOST)
        self.reset_rapidly(MOST)
        self.clock.advance(5)
        self.assert_full()
        self.running.clear()
        gc.collect()
        self.assert_free()

    def test_deadlines(self) -> None:
        """A request that a deadline cut, and whose work runs on, counts as an abandoned one."""
        self.connect(self.stubborn, max_abandoned=MOST, timeout=1)
        streams = [self.get() for _ in range(MOST)]
        self.clock.advance(1)
        self.settle()
        self.assertEqual([response_of(each).code for each in streams], [503] * MOST)
        self.assert_full()
        self.clock.advance(5)
        self.assert_full()
        self.running[0].callback(PAGE)
        self.assert_free()

    def test_one_request_with_much_work(self) -> None:
        """However much work runs on for a request, it counts once, until all of that has ended."""

        def handler(request: Request) -> Deferred[bytes]:
            self.handled += 1
            for _ in range(3):
                scope_of(request).track(self.stuck())
            return Deferred(lambda _: None)

        self.connect(handler, max_abandoned=2)
        self.reset_rapidly(1)
        self.assert_free()
        self.clock.advance(5)
        for each in self.running[:3]:
            self.assert_full()
            each.callback(PAGE)
        self.assert_free()


class BesideTests(RunningTestCase):
    """A proxy that sends the requests of a bad client and of honest ones over one connection."""

    def test_honest_clients_are_served(self) -> None:
        """500 pieces of work that run on do not keep a request of the same connection waiting."""

        def handler(request: Any) -> object:
            return PAGE if request.path == b"/honest" else self.stubborn(request)

        self.open(self.decorated(handler))
        codes: Counter[int] = Counter()
        for _ in range(20):
            self.reset_rapidly(A_SECOND)
            self.clock.advance(0.5)
            codes[response_of(self.get(b"/honest")).code] += 1
            self.clock.advance(0.5)
        self.assertEqual((len(self.running), dict(codes)), (500, {200: 20}))

    def test_default(self) -> None:
        """By default 2,000 requests of a connection may have been abandoned and still run."""
        self.connect(self.stubborn)
        self.reset_rapidly(1000)
        for _ in range(11):
            # This is as fast as Twisted takes resets.
            self.clock.advance(3.1)
            self.reset_rapidly(100)
        self.assertEqual(self.handled, 2000)
        self.assert_full()

    def test_slow_cleanup_within_its_time(self) -> None:
        """As fast as Twisted takes resets, whatever ends in its time is served."""
        # They have 5 seconds for their work and 10 for their hooks.

        def handler(request: Request) -> Deferred[bytes]:
            self.handled += 1
            work: Deferred[bytes] = Deferred(lambda _: None)
            return work.addErrback(lambda _: deferLater(self.clock, 4.9))

        self.connect(handler, on_exit=lambda _: Deferred())
        self.reset_rapidly(1000)
        for _ in range(20):
            self.clock.advance(1)
            self.reset_rapidly(33)
        self.assertEqual(self.handled, 1000 + 20 * 33)


class MemoryTests(RunningTestCase):
    """The memory that abandoned requests take until they are over."""

    def assert_bounded(self) -> None:
        """The 2,000 requests of the bound would take less than 32 MB, by 200 of them."""
        self.abandon(50)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = self.traced()
        self.abandon(200)
        self.assertLess((self.traced() - before) / 200, 16_000)

    def abandon(self, number: int) -> None:
        """Abandon so many requests, and let time pass until their work is named a survivor."""
        self.reset_rapidly(number)
        self.outcomes.clear()
        self.clock.advance(5)

    def traced(self) -> int:
        """The bytes in use."""
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    def test_survivors(self) -> None:
        """A survivor takes less than 16 kB, so that those of a connection are bounded."""
        self.connect(self.stubborn, observers=())
        self.assert_bounded()

    def test_hooks(self) -> None:
        """A hook that waits takes less than 16 kB with its request."""
        self.serve_slow_cleanup(max_abandoned=None, observers=())
        self.assert_bounded()

    def test_let_go(self) -> None:
        """Work that was let go takes less than 16 kB."""
        self.connect(self.let_go, observers=())
        self.assert_bounded()


class RefusedTests(RunningTestCase):
    """What the requests beyond the bound cost."""

    def test_retry_after(self) -> None:
        """A 429 says when to ask again."""
        self.connect(self.let_go, max_abandoned=1)
        self.reset_rapidly(1)
        self.assertEqual(response_of(self.get()).header(b"retry-after"), b"5")

    def test_retry_after_in_a_wrapper(self) -> None:
        """A 429 of a wrapped resource says when to ask again, too."""
        wrapped: Any = CancellingResource(GetPage(self.let_go), max_abandoned=1)
        self.open(wrapped)
        self.reset_rapidly(1)
        self.assertEqual(response_of(self.get()).header(b"retry-after"), b"5")

    def test_log(self) -> None:
        """However many requests are refused, a second has a hundred lines and one that counts."""
        self.connect(self.let_go, max_abandoned=1, observers=None)
        self.reset_rapidly(1)
        events = log_events(self)
        self.reset_rapidly(900)
        self.clock.advance(1)
        self.assertLessEqual(len(events), 101)
        self.assertEqual(sum(each.get("count", 1) for each in events), 900)
