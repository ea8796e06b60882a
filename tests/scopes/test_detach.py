"""`detach`: work that goes on outside the scope, whatever becomes of the request.

What belongs here: what a request, its scope and a monitor have to do with it.
"""

import gc
from typing import Any
from weakref import ref

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, LoopingCall
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import (
    CancellingResource,
    Draining,
    Ended,
    Scope,
    cancel_on_disconnect,
    current_scope,
    detach,
)
from cancelweb._scopes.context import in_context
from cancelweb._scopes.options import Options
from cancelweb.monitor import Monitor

from .._cycles import no_cycles
from .._logs import log_events, of_cancelweb
from .._pages import Page, waiting
from .._visits import Visit, connect
from .._work import Errand


class DetachTests(SynchronousTestCase):
    """A request whose handler detaches work."""

    def setUp(self) -> None:
        """Make work that goes on, and notes if it is cancelled."""
        self.seen: list[object] = []
        self.go_on: Deferred[Any] = Deferred(lambda _: self.seen.append("cancelled"))

    async def mail(self) -> None:
        """Do something that takes longer than its request."""
        await self.go_on
        self.seen.append("sent")

    def handler(self, request: object) -> bytes:
        """Detach, and answer."""
        detach(self.mail())
        return b"will be sent"

    def test_goes_on_when_the_response_is_finished(self) -> None:
        """When a request is answered, its scope closes, and detached work goes on to its end."""
        visit = Visit(self.handler)
        self.assertEqual((visit.response.body, visit.scope.request), (b"will be sent", None))
        self.assertEqual((visit.outcome.cause, visit.outcome.ended), (None, Ended.COMPLETED))
        self.go_on.callback(None)
        self.assertEqual(self.seen, ["sent"])

    def test_goes_on_when_the_client_leaves(self) -> None:
        """A cancel does not reach detached work, and the scope does not wait for it."""

        def handler(request: object) -> Deferred[bytes]:
            detach(self.mail())
            return Deferred()

        visit = Visit(handler)
        visit.disconnect()
        self.assertEqual((visit.outcome.ended, self.seen), (Ended.STOPPED, []))
        self.go_on.callback(None)
        self.assertEqual(self.seen, ["sent"])

    def test_a_failure(self) -> None:
        """The failure of detached work is logged, once, and is not one of the request."""
        visit = Visit(self.handler)
        self.go_on.errback(ValueError())
        gc.collect()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual((self.flushLoggedErrors(), visit.outcome.ended), ([], Ended.COMPLETED))

    def test_a_cancellation(self) -> None:
        """Detached work that other code cancels is logged as failed."""
        Visit(self.handler)
        self.go_on.cancel()
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_runs_for_no_request(self) -> None:
        """A detached coroutine has no current scope."""

        async def look() -> None:
            with self.assertRaises(LookupError):
                current_scope()

        def handler(request: object) -> bytes:
            detach(look())
            return b""

        visit = Visit(handler)
        self.assertEqual(visit.response.code, 200)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_the_scope_of_the_caller_stays(self) -> None:
        """The code that detaches work keeps its current scope."""

        def handler(request: object) -> bytes:
            detach(self.mail())
            self.seen.append(current_scope())
            return b""

        visit = Visit(handler)
        self.assertEqual(self.seen, [visit.scope])

    def test_no_request_is_held(self) -> None:
        """Detached work holds neither request nor scope."""
        gone: list[ref[Any]] = []

        def handler(request: object) -> bytes:
            gone.extend([ref(request), ref(current_scope())])
            return self.handler(request)

        connection = connect(Page(cancel_on_disconnect(handler)), Clock())
        connection.get()
        self.assertEqual([each() for each in gone], [None, None])
        self.go_on.callback(None)
        self.assertEqual(self.seen, ["sent"])

    def test_outside_any_scope(self) -> None:
        """`detach` works in code that runs for no request, and logs a failure there."""
        detach(self.mail())
        self.go_on.errback(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_unknown_work(self) -> None:
        """`detach` raises a TypeError for what cannot be waited for."""
        self.assertRaises(TypeError, detach, 7)

    def test_no_cycles(self) -> None:
        """Detached work leaves nothing to the cycle collector."""
        connection = connect(Page(cancel_on_disconnect(self.handler)))
        with no_cycles(self):
            for result in None, ValueError():
                self.go_on = Deferred()
                connection.get()
                if result is None:
                    self.go_on.callback(None)
                else:
                    self.go_on.errback(result)
                self.flushLoggedErrors(ValueError)
            result = None


class TrackedTests(SynchronousTestCase):
    """`detach` of work that the scope tracks, or waits for."""

    def test_a_deferred(self) -> None:
        """Tracked work that is detached is not stopped, and does not count for the request."""
        work: Deferred[None] = Deferred()
        visit = Visit(waiting)
        visit.scope.track(work)
        in_scope(visit.scope, lambda: detach(work))
        visit.disconnect()
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)
        work.errback(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_one_of_several(self) -> None:
        """When one of several works is detached, the others are stopped."""
        kept, detached = Errand(), Errand()
        visit = Visit(waiting)
        for work in kept, detached:
            visit.scope.track(work)
        in_scope(visit.scope, lambda: detach(detached))
        visit.disconnect()
        self.assertEqual((kept.asked, detached.asked), ([""], []))

    def test_the_last_that_was_waited_for(self) -> None:
        """A scope closes when the last work that it waits for is detached."""
        stubborn = Errand(obedient=False)
        visit = Visit(waiting)
        visit.scope.track(stubborn)
        visit.disconnect()
        self.assertEqual(visit.outcomes, [])
        in_scope(visit.scope, lambda: detach(stubborn))
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_when_it_was_asked(self) -> None:
        """Work that is detached after it was asked is not a survivor; the rest is waited for."""
        first, second = Errand(obedient=False), Errand(obedient=False)
        visit = Visit(waiting)
        for work in first, second:
            visit.scope.track(work)
        visit.disconnect()
        visit.clock.advance(3)
        in_scope(visit.scope, lambda: detach(first))
        third = Errand(obedient=False)
        visit.scope.track(third)
        events = log_events(self)
        visit.clock.advance(2)
        self.assertEqual([each["seconds"] for each in of_cancelweb(events)], [5.0])
        self.assertEqual(visit.outcomes, [])
        third.end()
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)

    def test_what_is_acquired(self) -> None:
        """A resource is released if it comes too late, though the wait for it was detached."""
        source: Deferred[str] = Deferred()
        released: list[str] = []
        visit = Visit(waiting)
        arrived = visit.scope.acquire(source, released.append)
        in_scope(visit.scope, lambda: detach(arrived))
        visit.disconnect()
        source.callback("a connection")
        self.assertEqual(released, ["a connection"])
        self.flushLoggedErrors(CancelledError)

    def test_what_the_handler_returned(self) -> None:
        """Returned work that is detached is the response all the same."""
        work: Deferred[bytes] = Deferred()
        visit = Visit(lambda request: work)
        in_scope(visit.scope, lambda: detach(work))
        work.callback(b"a page")
        self.assertEqual(visit.response.body, b"a page")

    def test_a_loop(self) -> None:
        """A loop that is detached goes on when the request is answered."""
        calls: list[None] = []
        loop = LoopingCall(calls.append, None)
        loop.clock = clock = Clock()

        def handler(request: object) -> bytes:
            loop.start(1)
            detach(loop)
            return b""

        Visit(handler)
        clock.pump([1, 1])
        self.assertEqual(len(calls), 3)
        loop.stop()


