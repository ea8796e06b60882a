"""Delayed calls, of Twisted and of another make, returned and tracked.

What belongs here: what is peculiar to `IDelayedCall`. What does not: what holds of every kind
of work.
"""

import gc
from typing import Any

from attrs import define
from twisted.internet.defer import CancelledError
from twisted.internet.error import AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall
from twisted.web.server import Request
from zope.interface import implementer

from cancelweb import Ended, ICancellable, scope_of
from cancelweb.testing import Connection

from .._cycles import Memory, no_cycles
from .._pages import PAGE
from ..scopes._tracking import TrackingTestCase, finish


class DelayedCallTests(TrackingTestCase):
    """A delayed call, beyond what holds of every kind."""

    def test_tracked(self) -> None:
        """A tracked call is cancelled when the client leaves."""
        call = self.clock.callLater(1, self.fail)
        self.track(call).disconnect()
        self.assertFalse(call.active())
        self.assertEqual(self.outcome.ended, Ended.STOPPED)

    def test_tracked_and_finished(self) -> None:
        """A tracked call is cancelled when the response is finished."""
        call = self.clock.callLater(1, self.fail)
        connection = self.track(call)
        finish(self.request)
        self.assertFalse(call.active())
        self.assertEqual(connection.response.body, PAGE)

    def test_tracked_and_returned(self) -> None:
        """A call that is both tracked and returned is cancelled, or called, once."""

        def handler(request: Request) -> object:
            return scope_of(request).track(self.clock.callLater(1, finish, request))

        self.visit(handler).disconnect()
        connection = self.visit(handler)
        self.clock.advance(1)
        self.assertEqual(connection.response.body, PAGE)
        ended = [each.ended for each in self.outcomes]
        self.assertEqual(ended, [Ended.STOPPED, Ended.COMPLETED])

    def test_moved(self) -> None:
        """A returned call may be reset and delayed, and is called with its arguments."""
        calls: list[object] = []

        def answer(request: Any, *, note: str) -> None:
            calls.append(note)
            finish(request)

        def handler(request: Request) -> object:
            call = self.clock.callLater(1, answer, request, note="called")
            call.reset(3)
            call.delay(1)
            return call

        connection = self.visit(handler)
        self.clock.advance(3.9)
        self.assertEqual(calls, [])
        self.clock.advance(0.1)
        self.assertEqual(calls, ["called"])
        self.assertEqual(connection.response.body, PAGE)

    def test_tracked_error(self) -> None:
        """A tracked call that raises does so in the reactor's turn, and the outcome is FAILED."""

        def raising() -> None:
            raise KeyError

        self.track(self.clock.callLater(1, raising))
        with self.assertRaises(KeyError):
            self.clock.advance(1)
        finish(self.request)
        self.assertEqual(self.outcome.ended, Ended.FAILED)

    def test_cancelled_by_other_code(self) -> None:
        """A returned call that other code cancels is answered 500 and logged, a turn later."""
        call: Any = self.clock.callLater(1, self.fail)
        connection = self.visit(lambda _: call)
        call.cancel()
        self.assertEqual(connection.received, b"")
        self.clock.advance(0)
        self.assert_failed(connection, CancelledError)
        self.assertRaises(AlreadyCancelled, call.cancel)

    def test_cancelled_and_answered(self) -> None:
        """A returned call that other code cancels and answers in that turn is not an error."""
        call: Any = self.clock.callLater(1, self.fail)

        def handler(request: Any) -> object:
            self.request = request
            return call

        connection = self.visit(handler)
        call.cancel()
        finish(self.request)
        self.clock.advance(0)
        self.assertEqual(connection.response.body, PAGE)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)

    def test_already_called(self) -> None:
        """A call that is over when it is returned leaves the answer to other code."""
        call: Any = self.clock.callLater(0, self.noop)
        self.clock.advance(0)

        def handler(request: Any) -> object:
            self.request = request
            return call

        connection = self.visit(handler)
        self.assertEqual(connection.received, b"")
        finish(self.request)
        self.assertEqual(connection.response.body, PAGE)
        self.assertEqual(call.func, self.noop)

    def noop(self) -> None:
        """The function of a call, which does nothing."""

    def test_ends_without_answer(self) -> None:
        """A returned call that ends without an answer leaves the answer to other code."""

        def handler(request: Any) -> object:
            self.request = request
            return self.clock.callLater(1, self.noop)

        connection = self.visit(handler)
        self.clock.advance(1)
        self.assertEqual(connection.received, b"")
        finish(self.request)
        self.assertEqual(connection.response.body, PAGE)

    def test_over_when_asked(self) -> None:
        """The canceller of a call that is over leaves the call alone."""
        call = self.clock.callLater(1, self.noop)
        canceller = ICancellable(call)
        self.clock.advance(1)
        canceller.cancel()
        self.assertFalse(call.active())

    def test_already_cancelled(self) -> None:
        """A call that was cancelled before it is returned is logged and answered 500."""
        call = self.clock.callLater(1, self.fail)
        call.cancel()
        self.assert_failed(self.visit(lambda _: call), CancelledError)

    def test_keeps_nothing(self) -> None:
        """Once the response is over, its call refers to neither the request nor the scope."""
        memory = Memory()
        calls: list[object] = []
        requests: list[Request] = []

        def handler(request: Request) -> object:
            memory.note(request)
            requests.append(request)
            calls.append(self.clock.callLater(1, lambda: finish(requests.pop())))
            return calls[-1]

        gc.disable()
        self.addCleanup(gc.enable)
        with no_cycles(self):
            self.visit(handler).disconnect()
            requests.clear()
            self.visit(handler)
            self.clock.advance(1)
            self.assertEqual(memory.alive(), [])

    def test_tracked_error_after_finish(self) -> None:
        """A tracked call that raises after it has finished the response has failed."""

        def raising() -> None:
            finish(self.request)
            raise KeyError

        self.track(self.clock.callLater(1, raising))
        with self.assertRaises(KeyError):
            self.clock.advance(1)
        self.assertEqual(self.outcome.ended, Ended.FAILED)


