"""Tracking, detaching and hooks of one scope cost the same per piece, however many there are.

Steps are counted, not timed (`_counting`). What belongs here: tracking, detaching, hooks. What does
not: stopping (`test_many`).
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
    """Much work is tracked on one scope."""

    def assert_linear_to_track(self, serve: Callable[[], object]) -> None:
        """Insist that after `serve`, tracking much work of any kind takes linearly many steps."""
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
        """Tracking much work of any kind on an open scope takes linearly many steps."""
        self.assert_linear_to_track(lambda: self.serve(waiting))

    def test_on_a_cancelled_scope(self) -> None:
        """Tracking much work on a cancelled scope that still waits takes linearly many steps."""

        def serve() -> None:
            self.serve_tracking(a_deaf_errand, 1)
            self.visit.disconnect()

        self.assert_linear_to_track(serve)

    def test_on_a_closed_scope(self) -> None:
        """Tracking much work on a closed scope takes linearly many steps."""

        def serve() -> None:
            self.serve(waiting)
            self.visit.disconnect()

        self.assert_linear_to_track(serve)

    def test_while_hooks_run(self) -> None:
        """Tracking much work while a hook runs, and asking it after, takes linearly many steps."""

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
        """Tracking much work for the second time takes linearly many steps."""

        def prepare(number: int) -> Callable[[], object]:
            works = self.serve_tracking(an_errand, number)
            return lambda: [self.visit.scope.track(each) for each in reversed(works)]

        assert_linear(self, prepare)

    def test_resources(self) -> None:
        """Acquiring many resources that arrive after the client left takes linearly many steps."""

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
        """Shielding much work, which then ends by itself, takes linearly many steps."""

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
    """Much work is detached from one scope."""

    def assert_linear_to_detach(self, make: Any, is_tracked: bool) -> None:
        """Insist that detaching much tracked work, or work beside it, takes linearly many steps."""

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
        """Detaching much tracked work takes linearly many steps."""
        self.assert_linear_to_detach(a_deferred, is_tracked=True)
        self.assert_linear_to_detach(an_errand, is_tracked=True)

    def test_that_was_not(self) -> None:
        """Detaching much untracked work beside much tracked work takes linearly many steps."""
        self.assert_linear_to_detach(a_deferred, is_tracked=False)


class HookTests(ManyTestCase):
    """Many cleanup hooks are registered."""

    def assert_linear_to_clean_up(self, hook: Callable[[Scope], object]) -> None:
        """Insist that registering many hooks, and running them, takes linearly many steps."""

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
        """Registering and running many hooks that need no waiting takes linearly many steps."""
        self.assert_linear_to_clean_up(lambda _: None)
        self.assert_linear_to_clean_up(lambda _: succeed(None))

    def test_that_wait(self) -> None:
        """Running many hooks, each of which is waited for, takes linearly many steps."""

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
        """Registering and running many hooks that fail takes linearly many steps."""
        self.assert_linear_to_clean_up(lambda _: 1 // 0)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_that_come_late(self) -> None:
        """Registering many hooks on a scope that was cancelled takes linearly many steps."""

        def prepare(number: int) -> Callable[[], object]:
            self.serve_tracking(a_deaf_errand, 1)
            self.visit.disconnect()
            scope = self.visit.scope
            return lambda: [scope.on_cancel(lambda _: None) for _ in range(number)]

        assert_linear(self, prepare)
