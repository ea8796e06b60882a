"""Work that still runs when the response is finished is stopped, and nothing was cancelled.

What belongs here: what hooks, observers, monitors and `check` say about leftover work. What does
not: in which order it is stopped (`test_tracking`).
"""

from collections.abc import Generator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import (
    CancellingResource,
    Cause,
    Disconnected,
    Ended,
    Outcome,
    ResponseFinished,
    Scope,
    ScopeCancelled,
    current_scope,
)
from cancelweb.monitor import Monitor
from cancelweb.testing import Connection

from .._logs import log_events, of_cancelweb
from .._pages import Handler, NoHead, Page
from .._visits import Visit, connect, lose
from .._work import Errand
from ._tracking import finish


def answered(work: object) -> bytes:
    """A handler's answer, beside which this work still runs."""
    current_scope().track(work)
    return b"page"


def reason() -> Cause | None:
    """What `check` says to the code that calls this."""
    try:
        current_scope().check()
    except ScopeCancelled as error:
        return error.cause
    return None


class CancelledMeansTheRequestWasCancelledTests(SynchronousTestCase):
    """Promises 3, 5 and 12: what is told about a request that was answered."""

    def test_hooks(self) -> None:
        """Beside leftover work no hook for a cancel is run; the others are, and see no cause."""
        seen: list[Cause | None] = []
        visit = Visit(
            lambda _: answered(Errand()),
            on_cancel=lambda _: self.fail("a success was taken for a cancel"),
            on_exit=lambda scope: seen.append(scope.cause),
        )
        self.assertEqual((visit.response.body, seen), (b"page", [None]))

    def test_outcome(self) -> None:
        """The outcome of a request with leftover work is completed, and counts that work."""

        def handler(_: Request) -> bytes:
            current_scope().track(Errand())
            return answered(Errand())

        outcome = Visit(handler).outcome
        self.assertEqual((outcome.cause, outcome.cancelled), (None, None))
        self.assertEqual((outcome.ended, outcome.leftovers), (Ended.COMPLETED, 2))

    def test_nothing_is_left_over(self) -> None:
        """Work that ended before the response does not count as leftover work."""
        errand = Errand()
        visit = Visit(lambda _: answered(errand), on_exit=lambda _: None)
        self.assertEqual(visit.outcome.leftovers, 1)
        errand.end()
        self.assertEqual(Visit(lambda _: answered(errand)).outcome.leftovers, 0)

    def test_monitor(self) -> None:
        """A monitor counts a request with leftover work as completed, not as cancelled."""
        monitor = Monitor()
        site = CancellingResource(Page(lambda _: answered(Errand())), monitor=monitor)
        connect(site).get()
        self.assertEqual(monitor.totals, {("none", "completed"): 1})

    def test_log(self) -> None:
        """The default log has no line for a request whose leftover work was stopped."""
        events = log_events(self)
        connect(CancellingResource(Page(lambda _: answered(Errand())))).get()
        self.assertEqual(of_cancelweb(events), [])

    def test_failure(self) -> None:
        """Leftover work that fails after it was asked makes its request a failed one."""
        errand = Errand(obedient=False)
        visit = Visit(lambda _: answered(errand))
        errand.fail(ValueError())
        self.assertEqual((visit.outcome.cause, visit.outcome.ended), (None, Ended.FAILED))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_survivor(self) -> None:
        """Leftover work that does not stop is a survivor, and the log has a line of its request."""
        events = log_events(self)
        errand, monitor = Errand(obedient=False), Monitor()
        connection = connect(CancellingResource(Page(lambda _: answered(errand)), monitor=monitor))
        connection.get()
        connection.client.clock.advance(5)
        [survivor] = monitor.survivors
        self.assertEqual(survivor.cause, ResponseFinished())
        self.assertEqual(monitor.totals, {("none", "survived"): 1})
        line = str(of_cancelweb(events)[-1]["line"])
        self.assertIn("survived after 5.000 s: the response was finished", line)
        errand.end()

    def test_cancelled_with_what_it_awaits(self) -> None:
        """A handler that awaits leftover work ends with it, and its request has completed."""
        work: Deferred[None] = Deferred(lambda _: None)

        async def handler(_: Request) -> None:
            await current_scope().track(work)

        visit = Visit(handler)
        finish(visit.scope.request)
        self.assertEqual((visit.outcome.cause, visit.outcome.ended), (None, Ended.COMPLETED))
        self.assertEqual(visit.outcome.leftovers, 1)


