"""Stopping the work of one request costs the same per piece, however many pieces there are.

Steps are counted, not timed (`_counting`). What belongs here: work that is asked to stop. What does
not: tracking it (`test_many_tracked`), and many requests (`test_many_scopes`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import current_scope, shield

from .._pages import returning, waiting
from ._counting import assert_linear
from ._many import (
    KINDS,
    Make,
    ManyTestCase,
    a_coroutine,
    a_deaf_errand,
    a_deferred,
    a_loop,
    a_task,
    a_timer,
    an_errand,
)
from ._tracking import finish


def chained_on(before: Deferred[Any]) -> Deferred[Any]:
    """A Deferred that has fired, and waits for the given one."""
    return succeed(None).addCallback(lambda _: before)


BUT_DEFERREDS = KINDS[1:]
"""Five, so that each twenty has as many of each; Deferreds have tests of their own."""


class LeftTests(ManyTestCase):
    """The client leaves while much work runs."""

    def test_deferreds(self) -> None:
        """When the client leaves, stopping many Deferreds takes linearly many steps."""
        self.assert_linear_to_leave(partial(self.serve_tracking, a_deferred))

    def test_coroutines(self) -> None:
        """When the client leaves, stopping many coroutines takes linearly many steps."""
        self.assert_linear_to_leave(partial(self.serve_tracking, a_coroutine))

    def test_timers(self) -> None:
        """When the client leaves, stopping many timers takes linearly many steps."""
        self.assert_linear_to_leave(partial(self.serve_tracking, a_timer))

    def test_loops(self) -> None:
        """When the client leaves, stopping many looping calls takes linearly many steps."""
        self.assert_linear_to_leave(partial(self.serve_tracking, a_loop))

    def test_cooperative_tasks(self) -> None:
        """When the client leaves, stopping many cooperative tasks takes linearly many steps."""
        self.assert_linear_to_leave(partial(self.serve_tracking, a_task))

    def test_kinds_of_the_users_own(self) -> None:
        """When the client leaves, stopping much work of a custom kind takes linearly many steps."""
        self.assert_linear_to_leave(partial(self.serve_tracking, an_errand))

    def test_of_several_kinds(self) -> None:
        """When the client leaves, stopping much work of five kinds takes linearly many steps."""
        made: list[object] = []

        def make(scope: Any) -> object:
            made.append(BUT_DEFERREDS[len(made) % len(BUT_DEFERREDS)](scope))
            return made[-1]

        self.assert_linear_to_leave(partial(self.serve_tracking, make))

    def test_a_list_of_them(self) -> None:
        """Stopping a returned list of many tracked Deferreds takes linearly many steps."""

        def serve(number: int) -> None:
            def handler(_: Request) -> object:
                works = [current_scope().track(Deferred[None]()) for _ in range(number)]
                return gatherResults(works, consumeErrors=True)

            self.serve(handler)

        self.assert_linear_to_leave(serve)

    def test_coroutines_that_await_each_other(self) -> None:
        """Stopping many coroutines, each awaiting the one before, takes linearly many steps."""

        async def await_(before: Deferred[None]) -> None:
            await before

        def serve(number: int) -> None:
            def handler(_: Request) -> object:
                last: Deferred[None] = Deferred()
                for _each in range(number):
                    last = current_scope().track(await_(last))
                return last

            self.serve(handler)

        self.assert_linear_to_leave(serve)

    def test_deferreds_that_are_chained(self) -> None:
        """Stopping many Deferreds, each chained on the one before, takes linearly many steps."""

        def serve(number: int) -> None:
            def handler(request: Request) -> object:
                last: Deferred[Any] = Deferred()
                for _each in range(number):
                    last = current_scope().track(chained_on(last))
                return waiting(request)

            self.serve(handler)

        self.assert_linear_to_leave(serve)

    def test_one_deferred(self) -> None:
        """Stopping one Deferred that was tracked many times takes linearly many steps."""

        def serve(number: int) -> None:
            shared: Deferred[None] = Deferred()
            self.serve_tracking(lambda _: shared, number)

        self.assert_linear_to_leave(serve)

    def test_a_coroutine_that_tracks_them_late(self) -> None:
        """A coroutine tracked after the cancel tracks many Deferreds in linearly many steps."""

        async def track(number: int) -> None:
            for _ in range(number):
                current_scope().track(Deferred())
            await Deferred()

        def prepare(number: int) -> Callable[[], object]:
            self.serve_tracking(a_deaf_errand, 1)
            self.visit.disconnect()
            return lambda: self.visit.scope.track(track(number))

        assert_linear(self, prepare)
        self.visit.clock.advance(5)


class SlowTests(ManyTestCase):
    """Much work does not stop at once."""

    def test_that_takes_its_time(self) -> None:
        """Much work that ends piece by piece after the cancel takes linearly many steps."""

        def prepare(number: int) -> Callable[[], object]:
            works = self.serve_tracking(a_deaf_errand, number)
            self.visit.disconnect()
            return lambda: [each.end() for each in works]

        assert_linear(self, prepare)
        self.assertIs(self.visit.scope.request, None)

    def test_that_is_shielded(self) -> None:
        """Many shielded Deferreds that end after the cancel take linearly many steps."""

        def prepare(number: int) -> Callable[[], object]:
            works: list[Deferred[None]] = [Deferred() for _ in range(number)]

            def handler(request: Request) -> object:
                for each in works:
                    shield(each).addErrback(lambda _: None)
                return waiting(request)

            self.serve(handler)
            self.visit.disconnect()

            def act() -> None:
                for each in works:
                    each.callback(None)

            return act

        assert_linear(self, prepare)
        self.assertIs(self.visit.scope.request, None)

    def test_that_survives(self) -> None:
        """Naming many survivors takes linearly many steps, and closes the scope."""

        def prepare(number: int) -> Callable[[], object]:
            self.serve_tracking(a_deaf_errand, number)
            self.visit.disconnect()
            return lambda: self.visit.clock.advance(5)

        assert_linear(self, prepare)
        self.assertIs(self.visit.scope.request, None)

    def test_that_survives_for_a_while(self) -> None:
        """Many survivors that end while a hook still runs take linearly many steps."""

        def prepare(number: int) -> Callable[[], object]:
            works = self.serve_tracking(a_deaf_errand, number)
            self.visit.scope.on_exit(lambda _: Deferred())
            self.visit.disconnect()
            self.visit.clock.advance(5)
            return lambda: [each.end() for each in works]

        assert_linear(self, prepare)

    def test_that_survives_a_closed_scope(self) -> None:
        """Tracking much work on a closed scope, and naming it, takes linearly many steps."""

        def prepare(number: int) -> Callable[[], object]:
            self.serve_tracking(a_deferred, 0)
            self.visit.disconnect()
            works: list[Any] = [a_deaf_errand(self.visit.scope) for _ in range(number)]

            def act() -> None:
                for each in works:
                    self.visit.scope.track(each)
                self.visit.clock.advance(5)

            return act

        assert_linear(self, prepare)


class FinishedTests(ManyTestCase):
    """The response is finished while much work runs."""

    def test_what_is_left_over(self) -> None:
        """Stopping much leftover work of any kind takes linearly many steps."""
        for make in KINDS:

            def prepare(number: int, make: Make = make) -> Callable[[], object]:
                self.serve_tracking(make, number, returning(NOT_DONE_YET))
                return partial(finish, self.visit.scope.request)

            assert_linear(self, prepare, make.__name__)

    def test_what_was_stopped_beside_work_that_runs(self) -> None:
        """Much leftover work that ends beside returned work takes linearly many steps."""

        def prepare(number: int) -> Callable[[], object]:
            returned: Deferred[None] = Deferred()
            works = self.serve_tracking(a_deaf_errand, number, returning(returned))
            self.addCleanup(returned.callback, None)
            finish(self.visit.scope.request)
            return lambda: [each.end() for each in works]

        assert_linear(self, prepare)

    def test_what_ends_before_it_is_asked(self) -> None:
        """Much work that ends in the turn of the response's finish takes linearly many steps."""

        def prepare(number: int) -> Callable[[], object]:
            gate: Deferred[None] = Deferred()
            works = self.serve_tracking(a_deaf_errand, number, returning(NOT_DONE_YET))
            scope = self.visit.scope

            async def act() -> None:
                await gate
                finish(scope.request)
                for each in works:
                    each.end()

            scope.track(act())
            return partial(gate.callback, None)

        assert_linear(self, prepare)

    def test_what_ends_by_itself(self) -> None:
        """Much work that ends before the response does takes linearly many steps."""

        def prepare(number: int) -> Callable[[], object]:
            works = self.serve_tracking(a_deaf_errand, number)
            return lambda: [each.end() for each in works]

        assert_linear(self, prepare)
