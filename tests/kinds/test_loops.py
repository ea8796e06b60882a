"""LoopingCalls and CooperativeTasks, returned and tracked.

What belongs here: what is peculiar to these two. What does not: what holds of every kind of
work.
"""

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator, LoopingCall, TaskStopped

from cancelweb import Ended, scope_of

from .._pages import PAGE
from ..scopes._tracking import TrackingTestCase, finish


class LoopingCallTests(TrackingTestCase):
    """A LoopingCall, beyond what holds of every kind."""

    def looping(self, function: Callable[[], object]) -> Any:
        """A LoopingCall on the test's clock."""
        loop = LoopingCall(function)
        loop.clock = self.clock
        return loop

    def test_tracked(self) -> None:
        """A tracked loop is stopped when the client leaves, and its Deferred fires."""
        loop = self.looping(str)
        done = loop.start(1)
        self.track(loop).disconnect()
        self.assertFalse(loop.running)
        self.assertIs(self.successResultOf(done), loop)

    def test_ends_without_answer(self) -> None:
        """A returned loop that ends without an answer leaves the answer to other code."""

        def handler(request: Any) -> object:
            self.request = request
            loop = self.looping(lambda: loop.stop())
            loop.start(1, now=False)
            return loop

        connection = self.visit(handler)
        self.clock.advance(1)
        self.assertEqual(connection.received, b"")
        finish(self.request)
        self.assertEqual(connection.response.body, PAGE)

    def test_ended_before(self) -> None:
        """A loop that has ended before it is returned leaves the answer to other code."""

        def handler(request: Any) -> object:
            self.request = request
            loop = self.looping(lambda: loop.stop())
            loop.start(1)
            return loop

        connection = self.visit(handler)
        finish(self.request)
        self.assertEqual(connection.response.body, PAGE)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)

    def test_never_started(self) -> None:
        """To return or track a loop that was never started is a RuntimeError that says so."""
        self.assert_failed(self.visit(lambda _: self.looping(self.fail)), RuntimeError)
        self.track()
        with self.assertRaisesRegex(RuntimeError, r"was never started. Call its start\(\) first"):
            scope_of(self.request).track(self.looping(self.fail))

    def test_stopped_in_between(self) -> None:
        """A loop that is stopped while a round waits has ended when that round has."""
        turn: Deferred[None] = Deferred()
        loop = self.looping(lambda: turn)
        loop.start(1)
        connection = self.track(loop)
        loop.stop()
        connection.disconnect()
        self.assertEqual(self.outcomes, [])
        turn.callback(None)
        self.assertEqual(self.outcome.ended, Ended.STOPPED)

    def test_asked_in_a_round(self) -> None:
        """A loop whose client leaves while a round waits begins no other round."""
        turns: list[Deferred[None]] = []

        def begin() -> Deferred[None]:
            turns.append(Deferred())
            return turns[-1]

        loop = self.looping(begin)
        loop.start(1)
        self.track(loop).disconnect()
        turns[0].callback(None)
        self.clock.advance(2)
        self.assertEqual(len(turns), 1)
        self.assertEqual(self.outcome.ended, Ended.STOPPED)

    def test_no_warnings(self) -> None:
        """A tracked loop that is stopped issues no warning."""
        loop = self.looping(str)
        loop.start(1)
        self.track(loop).disconnect()
        self.assertEqual(self.flushWarnings(), [])


class CooperativeTaskTests(TrackingTestCase):
    """A CooperativeTask, beyond what holds of every kind."""

    def setUp(self) -> None:
        super().setUp()
        self.steps = 0
        self.cooperator = Cooperator(
            terminationPredicateFactory=lambda: lambda: True,
            scheduler=lambda step: self.clock.callLater(1, step),
        )

    def count(self) -> Iterator[None]:
        """Count three steps of work."""
        for _ in range(3):
            self.steps += 1
            yield

    def test_tracked(self) -> None:
        """A tracked task takes no further step once its client has left."""
        connection = self.track(self.cooperator.cooperate(self.count()))
        self.clock.advance(1)
        connection.disconnect()
        self.clock.pump([1] * 3)
        self.assertEqual(self.steps, 1)

    def test_ends_without_answer(self) -> None:
        """A returned task that ends without an answer leaves the answer to other code."""

        def handler(request: Any) -> object:
            self.request = request
            return self.cooperator.cooperate(self.count())

        connection = self.visit(handler)
        self.clock.pump([1] * 5)
        self.assertEqual(connection.received, b"")
        finish(self.request)
        self.assertEqual(connection.response.body, PAGE)

    def test_paused(self) -> None:
        """A tracked task that is paused is stopped when the client leaves."""
        task = self.cooperator.cooperate(self.count())
        task.pause()
        self.track(task).disconnect()
        self.assertEqual(self.outcome.ended, Ended.STOPPED)
        self.assertRaises(TaskStopped, task.stop)

    def test_stopped_by_other_code(self) -> None:
        """A returned task that other code stops, without an answer, is logged and answered 500."""
        task = self.cooperator.cooperate(self.count())
        connection = self.visit(lambda _: task)
        task.stop()
        self.clock.advance(0)
        self.assertEqual(connection.response.code, 500)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_tracked_error(self) -> None:
        """The error of a tracked task is logged, and the outcome is FAILED."""

        def failing() -> Iterator[None]:
            yield
            raise KeyError

        self.track(self.cooperator.cooperate(failing()))
        self.clock.pump([1, 1])
        self.logged_error(KeyError)
        finish(self.request)
        self.assertEqual(self.outcome.ended, Ended.FAILED)