@implementer(IDelayedCall)
@define(eq=False)
class ForeignCall:
    """A delayed call of another make: it tells when it is active, and nothing else."""

    call: Any

    def getTime(self) -> float:
        return float(self.call.getTime())

    def cancel(self) -> None:
        self.call.cancel()

    def delay(self, secondsLater: float) -> None:
        self.call.delay(secondsLater)

    def reset(self, secondsFromNow: float) -> None:
        self.call.reset(secondsFromNow)

    def active(self) -> bool:
        return bool(self.call.active())


class ForeignDelayedCallTests(TrackingTestCase):
    """An `IDelayedCall` that has no more than the interface says."""

    def visit_foreign(self) -> Connection:
        """Visit a page that is answered by a foreign call."""

        def handler(request: Any) -> object:
            self.request = request
            self.call = ForeignCall(self.clock.callLater(1, finish, request))
            return self.call

        return self.visit(handler)

    def test_completes(self) -> None:
        """A foreign call answers the request and completes."""
        connection = self.visit_foreign()
        self.clock.advance(1)
        self.assertEqual(connection.response.body, PAGE)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)

    def test_stops(self) -> None:
        """A foreign call is cancelled when the client leaves."""
        self.visit_foreign().disconnect()
        self.assertFalse(self.call.active())
        self.assertEqual(self.outcome.ended, Ended.STOPPED)

    def test_answered_by_other_code(self) -> None:
        """A foreign call is not waited for when other code has answered, and runs on."""
        connection = self.visit_foreign()
        self.request.finish()
        self.assertTrue(self.call.active())
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)
        connection.disconnect()
        self.assertTrue(self.call.active())

    def test_returned_after_the_answer(self) -> None:
        """A foreign call that is returned after the answer is not waited for."""

        async def handler(request: Any) -> object:
            request.finish()
            self.call = ForeignCall(self.clock.callLater(1, self.noop))
            return self.call

        self.visit(handler)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)

    def noop(self) -> None:
        """The function of a call, which does nothing."""

    def test_over_already(self) -> None:
        """A foreign call that is over when it is returned is let go when the client leaves."""
        call = ForeignCall(self.clock.callLater(1, self.fail))
        call.cancel()
        connection = self.visit(lambda _: call)
        connection.disconnect()
        self.assertEqual(self.outcome.ended, Ended.LET_GO)

    def test_over_when_asked(self) -> None:
        """A foreign call that is over when the client leaves is not cancelled again."""
        connection = self.visit_foreign()
        self.call.cancel()
        connection.disconnect()
        self.assertEqual(self.flushLoggedErrors(), [])
