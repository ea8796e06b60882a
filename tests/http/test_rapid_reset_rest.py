"""Clients that reset too many streams: what happens to the rest of them, and to others."""

from typing import Any
from weakref import WeakSet

from twisted.logger import LogLevel
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource, Ended, RapidReset, scope_of
from cancelweb.testing import Stream

from .._logs import log_events
from .._pages import PAGE, GetPage, NoHead
from .._visits import response_of
from ._rapid import MOST, RapidResetTestCase


class RestTests(RapidResetTestCase):
    """Requests that come when too many of their connection are still being cleaned up."""

    def overrun(self, **options: Any) -> Stream:
        """Reach the bound; returns a stream that comes too late."""
        self.serve_slow_cleanup(**options)
        self.reset_rapidly(MOST)
        self.outcomes.clear()
        return self.get(b"/late")

    def test_answered(self) -> None:
        """A request beyond the bound is answered 429, in one line that must not be cached."""
        stream = self.overrun()
        self.assertEqual(response_of(stream).code, 429)
        self.assertEqual(response_of(stream).header(b"cache-control"), b"no-store")
        self.assertEqual(self.body(stream), (f"{RapidReset()}\n".encode(), True))

    def test_the_site_is_not_asked(self) -> None:
        """The site's `error_page` is not called beyond the bound: the client would set its cost."""
        called: list[object] = []
        stream = self.overrun(error_page=lambda *both: called.append(both))
        self.assertEqual((response_of(stream).body, called), (f"{RapidReset()}\n".encode(), []))

    def test_answered_under_a_faked_head(self) -> None:
        """A HEAD that Twisted fakes is answered 429 beyond the bound, too."""
        self.connect(self.handler, NoHead, on_exit=self.clean_up, max_abandoned=1)
        self.reset_rapidly(1)
        stream = self.get(method=b"HEAD")
        self.assertEqual((response_of(stream).code, response_of(stream).body), (429, b""))

    def test_hooks_are_not_run(self) -> None:
        """A request beyond the bound has no hooks run: they would be more clean-up."""
        self.overrun()
        self.assertEqual((self.handled, len(self.cleanups)), (MOST, MOST))

    def test_observers_are_told(self) -> None:
        """The observers are told that a request beyond the bound was refused, and why."""
        self.overrun()
        self.assertEqual(self.outcome.ended, Ended.REFUSED)
        self.assertEqual(self.outcome.cause, RapidReset())
        self.assertEqual(self.outcome.path, b"/late")

    def test_log(self) -> None:
        """A request beyond the bound has one line in the log, at info, and none above."""
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
        """Cleanup that hangs is not waited for forever: the connection is served again."""
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
    """Requests that the bound of a connection does not concern."""

    def test_open_siblings(self) -> None:
        """A stream that was open before its connection reached the bound is answered."""
        self.connect(self.work, on_exit=self.clean_up, max_abandoned=MOST)
        sibling = self.get(b"/sibling")
        self.reset_rapidly(100)
        self.works[b"/sibling"].callback(PAGE)
        self.settle()
        self.assertEqual(response_of(sibling).body, PAGE)

    def test_other_connections(self) -> None:
        """The requests of another client are handled: the bound is each connection's own."""
        self.serve_slow_cleanup()
        self.reset_rapidly(100)
        self.open(self.page)
        self.get()
        self.assertEqual(self.handled, MOST + 1)

    def test_dry_run(self) -> None:
        """In a dry run no request is turned away."""
        wrapped: Any = CancellingResource(
            GetPage(self.handler), max_abandoned=MOST, dry_run=True, observers=()
        )
        self.open(wrapped)
        self.reset_rapidly(100)
        self.assertEqual(self.handled, 100)

    def test_the_outermost_entry_point_decides(self) -> None:
        """Where entry points meet, only the bound of the outermost counts."""
        self.serve_slow_cleanup(max_abandoned=1)
        wrapped: Any = CancellingResource(self.page, max_abandoned=MOST)
        self.open(wrapped)
        self.reset_rapidly(100)
        self.assertEqual(self.handled, MOST)

    def test_nothing_is_kept(self) -> None:
        """No request is kept alive beyond its clean-up, though the connection goes on."""
        seen: WeakSet[Any] = WeakSet()

        def handler(request: Request) -> int:
            seen.update([request, scope_of(request)])
            return NOT_DONE_YET

        self.connect(handler, on_exit=self.clean_up, max_abandoned=MOST)
        self.reset_rapidly(100)
        self.assertEqual(len(seen), 2 * MOST)
        for each in self.cleanups:
            each.callback(None)
        self.cleanups.clear()
        self.assertEqual(list(seen), [])
