"""Tracked Deferreds, and that a bad canceller harms no other work.

What belongs here: what becomes of tracked work whose canceller is good, slow or broken. What
does not: what is peculiar to other kinds.
"""

import asyncio
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import LogLevel
from twisted.python.components import registerAdapter
from twisted.python.failure import Failure

from cancelweb import Ended, ICancellable

from .._logs import log_events, of_cancelweb
from .._pages import PAGE
from .._visits import connect
from ..scopes._tracking import Query, TrackingTestCase, finish


class DeferredTests(TrackingTestCase):
    """A Deferred that is tracked."""

    def test_result_is_its_owners(self) -> None:
        """The result of a tracked Deferred goes on to callbacks that are added later."""
        work = Deferred[str]()
        self.track(work)
        work.callback("row")
        self.assertEqual(self.successResultOf(work), "row")

    def test_failure_is_its_owners(self) -> None:
        """The failure of a tracked Deferred goes on to later errbacks; the outcome is FAILED."""
        work = Deferred[str]()
        self.track(work)
        work.errback(KeyError())
        self.failureResultOf(work, KeyError)
        finish(self.request)
        self.assertEqual(self.outcome.ended, Ended.FAILED)

    def test_fired_already(self) -> None:
        """A tracked Deferred that has fired already keeps its result or failure for its owner."""
        fired, failed = succeed(1), fail(CancelledError())
        connection = self.track(fired, failed)
        connection.disconnect()
        self.assertEqual(self.successResultOf(fired), 1)
        self.failureResultOf(failed, CancelledError)

    def test_cancelled_by_its_owner(self) -> None:
        """A tracked Deferred may be cancelled by its owner; the page is sent all the same."""
        work = Deferred[str]()
        connection = self.track(work)
        work.cancel()
        finish(self.request)
        self.assertEqual(connection.response.body, PAGE)
        self.assertEqual(self.outcome.ended, Ended.STOPPED)
        self.failureResultOf(work, CancelledError)


class BadCancellerTests(TrackingTestCase):
    """A bad canceller harms neither the other work nor the cleanup."""

    def setUp(self) -> None:
        super().setUp()
        self.events = log_events(self)
        self.before, self.after = Query(), Query()
        self.cleaned = 0

    def clean(self, _: object) -> None:
        """Count the runs of the cleanup hook."""
        self.cleaned += 1

    def leave(self, bad: object) -> None:
        """Track the bad work among good work, and disconnect; the good work is cancelled once."""
        self.track(self.before, bad, self.after, on_exit=self.clean).disconnect()
        self.assertEqual([self.before.cancels, self.after.cancels], [1, 1])

    def test_raises(self) -> None:
        """A canceller that raises is logged, its siblings are asked, and its work survives."""

        class Raising(Query):
            def cancel(self) -> None:
                raise KeyError

        bad = Raising()
        self.leave(bad)
        self.assertEqual(self.cleaned, 0)
        self.clock.advance(5)
        self.assertEqual(self.cleaned, 1)
        self.assertEqual(self.outcome.ended, Ended.SURVIVED)
        self.logged_error(KeyError)
        bad.settled.callback(None)

    def test_raises_what_is_no_exception(self) -> None:
        """A canceller that raises asyncio's CancelledError is logged, and its work survives."""

        class Raising(Query):
            def cancel(self) -> None:
                raise asyncio.CancelledError

        bad = Raising()
        self.leave(bad)
        self.assertEqual(self.cleaned, 0)
        self.clock.advance(5)
        self.assertEqual(self.cleaned, 1)
        self.assertEqual(self.outcome.ended, Ended.SURVIVED)
        self.assertEqual(len(self.flushLoggedErrors(asyncio.CancelledError)), 1)
        bad.settled.callback(None)

    def test_raises_in_a_deferred(self) -> None:
        """A Deferred whose canceller raises is logged, and survives if it still runs after 5 s."""

        def canceller(_: object) -> None:
            raise KeyError

        self.leave(Deferred(canceller))
        self.assertEqual(self.cleaned, 0)
        self.assertEqual(self.outcomes, [])
        self.clock.advance(5)
        self.assertEqual(self.outcome.ended, Ended.SURVIVED)
        self.logged_error(KeyError)

    def test_raises_when_settled(self) -> None:
        """A canceller that raises after its work has settled is logged; the work has stopped."""

        class Raising(Query):
            def cancel(self) -> None:
                super().cancel()
                raise KeyError

        self.leave(Raising())
        self.assertEqual(self.outcome.ended, Ended.STOPPED)
        self.logged_error(KeyError)

    def test_slow(self) -> None:
        """The cleanup hook waits for work that is slow to stop, and nothing is logged."""

        class Slow(Query):
            def cancel(self) -> None:
                pass

        bad = Slow()
        self.leave(bad)
        self.assertEqual(self.cleaned, 0)
        self.clock.advance(4.9)
        bad.settled.errback(CancelledError())
        self.assertEqual(self.cleaned, 1)
        self.assertEqual(self.outcome.ended, Ended.STOPPED)
        self.assertEqual(of_cancelweb(self.events), [])

    def test_never_settles(self) -> None:
        """Work that never settles is a survivor, and named in a warning; the cleanup hook runs."""

        class Endless(Query):
            def cancel(self) -> None:
                pass

        self.leave(Endless())
        self.clock.advance(5)
        self.assertEqual(self.cleaned, 1)
        self.assertEqual(self.outcome.ended, Ended.SURVIVED)
        (event,) = of_cancelweb(self.events, LogLevel.warn)
        self.assertIn("Endless", str(event["canceller"]))

    def test_cannot_tell(self) -> None:
        """A `when_settled` that raises is logged, and the request is answered 500."""

        class Mute(Query):
            def when_settled(self) -> Deferred[Any]:
                raise KeyError

        self.assert_failed(self.visit(lambda _: Mute()), KeyError)

    def test_cannot_tell_and_says_so_as_asyncio_does(self) -> None:
        """A late result whose `when_settled` raises asyncio's CancelledError is logged: 500."""

        class Mute(Query):
            def when_settled(self) -> Deferred[Any]:
                raise asyncio.CancelledError

        result: Deferred[object] = Deferred()
        connection = self.visit(lambda _: result)
        result.callback(Mute())
        self.clock.advance(0)
        self.assertEqual(connection.response.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(asyncio.CancelledError)), 1)

    def test_other_requests(self) -> None:
        """Work that never settles does not harm another request on the same site."""

        class Endless(Query):
            def cancel(self) -> None:
                pass

        connection = self.serve(self.tracking(Endless()))
        connection.get()
        connection.disconnect()
        other = connect(connection.client.site, self.clock)
        other.get()
        finish(self.request)
        self.assertEqual(other.response.body, PAGE)

    def test_factory_raises(self) -> None:
        """An adapter factory that raises SystemExit is logged, and the request is answered 500."""

        class Unmakeable:
            pass

        def factory(_: object) -> object:
            raise SystemExit

        registerAdapter(factory, Unmakeable, ICancellable)
        result: Deferred[object] = Deferred()
        for connection in (self.visit(lambda _: Unmakeable()), self.visit(lambda _: result)):
            if not connection.received:
                result.callback(Unmakeable())
            self.assertEqual(connection.response.code, 500)
            self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_result_of_failure(self) -> None:
        """Tracked work of a user's own kind that fails is logged, and the outcome is FAILED."""
        work = Query()
        self.track(work)
        work.settled.errback(Failure(KeyError()))
        self.logged_error(KeyError)
        finish(self.request)
        self.assertEqual(self.outcome.ended, Ended.FAILED)