class ReturnedWorkRunsToItsEndTests(SynchronousTestCase):
    """Promise 5: what the handler returned goes on beside its finished response.

    Work that the handler has both returned and tracked goes on; other tracked work is stopped.
    """

    def setUp(self) -> None:
        self.asked: list[str] = []
        self.checked: list[Cause | None] = []
        self.outcomes: list[Outcome] = []
        self.monitor = Monitor()

    async def job(self, request: Any) -> int:
        """Finish the response half-way."""
        await self.step
        finish(request)
        await self.rest
        self.checked.append(reason())
        return NOT_DONE_YET

    def track(self, work: object) -> object:
        """Track an errand, and then this work."""
        current_scope().track(Errand(self.asked, "other"))
        return current_scope().track(work)

    def assert_goes_on(self, handler: Handler) -> Connection:
        """Returned work goes on when the response is finished; returns the connection."""
        self.step: Deferred[None] = Deferred()
        self.rest: Deferred[None] = Deferred(lambda _: self.asked.append("rest"))
        self.asked.clear()
        self.outcomes.clear()
        options: Any = {"monitor": self.monitor, "observers": self.outcomes.append}
        connection = connect(CancellingResource(Page(handler), **options))
        connection.get()
        self.step.callback(None)
        connection.client.clock.advance(0)
        self.assertEqual((self.asked, self.outcomes), (["other"], []))
        return connection

    def test_tracked_as_well(self) -> None:
        """Returned work goes on even if it is tracked by itself, in whatever form."""
        self.assert_goes_on(lambda request: self.track(self.job(request)))
        self.rest.callback(None)
        self.assert_goes_on(lambda request: self.track(Deferred.fromCoroutine(self.job(request))))
        self.rest.callback(None)
        self.assertEqual(self.checked, [None, None])
        self.assertEqual([each.leftovers for each in self.outcomes], [1])

    def test_what_waits_for_it(self) -> None:
        """Tracked work that waits for returned work goes on with it, and is not leftover work."""

        async def tell(work: Deferred[int]) -> None:
            await work
            self.checked.append(None)

        def handler(request: Request) -> Deferred[int]:
            work = Deferred.fromCoroutine(self.job(request))
            self.track(tell(work))
            return work

        self.assert_goes_on(handler)
        self.rest.callback(None)
        self.assertEqual(self.checked, [None, None])
        self.assertEqual([each.leftovers for each in self.outcomes], [1])

    def test_other_kinds(self) -> None:
        """Returned work of the user's own kind goes on, whether it is tracked or not."""
        for is_tracked in (False, True):
            errand = Errand()

            def handler(_: Request, work: Errand = errand, is_tracked: bool = is_tracked) -> Errand:
                self.track(work if is_tracked else Errand())
                return work

            visit = Visit(handler)
            finish(visit.scope.request)
            self.assertEqual((errand.asked, visit.outcomes), ([], []))
            errand.end(NOT_DONE_YET)
            self.assertEqual(visit.outcome.leftovers, 1 + (not is_tracked))

    def test_at_the_end_of_a_drain(self) -> None:
        """Returned work beside its finished response is stopped at the end of a drain."""
        connection = self.assert_goes_on(lambda request: self.track(self.job(request)))
        self.monitor.drain(0)
        connection.client.clock.advance(0)
        self.assertEqual((self.asked, self.checked), (["other", "rest"], []))
        self.assertEqual([each.leftovers for each in self.outcomes], [3])


