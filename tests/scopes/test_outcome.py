"""The Outcome: what it says about each end, and which observers are told.

The package's own observers are for `test_logging`.
"""

import asyncio
import gc
from typing import Any
from weakref import ref

from attrs.exceptions import FrozenInstanceError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource, Disconnected, Ended, Outcome, cancel_on_disconnect

from .._logs import log_events, of_cancelweb
from .._pages import Page, raising, returning, waiting
from .._visits import Visit, connect, kept_request
from .._work import Errand


class OutcomeTests(SynchronousTestCase):
    """What an Outcome tells."""

    def test_completed(self) -> None:
        """The outcome of completed work has no cause, no failure, and times on the Site's clock."""
        result = Deferred[bytes]()
        visit = Visit(lambda _: result)
        visit.clock.advance(2)
        result.callback(b"page")
        self.assertEqual(
            visit.outcome,
            Outcome(
                method=b"GET",
                path=b"/",
                cause=None,
                ended=Ended.COMPLETED,
                opened=0,
                cancelled=None,
                stopped=2,
                closed=2,
                status=200,
                sent=4,
                handler="tests._visits.Visit._handle",
            ),
        )

    def test_times(self) -> None:
        """The outcome's `opened` is the time before the handler's call, however long that takes."""

        def handler(request: Any) -> object:
            request.site.reactor.advance(2)
            return results.pop()

        result: Deferred[bytes] = Deferred()
        results: list[object] = [b"page", result]
        late, at_once = Visit(handler), Visit(handler)
        late.clock.advance(1)
        result.callback(b"page")
        for visit, closed in ((late, 3), (at_once, 2)):
            self.assertEqual((visit.outcome.opened, visit.outcome.closed), (0, closed))

    def test_times_of_entry_points_that_meet_late(self) -> None:
        """An entry point that is met after the handler has waited leaves `opened` as it was."""
        waited: Deferred[None] = Deferred()
        inner = CancellingResource(Page(waiting))

        async def handler(request: Request) -> Any:
            await waited
            return inner.render(request)

        events = log_events(self)
        connection = connect(Page(cancel_on_disconnect(handler)))
        connection.get()
        connection.client.clock.advance(2)
        waited.callback(None)
        connection.disconnect()
        (event,) = of_cancelweb(events)
        self.assertEqual(event["outcome"].opened, 0)

    def test_times_of_a_refusal(self) -> None:
        """The outcome of a refusal tells when the scope was opened, however long its hooks take."""
        connection, request = kept_request()
        connection.disconnect()
        events, hook = log_events(self), Deferred[None]()
        cancel_on_disconnect(on_exit=lambda _: hook)(waiting)(request)
        connection.client.clock.advance(2)
        hook.callback(None)
        (event,) = of_cancelweb(events)
        self.assertEqual((event["outcome"].opened, event["outcome"].closed), (0, 2))

    def test_stopped(self) -> None:
        """The outcome of work that took time to stop has the cause, all times, and no failure."""
        work, slow = Errand(obedient=False), Deferred[None]()
        visit = Visit(lambda _: work, on_cancel=lambda _: slow)
        visit.clock.advance(2)
        visit.disconnect()
        visit.clock.advance(1)
        work.fail(CancelledError())
        visit.clock.advance(3)
        slow.callback(None)
        outcome = visit.outcome
        self.assertEqual(outcome.ended, Ended.STOPPED)
        self.assertIsInstance(outcome.cause, Disconnected)
        self.assertEqual((outcome.opened, outcome.cancelled), (0, 2))
        self.assertEqual((outcome.stopped, outcome.closed), (3, 6))
        self.assertIsNone(outcome.failure)

    def test_stopped_by_its_own_handler(self) -> None:
        """Work that its handler cancels in notifyFinish counts as stopped by the disconnect."""

        def handler(request: Request) -> Deferred[bytes]:
            work: Deferred[bytes] = Deferred()
            request.notifyFinish().addErrback(lambda _: work.cancel())
            return work

        visit = Visit(handler)
        visit.disconnect()
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)
        self.assertIsInstance(visit.outcome.cause, Disconnected)

    def test_failed(self) -> None:
        """The outcome of a handler that raised has the failure, and no cause."""
        outcome = Visit(raising).outcome
        self.assertEqual((outcome.ended, outcome.cause), (Ended.FAILED, None))
        failure = outcome.failure
        assert failure is not None
        self.assertEqual(failure.getErrorMessage(), "the handler's")
        self.flushLoggedErrors(ValueError)

    def test_keeping_it_keeps_no_request(self) -> None:
        """Keeping the outcome of a handler that raised does not keep its request in memory."""
        requests: list[ref[Request]] = []

        def handler(request: Request) -> bytes:
            requests.append(ref(request))
            return raising(request)

        outcome = Visit(handler).outcome
        self.flushLoggedErrors(ValueError)
        gc.collect()
        self.assertEqual((outcome.ended, requests[0]()), (Ended.FAILED, None))

    def test_keeping_one_of_a_wrong_result(self) -> None:
        """The failure of a wrong result names what was returned, and has no traceback."""
        outcome = Visit(returning("text")).outcome
        self.flushLoggedErrors(TypeError)
        assert outcome.failure is not None
        self.assertIs(getattr(outcome.failure.value, "__traceback__", ""), None)
        self.assertRegex(outcome.failure.getErrorMessage(), "returned 'text', of type str")

    def test_failed_with_what_cannot_be_copied(self) -> None:
        """The outcome has the failure even if its exception cannot be copied."""

        class Peculiar(Exception):
            def __init__(self, one: str, two: str) -> None:
                super().__init__(one + two)

        def handler(request: object) -> bytes:
            raise Peculiar("pecu", "liar")

        failure = Visit(handler).outcome.failure
        assert failure is not None
        self.assertEqual(failure.getErrorMessage(), "peculiar")
        self.flushLoggedErrors(Peculiar)

    def test_failed_after_the_client_had_left(self) -> None:
        """A failure while work is being stopped is logged once, and the request ends as FAILED."""

        async def handler(request: object) -> None:
            try:
                await Deferred[None]()
            finally:
                raise ValueError("in the finally")

        visit = Visit(handler)
        visit.disconnect()
        self.assertEqual(visit.outcome.ended, Ended.FAILED)
        self.assertIsInstance(visit.outcome.cause, Disconnected)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_survived(self) -> None:
        """A request whose work does not stop ends as SURVIVED, when the work is named."""
        visit = Visit(lambda _: Errand(obedient=False), survivor_after=1)
        visit.disconnect()
        visit.clock.advance(1)
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)
        self.assertEqual((visit.outcome.cancelled, visit.outcome.stopped), (0, 1))

    def test_refused(self) -> None:
        """A request whose handler is not called, as its client has gone, ends as REFUSED."""
        outcomes: list[Outcome] = []
        connection, request = kept_request(path=b"/gone?really")
        connection.disconnect()
        cancel_on_disconnect(observers=outcomes.append)(raising)(request)
        self.assertEqual([each.ended for each in outcomes], [Ended.REFUSED])
        self.assertEqual(outcomes[0].cause, Disconnected())
        self.assertEqual(outcomes[0].path, b"/gone")
        self.assertIsNotNone(outcomes[0].cancelled)

    def test_left_and_not_cancelled(self) -> None:
        """If the method forbids a cancel, the outcome has the reason with which the client left."""
        outcomes: list[Outcome] = []
        wrapper = CancellingResource(Page(lambda _: NOT_DONE_YET), observers=outcomes.append)
        connection, reason = connect(wrapper), ConnectionLost()
        connection.request(b"POST")
        connection.disconnect(reason)
        (outcome,) = outcomes
        assert isinstance(outcome.would_have_cancelled, Disconnected)
        failure = outcome.would_have_cancelled.failure
        self.assertIs(failure and failure.value, reason)

    def test_the_worst_of_all(self) -> None:
        """The outcome tells the worst end of all tracked work: a survivor beats a failure."""
        visit = Visit(lambda _: Errand(obedient=False))
        failing = visit.scope.track(Errand())
        failing.fail(ValueError())
        visit.scope.track(Errand())
        visit.disconnect()
        visit.clock.advance(6)
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)
        self.assertIsNotNone(visit.outcome.failure)
        self.flushLoggedErrors(ValueError)

    def test_from_best_to_worst(self) -> None:
        """The members of `Ended` sort from the best, COMPLETED, to the worst, REFUSED."""
        self.assertEqual(
            sorted(Ended),
            [
                *(Ended.COMPLETED, Ended.STOPPED, Ended.LET_GO),
                *(Ended.FAILED, Ended.SURVIVED, Ended.REFUSED),
            ],
        )

    def test_the_first_failure(self) -> None:
        """Of several failures of tracked work, the outcome has the first."""
        visit = Visit(waiting)
        for text in ("first", "second"):
            visit.scope.track(Errand()).fail(ValueError(text))
        visit.disconnect()
        failure = visit.outcome.failure
        assert failure is not None
        self.assertEqual(failure.getErrorMessage(), "first")
        self.flushLoggedErrors(ValueError)

    def test_is_frozen(self) -> None:
        """Setting an attribute of an outcome raises an error."""
        outcome: Any = Visit(lambda _: b"page").outcome
        with self.assertRaises(FrozenInstanceError):
            outcome.ended = Ended.FAILED


