"""Much that one scope takes on or gives up: each costs the same, however many there are.

Counted, not timed (`_counting`). What belongs here: tracking, detaching, hooks. What does not:
stopping (`test_many`).
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.web.server import Request

from cancelweb import Scope, detach, shield

from .._pages import waiting
from .._work import Errand
from ._counting import assert_linear
from ._many import KINDS, Make, ManyTestCase, a_deaf_errand, a_deferred, an_errand


class TrackedTests(ManyTestCase):
    """Work that is tracked."""

    def assert_linear_to_track(self, serve: Callable[[], object]) -> None:
        """It is linear to track many works, of whatever kind, where a page was served before."""
        for make in KINDS:

            def prepare(number: int, make: Make = make) -> Callable[[], object]:
                serve()
                scope = self.visit.scope
                works = [make(scope) for _ in range(number)]

                def act() -> None:
                    for each in works:
                        scope.track(each)

                return act

            assert_linear(self, prepare, make.__name__)
            self.visit.disconnect()
            self.visit.clock.advance(5)

    def test_in_time(self) -> None:
        """While a request is open, tracking is linear, of whatever kind the work is."""
        self.assert_linear_to_track(lambda: self.serve(waiting))

    def test_on_a_cancelled_scope(self) -> None:
        """So it is on a scope that was cancelled, and waits for other work."""

        def serve() -> None:
            self.serve_tracking(a_deaf_errand, 1)
            self.visit.disconnect()

        self.assert_linear_to_track(serve)

    def test_on_a_closed_scope(self) -> None:
        """So it is on a closed one."""

        def serve() -> None:
            self.serve(waiting)
            self.visit.disconnect()

        self.assert_linear_to_track(serve)

    def test_while_hooks_run(self) -> None:
        """So it is while hooks run, and stopping what is left of it when they are through."""

        def serve(number: int) -> Callable[[], object]:
            done: Deferred[None] = Deferred()
            self.serve(waiting, on_exit=lambda _: done)
            self.visit.disconnect()
            works = [Errand() for _ in range(number)]

            def act() -> None:
                for each in works:
                    self.visit.scope.track(each)
                done.callback(None)
                self.assertEqual([each.asked for each in works], [[""]] * number)

            return act

        assert_linear(self, serve)

    def test_twice(self) -> None:
        """So it is to track the same works once more."""

        def prepare(number: int) -> Callable[[], object]:
            works = self.serve_tracking(an_errand, number)
            return lambda: [self.visit.scope.track(each) for each in reversed(works)]

        assert_linear(self, prepare)

    def test_resources(self) -> None:
        """So it is to acquire resources, and to lose interest in them."""

        def prepare(number: int) -> Callable[[], object]:
            self.serve(waiting)
            sources: list[Deferred[None]] = [Deferred() for _ in range(number)]

            def act() -> None:
                for each in sources:
                    self.visit.scope.acquire(each, bool).addErrback(lambda _: None)
                self.visit.disconnect()
                for each in sources:
                    each.callback(None)
                self.assertIs(self.visit.scope.request, None)

            return act

        assert_linear(self, prepare)

    def test_shielded(self) -> None:
        """So it is to shield work, which ends by itself."""

        def prepare(number: int) -> Callable[[], object]:
            gate: Deferred[None] = Deferred()
            works: list[Deferred[None]] = [Deferred() for _ in range(number)]

            async def handler(_: Request) -> None:
                await gate
                for each in works:
                    shield(each)
                for each in works:
                    each.callback(None)
                await Deferred()

            self.serve(handler)
            return lambda: gate.callback(None)

        assert_linear(self, prepare)


class DetachedTests(ManyTestCase):
    """Work that is detached."""

    def assert_linear_to_detach(self, make: Any, is_tracked: bool) -> None:
        """It is linear to detach works, which are tracked, or are beside as many that are."""

        def prepare(number: int) -> Callable[[], object]:
            gate: Deferred[None] = Deferred()
            works: list[object] = []

            async def handler(_: Request) -> None:
                await gate
                for each in works:
                    detach(each)
                await Deferred()

            tracked = self.serve_tracking(make, number, handler)
            others = [make(self.visit.scope) for _ in range(number)]
            works.extend(tracked if is_tracked else others)
            return lambda: gate.callback(None)

        assert_linear(self, prepare)

    def test_that_was_tracked(self) -> None:
        """It is linear to detach what was tracked."""
        self.assert_linear_to_detach(a_deferred, is_tracked=True)
        self.assert_linear_to_detach(an_errand, is_tracked=True)

    def test_that_was_not(self) -> None:
        """It is linear to detach work beside other work that is tracked."""
        self.assert_linear_to_detach(a_deferred, is_tracked=False)


class HookTests(ManyTestCase):
    """Cleanup hooks."""

    def assert_linear_to_clean_up(self, hook: Callable[[Scope], object]) -> None:
        """It is linear to register many hooks and to run them."""

        def prepare(number: int) -> Callable[[], object]:
            self.serve(waiting)

            def act() -> None:
                for _ in range(number):
                    self.visit.scope.on_exit(hook)
                    self.visit.scope.on_cancel(hook)
                self.leave()

            return act

        assert_linear(self, prepare)

    def test_at_once(self) -> None:
        """It is linear to register many hooks, and to run them."""
        self.assert_linear_to_clean_up(lambda _: None)
        self.assert_linear_to_clean_up(lambda _: succeed(None))

    def test_that_wait(self) -> None:
        """So it is where each is waited for."""

        def prepare(number: int) -> Callable[[], object]:
            gates: list[Deferred[None]] = []

            def hook(_: Scope) -> Deferred[None]:
                gates.append(Deferred())
                return gates[-1]

            self.serve(waiting, on_exit=[hook] * number)
            self.visit.disconnect()

            def act() -> None:
                for each in gates:
                    # Each lets the next begin.
                    each.callback(None)
                self.assertIs(self.visit.scope.request, None)

            return act

        assert_linear(self, prepare)

    def test_that_fail(self) -> None:
        """So it is where each fails."""
        self.assert_linear_to_clean_up(lambda _: 1 // 0)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_that_come_late(self) -> None:
        """So it is where they are registered when the scope was cancelled, and run at once."""

        def prepare(number: int) -> Callable[[], object]:
            self.serve_tracking(a_deaf_errand, 1)
            self.visit.disconnect()
            scope = self.visit.scope
            return lambda: [scope.on_cancel(lambda _: None) for _ in range(number)]

        assert_linear(self, prepare)
