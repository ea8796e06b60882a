"""A canceller that raises: its work is waited for as any other, and other work is asked.

A driver may raise on purpose although its work ends soon. What belongs here: work that ends soon.
What does not: work that runs on (`test_survivors_faulty`), and cancellers that cannot tell when
their work ends (`test_survivors`).
"""

import asyncio
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Ended, current_scope

from .._pages import PAGE, Handler, returning, waiting
from .._work import Errand
from ._faulty import (
    DRIVEN,
    KINDS,
    MOMENT,
    CancellerError,
    Faulty,
    FaultyTestCase,
    Kind,
    WorkError,
    faulty,
    stream,
)
from ._tracking import finish


class SoonTests(FaultyTestCase):
    """Work ends soon after its canceller has raised."""

    def each(self, way: Callable[[Any], Handler], kinds: list[Kind] = KINDS) -> Any:
        """Leave a request with faulty work of each kind, and let a moment pass."""
        for kind in kinds:
            errand = faulty()
            visit = self.visit(way(lambda kind=kind, errand=errand: kind(errand)))
            visit.disconnect()
            self.assert_waits(visit, errand)
            visit.clock.advance(MOMENT)
            self.assert_waits(visit, errand)
            yield visit, errand

    def returned(self, make: Callable[[], Any]) -> Handler:
        """A handler that returns the work."""
        return lambda _: make()

    def tracked(self, make: Callable[[], Any]) -> Handler:
        """A handler that tracks the work beside other work."""

        def handler(request: Request) -> object:
            current_scope().track(make())
            return waiting(request)

        return handler

    def test_that_is_stopped(self) -> None:
        """Work that ends cancelled after its canceller raised was stopped, and then hooks run."""
        for way in (self.returned, self.tracked):
            for visit, errand in self.each(way):
                errand.fail(CancelledError())
                self.assertEqual(self.ran, ["exit"])
                self.assertIs(visit.outcome.ended, Ended.STOPPED)
                self.assert_logged_once()
                self.assertEqual(visit.clock.getDelayedCalls(), [])

    def test_that_completes(self) -> None:
        """Work that ends with a result after its canceller raised completes; no page is sent."""
        for visit, errand in self.each(self.returned):
            errand.end(PAGE)
            self.assertEqual((self.ran, visit.received), (["exit"], b""))
            self.assertIs(visit.outcome.ended, Ended.COMPLETED)
            self.assert_logged_once()

    def test_that_fails(self) -> None:
        """Work that fails after its canceller raised puts its own failure in the outcome."""
        for visit, errand in self.each(self.returned):
            errand.fail(WorkError())
            self.assertIs(visit.outcome.ended, Ended.FAILED)
            failure: Any = visit.outcome.failure
            self.assertIs(failure.type, WorkError)
            self.assert_logged_once(WorkError)

    def test_that_code_awaits(self) -> None:
        """Code that awaits work whose canceller raised waits for that work, and handles its end."""
        for visit, errand in self.each(self.returned, DRIVEN):
            errand.fail(CancelledError())
            self.assertIs(visit.outcome.ended, Ended.STOPPED)
            self.assert_logged_once()
        for visit, errand in self.each(self.returned, DRIVEN):
            errand.fail(WorkError())
            self.assertIs(visit.outcome.ended, Ended.FAILED)
            self.assert_logged_once(WorkError)
        for kind in DRIVEN:
            for visit, errand in self.each(self.returned, [kind]):
                errand.end(PAGE)
                # A stream was asked for no more, and closed.
                ended = Ended.STOPPED if kind is stream else Ended.COMPLETED
                self.assertIs(visit.outcome.ended, ended)
                self.assert_logged_once()

    def test_that_tracked_code_awaits(self) -> None:
        """Tracked code that awaits work whose canceller raised is stopped when that work is."""
        for visit, errand in self.each(self.tracked, DRIVEN[:-1]):
            errand.fail(CancelledError())
            self.assertEqual(self.ran, ["exit"])
            self.assertIs(visit.outcome.ended, Ended.STOPPED)
            self.assert_logged_once()

    def test_whatever_it_raises(self) -> None:
        """Work is waited for even if what its canceller raises is not an Exception."""
        for error in (asyncio.CancelledError, SystemExit, KeyboardInterrupt):
            for kind in KINDS:
                errand = faulty()
                errand.error = error
                visit = self.visit(returning(kind(errand)))
                visit.disconnect()
                self.assert_waits(visit, errand)
                errand.fail(CancelledError())
                self.assertIs(visit.outcome.ended, Ended.STOPPED)
                self.assertEqual(len(self.flushLoggedErrors(error)), 1)

    def test_beside_other_work(self) -> None:
        """If all cancellers raise, all work is still asked, in the usual order."""
        asked: list[str] = []
        works = [Faulty(asked, name, obedient=False) for name in ("1", "2", "3")]

        def handler(_: Request) -> Faulty:
            for each in works[1:]:
                current_scope().track(each)
            return works[0]

        visit = self.visit(handler)
        visit.disconnect()
        self.assertEqual((asked, self.ran), (["1", "3", "2"], []))
        for each in works:
            each.fail(CancelledError())
        self.assertIs(visit.outcome.ended, Ended.STOPPED)
        self.assertEqual(len(self.flushLoggedErrors(CancellerError)), 3)

    def test_at_a_deadline(self) -> None:
        """If a canceller raises at a deadline, the client is still answered in the same turn."""
        errand = faulty()
        visit = self.visit(returning(errand), timeout=3)
        visit.clock.advance(3)
        self.assertEqual(visit.response.code, 503)
        self.assert_waits(visit, errand)
        errand.fail(CancelledError())
        self.assertIs(visit.outcome.ended, Ended.STOPPED)
        self.assert_logged_once()

    def test_that_is_left_over(self) -> None:
        """Leftover work whose canceller raised is waited for."""
        errand = faulty()

        def handler(_: Request) -> int:
            current_scope().track(errand)
            return NOT_DONE_YET

        visit = self.visit(handler)
        finish(visit.scope.request)
        self.assert_waits(visit, errand)
        errand.fail(CancelledError())
        self.assertIs(visit.outcome.ended, Ended.COMPLETED)
        self.assert_logged_once()

    def test_that_comes_late(self) -> None:
        """Work that is tracked on a cancelled scope is waited for though its canceller raises."""
        errand, other = faulty(), Errand(obedient=False)
        visit = self.visit(returning(other))
        visit.disconnect()
        visit.scope.track(errand)
        other.fail(CancelledError())
        self.assert_waits(visit, errand)
        errand.fail(CancelledError())
        self.assertIs(visit.outcome.ended, Ended.STOPPED)
        self.assert_logged_once()