class ObserverTests(SynchronousTestCase):
    """Observers are told about the outcome."""

    def test_all_in_order_and_once(self) -> None:
        """Each observer is told once, in the order given, after the scope let go of its request."""
        told: list[object] = []

        def first(outcome: Outcome) -> None:
            told.append(visit.scope.request)

        visit = Visit(waiting, observers=[first, lambda _: told.append("second")])
        visit.disconnect()
        self.assertEqual(told, [None, "second"])

    def test_one_that_raises(self) -> None:
        """An observer that raises is logged, and the other observers are told."""

        def broken(outcome: Outcome) -> None:
            raise ValueError

        told: list[Outcome] = []
        Visit(lambda _: b"page", observers=[broken, told.append])
        self.assertEqual(len(told), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_one_that_raises_what_is_no_exception(self) -> None:
        """An observer that raises asyncio.CancelledError is logged, and the others are told."""

        def broken(outcome: Outcome) -> None:
            raise asyncio.CancelledError

        told: list[Outcome] = []
        Visit(lambda _: b"page", observers=[broken, told.append])
        self.assertEqual(len(told), 1)
        self.assertEqual(len(self.flushLoggedErrors(asyncio.CancelledError)), 1)

    def test_after_the_hooks(self) -> None:
        """Observers are told after the last hook has run."""
        told: list[str] = []
        Visit(
            lambda _: b"page",
            on_exit=lambda _: told.append("hook"),
            observers=lambda _: told.append("observer"),
        )
        self.assertEqual(told, ["hook", "observer"])