def in_scope(scope: Scope, call: Any) -> None:
    """Call a function as the scope's handler would."""
    in_context(scope, call)


class MonitorTests(SynchronousTestCase):
    """An entry point with a monitor."""

    def setUp(self) -> None:
        """A request, to an entry point with a monitor."""
        self.monitor = Monitor()
        self.visit = Visit(waiting)
        self.visit.scope.options = evolve(self.visit.scope.options, monitors=(self.monitor,))
        self.monitor.scope_opened(self.visit.scope)

    def detach(self, work: object) -> None:
        """Detach work in the scope of the request."""
        in_scope(self.visit.scope, lambda: detach(work))

    def detached(self, monitor: Monitor | None = None) -> list[object]:
        """The detached work that a monitor knows."""
        return [each.work for each in (monitor or self.monitor).detached]

    def test_knows_detached_work_until_it_ends(self) -> None:
        """A monitor knows detached work until it ends, also when its scope is long gone."""
        works: list[Deferred[None]] = [Deferred() for _ in range(2)]
        for work in works:
            self.detach(work)
        self.visit.disconnect()
        self.assertEqual(self.detached(), works)
        works[0].callback(None)
        self.assertEqual(self.detached(), works[1:])
        works[1].errback(ValueError())
        self.assertEqual([*self.monitor.detached], [])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_work_that_has_ended(self) -> None:
        """A monitor does not hold detached work that had already ended."""
        work: Deferred[None] = Deferred()
        work.callback(None)
        self.detach(work)
        self.assertEqual([*self.monitor.detached], [])

    def test_can_stop_it(self) -> None:
        """A monitor can ask detached work to stop, and the cancellation is logged."""
        self.detach(Deferred())
        self.monitor.detached[0].cancel()
        self.assertEqual([*self.monitor.detached], [])
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_a_drain_of_the_request(self) -> None:
        """A cancel of the request does not reach detached work, and the monitor still knows it."""
        errand = Errand()
        self.detach(errand)
        self.visit.scope.cancel(Draining())
        self.assertEqual((errand.asked, self.detached()), ([], [errand]))

    def test_of_entry_points_that_meet(self) -> None:
        """The monitors of all entry points that meet know detached work, each once."""
        inner = Monitor()
        both = Options(monitors=(self.monitor,)).joined(Options(monitors=(inner, self.monitor)))
        self.visit.scope.options = both
        work: Deferred[None] = Deferred()
        self.detach(work)
        self.assertEqual((self.detached(), self.detached(inner)), ([work], [work]))
        work.callback(None)
        self.assertEqual((self.monitor.detached, inner.detached), ((), ()))

    def test_something_else(self) -> None:
        """A `monitor` that is not a Monitor is a TypeError."""
        wrong: Any = object()
        with self.assertRaisesRegex(TypeError, "monitor must be a cancelweb.monitor.Monitor"):
            CancellingResource(Page(waiting), monitor=wrong)