class CheckTests(SynchronousTestCase):
    """Promise 5: `check` raises in a piece of work that was asked to stop, and in no other."""

    def setUp(self) -> None:
        self.told: list[Cause | None] = []

    async def stubborn(self) -> None:
        """A coroutine that swallows its cancellation, and then calls `check`."""
        try:
            await Deferred(lambda _: None)
        except CancelledError:
            self.told.append(reason())

    @inlineCallbacks
    def stubborn_generator(self) -> Generator[Any, Any, None]:
        """A generator that swallows its cancellation, and then calls `check`."""
        try:
            yield Deferred(lambda _: None)
        except CancelledError:
            self.told.append(reason())

    def test_in_leftover_work(self) -> None:
        """`check` tells the cause in a leftover coroutine that the scope has started."""
        Visit(lambda _: answered(self.stubborn()))
        self.assertEqual(self.told, [ResponseFinished()])

    def test_in_leftover_work_that_ran_before(self) -> None:
        """`check` tells the cause in leftover work that the handler has started itself."""

        def handler(_: Request) -> bytes:
            current_scope().track(Deferred.fromCoroutine(self.stubborn()))
            return answered(self.stubborn_generator())

        Visit(handler)
        self.assertEqual(self.told, [ResponseFinished()] * 2)

    def test_in_what_that_awaits(self) -> None:
        """`check` tells the cause in a generator that leftover work awaits."""

        async def above() -> None:
            await self.stubborn_generator()

        Visit(lambda _: answered(above()))
        self.assertEqual(self.told, [ResponseFinished()])

    def test_in_what_the_handler_returned(self) -> None:
        """`check` does not raise in returned work that goes on beside its finished response."""
        step: Deferred[None] = Deferred()

        async def handler(request: Request) -> None:
            current_scope().track(Errand())
            request.finish()
            self.told.append(reason())
            await step
            self.told.append(reason())

        visit = Visit(handler)
        step.callback(None)
        self.assertEqual((self.told, visit.outcome.leftovers), ([None, None], 1))

    def test_in_returned_work_under_a_faked_head(self) -> None:
        """`check` tells the cause in returned work that is stopped under a faked HEAD."""

        connection = connect(CancellingResource(NoHead(lambda _: self.stubborn())))
        connection.request(b"HEAD")
        self.assertEqual(self.told, [ResponseFinished()])

    def drain(self, handler: Handler) -> None:
        """Ask for a page, and have its site drained at once."""
        monitor = Monitor()
        connection = connect(CancellingResource(Page(handler), monitor=monitor))
        connection.get()
        monitor.drain(0)
        connection.client.clock.advance(0)

    def test_in_returned_work_at_the_end_of_a_drain(self) -> None:
        """`check` tells the cause in returned work that is stopped at the end of a drain."""

        async def handler(request: Request) -> None:
            request.finish()
            await self.stubborn()

        self.drain(handler)
        self.assertEqual(self.told, [ResponseFinished()])

    def test_in_hooks(self) -> None:
        """`check` does not raise in a hook, which was not asked to stop."""
        hooked: list[Cause | None] = []

        async def handler(request: Request) -> None:
            current_scope().on_exit(lambda _: hooked.append(reason()))
            request.finish()
            await self.stubborn()

        self.drain(handler)
        self.assertEqual((self.told, hooked), ([ResponseFinished()], [None]))

    def test_of_another_scope(self) -> None:
        """`check` of another request's scope does not raise in leftover work."""
        other = Visit(lambda _: Deferred(lambda _: None)).scope

        async def work() -> None:
            try:
                await Deferred(lambda _: None)
            except CancelledError:
                other.check()
                self.told.append(None)

        Visit(lambda _: answered(work()))
        self.assertEqual(self.told, [None])

    def test_while_it_runs(self) -> None:
        """Tracked work that finishes the response itself is asked when it comes to a wait."""

        async def work(request: Any) -> None:
            await step
            finish(request)
            self.told.append(reason())
            await self.stubborn()

        step: Deferred[None] = Deferred()

        def handler(request: Request) -> int:
            current_scope().track(work(request))
            return NOT_DONE_YET

        visit = Visit(handler)
        step.callback(None)
        visit.clock.advance(0)
        self.assertEqual(self.told, [None, ResponseFinished()])


