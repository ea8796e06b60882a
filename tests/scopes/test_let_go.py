"""Which work is let go: that which nothing can stop, and for which something still runs.

What belongs here: how requests end. What does not: what is told about it, see `test_let_go_told`.
"""

import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    gatherResults,
    inlineCallbacks,
    race,
    succeed,
)
from twisted.internet.task import deferLater
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Ended, Shared, current_scope, shield

from .._pages import Handler, returning
from .._visits import Visit
from .._work import Errand
from ._let_go import Await, LetGoTestCase


def pure_wait() -> Deferred[Any]:
    """A Deferred whose canceller declares that there is nothing behind it to stop."""
    return Deferred(lambda _: None)


async def awaited(deferred: Deferred[Any]) -> Any:
    """A coroutine that awaits the Deferred."""
    return await deferred


async def deeply_awaited(deferred: Deferred[Any]) -> Any:
    """A coroutine that awaits another one, which awaits the Deferred."""
    return await awaited(deferred)


@inlineCallbacks
def yielded(deferred: Deferred[Any]) -> Generator[Deferred[Any], Any, Any]:
    """A generator of `inlineCallbacks` that waits for the Deferred."""
    return (yield deferred)


async def streamed(deferred: Deferred[Any]) -> AsyncIterator[bytes]:
    """A stream that awaits the Deferred."""
    yield await deferred


def chained(deferred: Deferred[Any]) -> Deferred[Any]:
    """A Deferred that has fired, and waits for the given one."""
    return succeed(None).addCallback(lambda _: deferred)


def gathered(deferred: Deferred[Any]) -> Deferred[Any]:
    """A list of the Deferred and a pure wait."""
    return gatherResults([pure_wait(), deferred], consumeErrors=True)


async def listed(deferred: Deferred[Any]) -> None:
    """A coroutine that awaits a list, which gives failures as results."""
    await DeferredList([deferred, pure_wait()], consumeErrors=True)
    raise CancelledError


def raced(deferred: Deferred[Any]) -> Any:
    """A coroutine that awaits a race, which has another race in it."""
    return awaited(race([pure_wait(), race([pure_wait(), deferred])]))


def shared(deferred: Deferred[Any]) -> Any:
    """A coroutine that awaits a run that no other request shares."""
    return awaited(Shared(awaited)(deferred))


WAYS: list[Any] = [
    *(lambda deferred: deferred, awaited, deeply_awaited, yielded, streamed, chained, gathered),
    *(listed, raced, shared),
]
"""Ways to wait for a Deferred."""


