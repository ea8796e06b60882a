"""Work that runs on after its canceller has raised is named after the usual time.

What belongs here: survivors, detached work and shared runs whose canceller raises. What does not:
work that ends soon (`test_stopping_faulty`).
"""

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import LogLevel, formatEvent
from twisted.web.server import Request

from cancelweb import Ended, Scope, Shared, detach

from .._logs import log_events, of_cancelweb
from .._pages import PAGE, returning, waiting
from .._visits import Visit
from ..operating._drains import DrainTestCase
from ._faulty import (
    DRIVEN,
    KINDS,
    MOMENT,
    CancellerError,
    Faulty,
    FaultyTestCase,
    Kind,
    faulty,
    wire,
)


class SurvivorTests(FaultyTestCase):
    """Work runs on after its canceller has raised."""

    def test_is_named_after_the_usual_time(self) -> None:
        """Work whose canceller raised is named once, after `survivor_after` seconds."""
        for kind in KINDS:
            self.assert_named(kind, 5)
            self.assert_named(kind, 2, survivor_after=2)

    def test_that_code_awaits(self) -> None:
        """Code that awaits work whose canceller raised is named once, after five seconds."""
        for kind in DRIVEN:
            self.assert_named(kind, 5)

    def assert_named(self, kind: Kind, seconds: int, **options: Any) -> None:
        """Insist that work of this kind is named after so many seconds, and not before."""
        errand = faulty()
        visit = self.visit(returning(kind(errand)), **options)
        visit.disconnect()
        visit.clock.advance(seconds - 0.1)
        self.assert_waits(visit, errand)
        self.assert_logged_once()
        visit.clock.advance(0.2)
        self.assertIs(visit.outcome.ended, Ended.SURVIVED)
        (line,) = self.warnings()
        self.assertIn(f"of GET / still runs {seconds} s after it was asked", line)
        visit.clock.advance(60)
        errand.fail(CancelledError())
        self.assertEqual(len(self.warnings()), 1)
        self.events.clear()

    def test_on_a_closed_scope(self) -> None:
        """Work whose canceller raised on a closed scope is named after five seconds."""
        errand = faulty()
        visit = self.visit(returning(PAGE))
        visit.scope.track(errand)
        self.assertEqual(errand.asked, [""])
        visit.clock.advance(4.9)
        self.assert_logged_once()
        visit.clock.advance(0.2)
        (line,) = self.warnings()
        self.assertIn("still runs 5 s after", line)
        errand.end()

    def test_on_a_closed_scope_in_time(self) -> None:
        """Work whose canceller raised on a closed scope is not named if it ends in time."""
        errand = faulty()
        visit = self.visit(returning(PAGE))
        visit.scope.track(errand)
        visit.clock.advance(MOMENT)
        errand.fail(CancelledError())
        visit.clock.advance(10)
        self.assert_logged_once()

    def test_that_was_tracked_by_a_hook(self) -> None:
        """Work that a hook tracked, and whose canceller raised, is named after five seconds."""
        errand = faulty()

        def hook(scope: Scope) -> None:
            scope.track(errand)

        visit = Visit(waiting, on_exit=hook)
        visit.disconnect()
        self.assertEqual(errand.asked, [""])
        self.assert_logged_once()
        visit.clock.advance(5.1)
        self.assertEqual(len(self.warnings()), 1)
        errand.end()


class ElsewhereTests(DrainTestCase):
    """Work whose canceller raises is detached, shared, or listed by a monitor."""

    def setUp(self) -> None:
        """Collect what is logged."""
        super().setUp()
        self.events = log_events(self)

    def warnings(self) -> list[str]:
        """What was logged of work that runs on."""
        return [formatEvent(each) for each in of_cancelweb(self.events, LogLevel.warn)]

    def drain_detached(self, errand: Faulty) -> list[None]:
        """Drain a server with detached work."""

        def handler(_: Request) -> bytes:
            detach(errand)
            return PAGE

        connection = self.connection(handler)
        connection.get()
        done = self.drain(0)
        self.advance(0, 10)
        self.assertEqual((errand.asked, done), ([""], []))
        self.assertEqual(len(self.flushLoggedErrors(CancellerError)), 1)
        return done

    def test_detached(self) -> None:
        """A drain waits for detached work whose canceller raised until that work ends."""
        errand = faulty()
        done = self.drain_detached(errand)
        self.advance(MOMENT)
        self.assertEqual(done, [])
        errand.end()
        self.advance(0)
        self.assertEqual((done, self.warnings()), ([None], []))

    def test_detached_and_deaf(self) -> None:
        """Detached work whose canceller raised is named after five seconds, and the drain ends."""
        errand = faulty()
        done = self.drain_detached(errand)
        self.advance(4.9)
        self.assertEqual((done, self.warnings()), ([], []))
        self.advance(0.2, 0)
        self.assertEqual((done, len(self.warnings())), ([None], 1))
        errand.end()

    def test_shared(self) -> None:
        """The last waiter of a shared run whose canceller raised waits until it has stopped."""
        errand = faulty()
        visit = Visit(lambda _: Shared(lambda: wire(errand))())
        visit.disconnect()
        visit.clock.advance(MOMENT)
        self.assertEqual((errand.asked, visit.outcomes), ([""], []))
        errand.fail(CancelledError())
        self.assertIs(visit.outcome.ended, Ended.STOPPED)
        self.assertEqual(len(self.flushLoggedErrors(CancellerError)), 1)
        self.assertEqual(self.warnings(), [])

    def test_shared_and_lingering(self) -> None:
        """A lingering run whose canceller raised is named once, after five seconds."""
        errand = faulty()
        visit = Visit(lambda _: Shared(lambda: wire(errand), 1, clock=self.clock)())
        visit.disconnect()
        self.clock.advance(1)
        self.assertEqual(errand.asked, [""])
        self.clock.advance(4.9)
        self.assertEqual(self.warnings(), [])
        self.clock.pump([0.2, 60])
        self.assertEqual(len(self.warnings()), 1)
        self.assertEqual(len(self.flushLoggedErrors(CancellerError)), 1)
        errand.end()

    def test_the_monitor(self) -> None:
        """A monitor lists work whose canceller raised after five seconds, until it ends."""
        errand = faulty()
        connection = self.connection(returning(errand))
        connection.get()
        connection.disconnect()
        self.advance(4.9)
        self.assertEqual(self.monitor.survivors, ())
        self.advance(0.2)
        self.assertEqual(len(self.monitor.survivors), 1)
        errand.end()
        self.assertEqual(self.monitor.survivors, ())
        self.assertEqual(len(self.flushLoggedErrors(CancellerError)), 1)