class HalfDoneWritesAreNotCutTests(SynchronousTestCase):
    """Promise 11: the work that a spared request tracks is spared, like the returned work."""

    def setUp(self) -> None:
        self.tracked = Errand()
        self.outcomes: list[Outcome] = []

    def handler(self, _: Request) -> int:
        """A handler that answers from work that it tracks."""
        current_scope().track(self.tracked)
        return NOT_DONE_YET

    def handler_of(self, returned: object) -> Handler:
        """A handler that tracks the same work, and returns this."""

        def handler(request: Request) -> object:
            self.handler(request)
            return returned

        return handler

    def post(self, handler: Any = None, **options: Any) -> Connection:
        """Send a POST, and have its client leave."""
        site = CancellingResource(
            Page(handler or self.handler), observers=self.outcomes.append, **options
        )
        connection = connect(site)
        connection.request(method=b"POST")
        connection.disconnect()
        return connection

    def test_not_done_yet(self) -> None:
        """Tracked work of a spared request completes, and the outcome notes the disconnect."""
        self.post(on_cancel=self.fail)
        self.assertEqual((self.tracked.asked, self.outcomes), ([], []))
        self.tracked.end()
        [outcome] = self.outcomes
        self.assertEqual((outcome.cause, outcome.ended), (None, Ended.COMPLETED))
        self.assertIsInstance(outcome.would_have_cancelled, Disconnected)

    def test_may_be_cut(self) -> None:
        """A POST that ``methods`` lists is cancelled with its tracked work, and has its cause."""
        causes: list[Cause | None] = []

        def hook(scope: Scope) -> None:
            causes.append(scope.cause)

        events = log_events(self)
        self.post(methods=["POST"], on_cancel=hook)
        [outcome] = self.outcomes
        self.assertIsInstance(outcome.cause, Disconnected)
        self.assertEqual((self.tracked.asked, causes), ([""], [outcome.cause]))
        self.assertIs(outcome.ended, Ended.STOPPED)
        self.assertEqual(of_cancelweb(events), [])

    def test_answered_by_returned_work(self) -> None:
        """Tracked work of a spared request is leftover work once the returned work has a result."""
        returned: Deferred[bytes] = Deferred()

        self.post(self.handler_of(returned))
        self.assertEqual(self.tracked.asked, [])
        returned.callback(b"page")
        self.assertEqual((self.tracked.asked, self.outcomes[0].leftovers), ([""], 1))

    def test_not_done_yet_later(self) -> None:
        """Returned work that comes to NOT_DONE_YET makes no leftover work of what is tracked."""
        returned: Deferred[int] = Deferred()

        self.post(self.handler_of(returned))
        returned.callback(NOT_DONE_YET)
        self.assertEqual(self.tracked.asked, [])
        self.tracked.end()
        self.assertEqual(self.outcomes[0].leftovers, 0)

    def test_answered_in_the_call(self) -> None:
        """Tracked work is leftover work if the client leaves in a call that returns bytes."""

        def handler(request: Any) -> bytes:
            self.handler(request)
            lose(request)
            return b"page"

        connect(CancellingResource(Page(handler), observers=self.outcomes.append)).request(
            method=b"POST"
        )
        self.assertEqual((self.tracked.asked, self.outcomes[0].leftovers), ([""], 1))

    def test_a_loop_that_reports_progress(self) -> None:
        """An upload is stored, although its client has left; the loop beside it is stopped."""
        stored: Deferred[bytes] = Deferred()
        loop = LoopingCall(lambda: None)

        def handler(_: Request) -> Deferred[bytes]:
            loop.clock = connection.client.clock
            loop.start(1)
            current_scope().track(loop)
            return stored

        connection = connect(CancellingResource(Page(handler), on_cancel=self.fail))
        connection.request(method=b"PUT")
        connection.disconnect()
        self.assertTrue(loop.running)
        stored.callback(b"kept")
        self.assertFalse(loop.running)
