"""Late children on dead requests: observers and monitors are told about the second scope.

What belongs here: handlers that run although their request is over, and what is told about them.
What does not: whether they are run (`test_late_children`), and what else may meet a dead request
(`test_late_children_further`).
"""

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import formatEvent
from twisted.web.server import Request
from twisted.web.util import DeferredResource

from cancelweb import CancellingResource, Disconnected, Draining, Ended, Outcome
from cancelweb.monitor import Monitor

from .._cycles import no_cycles
from .._logs import log_events, of_cancelweb
from .._visits import connect
from ._second_scopes import SecondScopeTestCase


class FailureInALateChildIsReportedTests(SecondScopeTestCase):
    """Promise 6: a failure in a late child is reported like any other failure."""

    def test_later(self) -> None:
        """The failure of a late child that has waited is logged once, and the outcome has it."""
        self.leave()
        self.deliver(self.failing)
        self.clock.advance(1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        outcome = self.second()
        self.assertEqual(outcome.ended, Ended.FAILED)
        assert outcome.failure is not None
        self.assertIs(outcome.failure.type, ValueError)
        self.assertEqual(self.monitor.totals["none", "failed"], 1)

    def test_at_once(self) -> None:
        """The failure of a late child that raises is logged once, and the outcome is FAILED."""

        def raising(request: Request) -> bytes:
            raise ValueError

        self.leave()
        self.deliver(raising)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.second().ended, Ended.FAILED)

    def test_in_the_default_log(self) -> None:
        """The default observer logs one line about a late child that fails."""
        self.leave(observers=None)
        events = log_events(self)
        self.deliver(self.failing)
        self.clock.advance(1)
        self.flushLoggedErrors(ValueError)
        lines = [formatEvent(each) for each in of_cancelweb(events)]
        self.assertEqual(len([each for each in lines if "POST /" in each]), 1, lines)


class SecondScopeIsToldTests(SecondScopeTestCase):
    """Promise 7: a second scope runs no hooks, but observers and monitors are told about it."""

    def test_its_outcome(self) -> None:
        """A second scope has its own times, and its outcome names the disconnect."""
        self.leave()
        self.clock.advance(5)
        self.deliver(self.working)
        self.clock.advance(1)
        self.assertEqual(self.ran, [b"POST"])
        outcome = self.second()
        self.assertEqual((outcome.opened, outcome.closed), (5, 6))
        self.assertIs(outcome.cause, None)
        self.assertIsInstance(outcome.would_have_cancelled, Disconnected)
        self.assertEqual(self.monitor.opened, 2)

    def test_is_seen(self) -> None:
        """A monitor lists a second scope for as long as that scope is open."""
        self.leave()
        self.assertEqual(self.monitor.scopes, ())
        self.deliver(self.working)
        [scope] = self.monitor.scopes
        assert scope.request is not None
        self.assertEqual(scope.request.method, b"POST")
        self.clock.advance(1)
        self.assertEqual(self.monitor.scopes, ())

    def test_a_drain_waits(self) -> None:
        """A drain lets the handler of a second scope finish."""
        self.leave()
        self.deliver(self.working)
        drained = self.monitor.drain(30)
        self.clock.advance(0.9)
        self.assertNoResult(drained)
        self.clock.pump([0.1] * 20)
        self.assertEqual(self.ran, [b"POST"])
        self.successResultOf(drained)

    def test_a_drain_ends(self) -> None:
        """A drain that runs out of time cancels a second scope."""
        self.leave()
        self.deliver(lambda _: Deferred(lambda _: None))
        drained = self.monitor.drain(3)
        self.clock.pump([0.5] * 20)
        self.successResultOf(drained)
        self.assertIsInstance(self.second().cause, Draining)

    def test_a_dry_run(self) -> None:
        """In a dry run, a late child of a GET runs in a second scope, which completes."""
        self.leave(b"GET", dry_run=True)
        self.deliver(self.working)
        self.clock.advance(1)
        self.assertEqual(self.ran, [b"GET"])
        self.assertEqual(self.second().ended, Ended.COMPLETED)

    def test_all_entry_points_are_told(self) -> None:
        """Outer entry points that a late child does not pass again hear about its second scope."""
        outer: list[Outcome] = []
        monitor = Monitor(self.clock)
        wrapper = self.wrap(DeferredResource(self.late))
        wrapper = CancellingResource(wrapper, observers=outer.append, monitor=monitor)
        connection = connect(wrapper, self.clock)
        connection.request(b"POST")
        connection.disconnect()
        self.deliver(self.working)
        self.assertEqual(monitor.scopes, self.monitor.scopes)
        self.clock.advance(1)
        self.assertEqual(outer, self.outcomes)
        self.second()

    def test_no_deadline(self) -> None:
        """The time limits of a request do not count for its second scope."""
        self.leave(timeout=3)
        self.deliver(lambda _: Deferred(lambda _: None))
        [scope] = self.monitor.scopes
        self.assertIs(scope.remaining(), None)

    def test_while_the_first_cleans_up(self) -> None:
        """A second scope that opens while hooks run is not cut when the hooks have ended."""
        self.leave(on_exit=lambda _: deferLater(self.clock, 0.5))
        self.deliver(self.working)
        self.assertEqual(len(self.monitor.scopes), 2)
        self.clock.pump([0.5] * 2)
        self.assertEqual(self.ran, [b"POST"])
        self.assertEqual(len(self.outcomes), 2)
        self.assertEqual(self.outcomes[1].ended, Ended.COMPLETED)

    def test_leaves_nothing_behind(self) -> None:
        """A second scope leaves no reference cycle."""
        self.leave()
        self.outcomes.clear()
        with no_cycles(self):
            self.deliver(self.working)
            self.clock.advance(1)
