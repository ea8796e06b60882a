"""Cleanup hooks that are withdrawn before they are called.

When hooks run is for `test_hooks`.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, cast
from weakref import ref

from attrs import define

from cancelweb import CancellingResource, Scope, cancel_on_disconnect, current_scope

from .._pages import Page, waiting
from .._visits import Visit, connect
from ._counting import assert_linear
from ._hooks import HookTestCase


class AHookCanBeWithdrawnTests(HookTestCase):
    """Promise 3: `Scope.withdraw` takes back a hook that was not called yet."""

    def test_is_not_called(self) -> None:
        """A hook of either kind that was withdrawn is not called; the others are."""
        visit = Visit(waiting)
        hooks = [self.hook(name) for name in ("one", "two", "three", "four")]
        for hook in hooks[:2]:
            visit.scope.on_cancel(hook)
        for hook in hooks[2:]:
            visit.scope.on_exit(hook)
        self.assertTrue(visit.scope.withdraw(hooks[1]))
        self.assertTrue(visit.scope.withdraw(hooks[2]))
        visit.disconnect()
        self.assertEqual(self.ran, ["four", "one"])

    def test_tells_whether_it_was_there(self) -> None:
        """`withdraw` returns False for a hook that was never added, or was withdrawn before."""
        scope, hook = Visit(waiting).scope, self.hook("hook")
        self.assertFalse(scope.withdraw(hook))
        scope.on_exit(hook)
        self.assertEqual([scope.withdraw(hook), scope.withdraw(hook)], [True, False])

    def test_in_a_hook(self) -> None:
        """A hook may withdraw one that comes after it, but neither itself nor one before it."""
        told: list[bool] = []

        def withdrawing(scope: Scope) -> None:
            told.extend(map(scope.withdraw, (first, withdrawing, after)))

        first, after = self.hook("first"), self.hook("after")
        Visit(waiting, on_exit=[self.hook("last"), after, withdrawing, first]).disconnect()
        self.assertEqual((self.ran, told), (["first", "last"], [False, False, True]))

    def test_on_a_closed_scope(self) -> None:
        """`withdraw` returns False on a closed scope."""
        hook = self.hook("hook")
        visit = Visit(waiting, on_exit=hook)
        visit.disconnect()
        self.assertIs(visit.scope.withdraw(hook), False)

    def test_the_newest_of_several(self) -> None:
        """The newest registration is withdrawn of a hook that was added more than once."""
        visit, twice = Visit(waiting), self.hook("twice")
        visit.scope.on_exit(twice)
        visit.scope.on_exit(self.hook("between"))
        visit.scope.on_cancel(twice)
        visit.scope.withdraw(twice)
        visit.disconnect()
        self.assertEqual(self.ran, ["between", "twice"])

    def test_one_of_an_entry_point(self) -> None:
        """A hook of the entry point can be withdrawn for one request, and runs for the others."""
        hook = self.hook("option")

        def handler(request: object) -> bytes:
            current_scope().withdraw(hook)
            return b"page"

        pages: list[Any] = [
            Page(cancel_on_disconnect(on_exit=hook)(handler)),
            CancellingResource(Page(handler), on_exit=hook),
        ]
        for page in pages:
            connect(page).get()
        self.assertEqual(self.ran, [])
        connect(Page(cancel_on_disconnect(on_exit=hook)(lambda _: b"page"))).get()
        self.assertEqual(self.ran, ["option"])

    def test_on_a_scope_without_hooks(self) -> None:
        """`withdraw` on a scope without hooks leaves it on its fast path."""
        visit = Visit(waiting, observers=())
        self.assertFalse(visit.scope.withdraw(self.hook("none")))
        self.assertIsNone(visit.scope._life)

    def test_cannot_be_called(self) -> None:
        """`withdraw` raises a TypeError for what can be no hook."""
        with self.assertRaisesRegex(TypeError, "withdraw must be .*, not None"):
            Visit(waiting).scope.withdraw(cast(Any, None))


class EqualHooksTests(HookTestCase):
    """Which of several hooks `withdraw` finds."""

    def clean(self, scope: Scope) -> None:
        """A hook that is a bound method, which is a new object at each access."""
        self.ran.append("method")

    def test_a_bound_method(self) -> None:
        """A bound method is withdrawn, although it is another object by then."""
        visit = Visit(waiting)
        visit.scope.on_exit(self.clean)
        self.assertTrue(visit.scope.withdraw(self.clean))
        visit.disconnect()
        self.assertEqual(self.ran, [])

    def test_without_a_hash(self) -> None:
        """A hook without a hash is withdrawn when it is given itself, not an equal hook."""

        @define
        class Unhashable:
            ran: list[str]

            def __call__(self, scope: Scope) -> None:
                self.ran.append("called")

        visit, hook = Visit(waiting), Unhashable(self.ran)
        visit.scope.on_exit(hook)
        self.assertFalse(visit.scope.withdraw(Unhashable(self.ran)))
        self.assertTrue(visit.scope.withdraw(hook))

    def test_whose_hash_changes(self) -> None:
        """A hook whose hash changes after a call of `withdraw` is run as any other."""

        @define(unsafe_hash=True)
        class Counter:
            count: int = 0

            def __call__(self, scope: Scope) -> None:
                self.count += 1

        visit, hook = Visit(waiting), Counter()
        visit.scope.on_exit(hook)
        visit.scope.withdraw(repr)
        hook.count = 5
        visit.disconnect()
        self.assertEqual(hook.count, 6)


class ManyHooksTests(HookTestCase):
    """A stream that adds and withdraws a hook with each of its steps."""

    def test_nothing_is_kept(self) -> None:
        """A scope does not hold on to a hook that was withdrawn."""
        visit, hook = Visit(waiting), partial(repr)
        visit.scope.on_exit(hook)
        gone = ref(hook)
        visit.scope.withdraw(hook)
        del hook
        self.assertIsNone(gone())

    def test_in_any_order(self) -> None:
        """To withdraw many hooks takes linear time, in any order."""

        def prepare(order: str, count: int) -> Callable[[], object]:
            scope = Visit(waiting).scope
            hooks = [scope.on_exit(partial(repr)) for _ in range(count)]
            if order == "last in":
                hooks.reverse()
            elif order == "random":
                Random(5).shuffle(hooks)
            return partial(self.withdraw_all, scope, hooks)

        for order in ("last in", "first in", "random"):
            prepare(order, 20_000)()
            assert_linear(self, partial(prepare, order), order)

    def withdraw_all(self, scope: Scope, hooks: list[Any]) -> None:
        """Withdraw these hooks, and check that each was there."""
        for hook in hooks:
            self.assertTrue(scope.withdraw(hook))

    def test_one_after_the_other(self) -> None:
        """To withdraw each hook after the next was added takes linear time."""

        def stream(scope: Scope, count: int) -> None:
            former = scope.on_exit(partial(repr))
            for _ in range(count):
                hook = scope.on_exit(partial(repr))
                self.assertTrue(scope.withdraw(former))
                former = hook

        stream(Visit(waiting).scope, 20_000)
        assert_linear(self, lambda count: partial(stream, Visit(waiting).scope, count))

    def test_equal_ones(self) -> None:
        """To withdraw many equal hooks takes linear time."""

        def prepare(count: int) -> Callable[[], object]:
            scope = Visit(waiting).scope
            return partial(self.withdraw_all, scope, [scope.on_exit(repr) for _ in range(count)])

        prepare(20_000)()
        assert_linear(self, prepare)