class StoppedMeansStoppedTests(LetGoTestCase):
    """Promise 9: "stopped" only if nothing is left behind that runs."""

    def handlers(self, make: Any) -> list[Handler]:
        """For each way to wait for what is made: handlers that return, and that track, the wait."""

        def tracking(way: Await) -> Handler:
            def handler(_: Request) -> int:
                current_scope().track(way(make()))
                return NOT_DONE_YET

            return handler

        def returned(way: Await) -> Handler:
            return lambda _: way(make())

        return [returned(way) for way in WAYS] + [
            tracking(way) for way in WAYS if way is not streamed
        ]

    def test_without_a_canceller(self) -> None:
        """Work that waits for a Deferred without a canceller, which other code holds, is let go."""
        for end in (self.leave, self.time_out):
            for handler in self.handlers(self.wait):
                self.assertIs(end(handler), Ended.LET_GO)
                self.assertEqual(len(self.monitor.let_go), 1)
                self.held.clear()
                self.assertEqual(self.monitor.let_go, ())

    def test_nothing_behind_it(self) -> None:
        """Work was stopped if nothing refers to its Deferred after the cancel."""
        for end in (self.leave, self.time_out):
            for handler in self.handlers(Deferred[Any]):
                self.assertIs(end(handler), Ended.STOPPED)
        self.assertEqual(self.monitor.let_go, ())
        self.assertEqual(self.lines(), [])

    def test_nothing_behind_it_and_caught(self) -> None:
        """Work with nothing behind it is not let go if its handler catches the cancellation."""
        self.assert_caught_and_not_let_go(lambda: None)

    def test_caught_while_the_collector_runs(self) -> None:
        """What a caught cancellation refers to may have survived one run of the collector."""
        self.assert_caught_and_not_let_go(lambda: gc.collect(0))

    def assert_caught_and_not_let_go(self, meanwhile: Callable[[], object]) -> None:
        """Handlers that catch the cancellation, and have this happen then, let nothing go."""
        caught: list[type[Exception]] = []

        def catching(way: Await, then: Callable[[], Awaitable[Any]]) -> Handler:
            async def handler(_: Request) -> bytes:
                try:
                    await way(Deferred())
                except Exception as error:
                    caught.append(type(error))
                    meanwhile()
                await then()
                return b""

            return handler

        for way in WAYS:
            if way is streamed:
                continue
            for then in (lambda: succeed(None), lambda: deferLater(self.clock, 1)):
                self.visit(catching(way, then)).disconnect()
                self.clock.advance(1)
                self.assertIn(self.ended(), (Ended.COMPLETED, Ended.STOPPED))
        self.assertEqual(len(caught), 2 * len(WAYS) - 2)
        self.assertEqual(self.monitor.let_go, ())

    def test_a_pure_wait(self) -> None:
        """A Deferred with a canceller counts as stopped, though other code holds it."""

        def make() -> Deferred[Any]:
            self.held.append(pure_wait())
            return self.held[-1]

        for end in (self.leave, self.time_out):
            for handler in self.handlers(make):
                self.assertIs(end(handler), Ended.STOPPED)
        self.assertEqual(self.monitor.let_go, ())

    def test_a_cancel_of_its_own(self) -> None:
        """A held Deferred counts as stopped if its class overrides `cancel`."""

        class Own(Deferred[None]):
            def cancel(self) -> None:
                self.errback(CancelledError())

        own = Own()
        self.assertIs(self.leave(lambda _: awaited(own)), Ended.STOPPED)
        own = Own()
        self.assertIs(self.leave(lambda _: own), Ended.STOPPED)

    def test_a_coroutine_in_a_race(self) -> None:
        """A race with a coroutine is let go, or stopped, as what the coroutine awaits."""
        for wait, expected in ((self.wait(), Ended.LET_GO), (pure_wait(), Ended.STOPPED)):
            member = Deferred.fromCoroutine(awaited(wait))
            self.assertIs(self.leave(returning(race([pure_wait(), member]))), expected)

    def test_a_member_that_has_fired(self) -> None:
        """A list whose only member without a canceller has fired counts as stopped."""
        self.wait().callback(None)
        done = self.held[0]
        members = gatherResults([done, pure_wait()], consumeErrors=True)
        self.assertIs(self.leave(returning(members)), Ended.STOPPED)

    def test_the_end_of_the_request(self) -> None:
        """A handler that waits for a Deferred of `notifyFinish` counts as stopped."""
        self.assertIs(self.time_out(lambda request: request.notifyFinish()), Ended.STOPPED)
        self.assertIs(self.time_out(lambda request: awaited(request.notifyFinish())), Ended.STOPPED)

    def test_beside_work_that_stops(self) -> None:
        """A request ends as let go if one of several pieces of work is let go."""

        async def handler(_: Request) -> None:
            current_scope().track(self.wait())
            current_scope().track(Errand())
            await deferLater(self.clock, 1)

        self.assertIs(self.leave(handler), Ended.LET_GO)

    def test_worse_ends(self) -> None:
        """A request that fails, or that has a survivor, does not end as let go."""

        async def failing(_: Request) -> None:
            try:
                await self.wait()
            finally:
                raise ValueError

        self.assertIs(self.leave(failing), Ended.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

        async def surviving(_: Request) -> None:
            try:
                await self.wait()
            except CancelledError:
                await Deferred(lambda _: None)

        self.visit(surviving, survivor_after=2).disconnect()
        self.clock.advance(1)
        self.assertEqual(self.outcomes, [])
        self.clock.advance(1)
        self.assertIs(self.ended(), Ended.SURVIVED)

    def test_that_is_swallowed(self) -> None:
        """Work is let go although its handler swallows the cancellation and goes on to its end."""

        async def handler(_: Request) -> bytes:
            with contextlib.suppress(CancelledError):
                await self.wait()
            return b"late"

        self.assertIs(self.leave(handler), Ended.LET_GO)

    def test_that_ends_before_the_rest(self) -> None:
        """Work is not let go if it has ended when the rest of the work has."""

        async def handler(_: Request) -> None:
            try:
                await self.wait()
            finally:
                await deferLater(self.clock, 1)

        for ends, expected in ((True, Ended.STOPPED), (False, Ended.LET_GO)):
            self.visit(handler).disconnect()
            if ends:
                self.held.clear()
            self.clock.advance(1)
            self.assertIs(self.ended(), expected)

    def test_shielded(self) -> None:
        """Shielded work is waited for, and is not let go."""
        self.visit(lambda _: shield(self.wait())).disconnect()
        self.assertEqual(self.outcomes, [])
        self.held[0].callback(None)
        self.assertIs(self.ended(), Ended.STOPPED)

    def test_shared_work_whose_end_cannot_be_observed(self) -> None:
        """A shared run is let go, for the request that leaves it, if its end cannot be observed."""

        class Unseen(Errand):
            is_end_observable = False

        work = Unseen(obedient=False)
        run: Any = Shared(lambda: work)  # type: ignore[arg-type,return-value]
        self.assertIs(self.leave(lambda _: run()), Ended.LET_GO)
        self.assertEqual((work.asked, self.monitor.let_go), ([""], ()))

    def test_leftover_work(self) -> None:
        """Leftover work that is let go does not make its request end as let go."""

        def handler(_: Request) -> bytes:
            current_scope().track(self.wait())
            return b"page"

        self.visit(handler)
        self.assertLess(self.ended(), Ended.LET_GO)
        self.assertEqual(len(self.monitor.let_go), 1)

    def test_on_the_fast_path_and_off_it(self) -> None:
        """On the fast path, too, work that is let go is told from work that is stopped."""
        on_fast_path = []
        for make, expected in ((self.wait, Ended.LET_GO), (Deferred[Any], Ended.STOPPED)):
            for handler in self.handlers(make):
                for visit in (Visit(handler), Visit(handler, observers=())):
                    on_fast_path.append(visit.scope._life is None)
                    visit.disconnect()
                    self.assertIs(visit.scope.ended, expected)
        self.assertEqual(set(on_fast_path), {True, False})
