"""Cleanup hooks: on which occasion they run, in which order, and when they come late.

Their errors and their time are for `test_hooks_isolation`; where the hooks of several entry points
meet is for the tests of the entry points.
"""

from functools import partial
from typing import Any, cast
from weakref import ref

from twisted.internet.defer import Deferred

from cancelweb import (
    Disconnected,
    Draining,
    Ended,
    Scope,
    cancel_on_disconnect,
    current_scope,
    scope_of,
)

from .._pages import Page, waiting
from .._visits import Visit, connect
from .._work import Errand
from ._hooks import HookTestCase


class OccasionTests(HookTestCase):
    """Hooks are run when a scope ends."""

    def test_on_cancel_when_cancelled(self) -> None:
        """Hooks of both kinds are run when the client leaves."""
        Visit(waiting, on_cancel=self.hook("cancel"), on_exit=self.hook("exit")).disconnect()
        self.assertEqual(sorted(self.ran), ["cancel", "exit"])

    def test_on_exit_only_when_completed(self) -> None:
        """A completed request runs its hooks of `on_exit`, and skips those of `on_cancel`."""
        Visit(lambda _: b"page", on_cancel=self.hook("cancel"), on_exit=self.hook("exit"))
        self.assertEqual(self.ran, ["exit"])

    def test_on_exit_when_failed(self) -> None:
        """`on_exit` is run when the handler raises, and the client gets a 500."""

        def handler(request: object) -> bytes:
            raise ValueError

        visit = Visit(handler, on_cancel=self.hook("cancel"), on_exit=self.hook("exit"))
        self.assertEqual(self.ran, ["exit"])
        self.assertEqual(visit.response.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_once(self) -> None:
        """A hook is run once, whatever happens to its request after the cancel."""
        visit = Visit(waiting, timeout=1, on_cancel=self.hook("hook"))
        visit.scope.cancel(Draining())
        visit.clock.advance(2)
        visit.disconnect()
        self.assertEqual(self.ran, ["hook"])

    def test_after_the_work_has_stopped(self) -> None:
        """Hooks wait until all work has stopped."""
        returned, tracked = Errand(obedient=False), Errand(obedient=False)
        visit = Visit(lambda _: returned, on_cancel=self.hook("hook"))
        visit.scope.track(tracked)
        visit.disconnect()
        returned.end()
        self.assertEqual(self.ran, [])
        tracked.end()
        self.assertEqual(self.ran, ["hook"])

    def test_after_survivors_were_named(self) -> None:
        """Hooks run after `survivor_after` seconds, without waiting for survivors."""
        visit = Visit(
            lambda _: Errand(obedient=False), survivor_after=2, on_cancel=self.hook("hook")
        )
        visit.disconnect()
        visit.clock.advance(1)
        self.assertEqual(self.ran, [])
        visit.clock.advance(1)
        self.assertEqual(self.ran, ["hook"])

    def test_after_a_cancel_by_the_server(self) -> None:
        """Hooks are run after a cancel by the server, and see its cause."""
        visit = Visit(waiting, on_cancel=lambda scope: self.ran.append(str(scope.cause)))
        visit.scope.cancel(Draining())
        self.assertEqual(self.ran, ["the server is shutting down"])

    def test_given_the_scope(self) -> None:
        """A hook is given the scope, with its request and its cause."""
        seen: list[Scope] = []

        def hook(scope: Scope) -> None:
            seen.append(scope)
            assert scope.request is not None
            self.assertEqual(scope.request.method, b"GET")
            self.assertIsInstance(scope.cause, Disconnected)

        visit = Visit(waiting, on_cancel=hook)
        visit.disconnect()
        self.assertEqual(seen, [visit.scope])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_request_is_let_go(self) -> None:
        """The scope has let go of its request once the last hook has run."""
        visit = Visit(waiting, on_cancel=self.hook("hook"))
        visit.disconnect()
        self.assertIsNone(visit.scope.request)


class OrderTests(HookTestCase):
    """Hooks are on one stack, last in, first out."""

    def test_last_in_first_out(self) -> None:
        """Hooks of both kinds are on one stack, with those of the entry point at its bottom."""

        def handler(request: object) -> Deferred[bytes]:
            scope = current_scope()
            scope.on_cancel(self.hook("cancel 1"))
            scope.on_exit(self.hook("exit 1"))
            scope.on_cancel(self.hook("cancel 2"))
            return Deferred()

        Visit(
            handler,
            on_cancel=[self.hook("entry point 1"), self.hook("entry point 2")],
            on_exit=self.hook("entry point exit"),
        ).disconnect()
        registered_here, of_the_entry_point = self.ran[:3], self.ran[3:]
        self.assertEqual(registered_here, ["cancel 2", "exit 1", "cancel 1"])
        self.assertEqual(of_the_entry_point, ["entry point 2", "entry point 1", "entry point exit"])

    def test_one_at_a_time(self) -> None:
        """A hook begins when the one before it has ended."""
        slow = Deferred[None]()
        visit = Visit(waiting, on_cancel=[self.hook("second"), self.hook("first", slow)])
        visit.disconnect()
        self.assertEqual((self.ran, visit.outcomes), (["first"], []))
        slow.callback(None)
        self.assertEqual(self.ran, ["first", "second"])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_registered_by_a_hook(self) -> None:
        """A hook that another hook registers for the exit is run next."""

        def registering(scope: Scope) -> None:
            self.ran.append("registering")
            scope.on_exit(self.hook("registered"))
            self.ran.append("still registering")

        Visit(waiting, on_exit=[self.hook("last"), registering]).disconnect()
        self.assertEqual(self.ran, ["registering", "still registering", "registered", "last"])

    def test_on_cancel_registered_by_a_hook_of_a_completed_request(self) -> None:
        """A hook for a cancel that a hook of a completed request registers is not run."""

        def registering(scope: Scope) -> None:
            scope.on_cancel(self.hook("never"))
            scope.on_exit(self.hook("exit"))

        Visit(lambda _: b"page", on_exit=registering)
        self.assertEqual(self.ran, ["exit"])

    def test_serve_as_decorators(self) -> None:
        """`on_cancel` and `on_exit` return the hook, and so can decorate it."""
        visit = Visit(waiting)

        @visit.scope.on_cancel
        def first(scope: Scope) -> None:
            self.ran.append("first")

        @visit.scope.on_exit
        def second(scope: Scope) -> None:
            self.ran.append("second")

        visit.disconnect()
        self.assertEqual(self.ran, ["second", "first"])
        self.assertTrue(callable(first) and callable(second))


class WrongHookTests(HookTestCase):
    """What can be no hook is refused."""

    def test_cannot_be_called(self) -> None:
        """To register what cannot be called is a TypeError at once."""
        scope = Visit(waiting).scope
        for register in (scope.on_cancel, scope.on_exit):
            with self.assertRaisesRegex(TypeError, f"{register.__name__} must be .*, not None"):
                register(cast(Any, None))


class LateHookTests(HookTestCase):
    """Hooks that are registered after the cancel, or on a closed scope."""

    def test_on_a_cancelled_scope(self) -> None:
        """Hooks that are added to a cancelled scope join the stack, and wait for the work."""
        visit = Visit(lambda _: Errand(obedient=False), on_exit=self.hook("entry point"))
        visit.disconnect()
        visit.scope.on_cancel(self.hook("cancel"))
        visit.scope.on_exit(self.hook("exit"))
        self.assertEqual(self.ran, [])
        visit.clock.advance(20)
        self.assertEqual(self.ran, ["exit", "cancel", "entry point"])

    def test_while_hooks_run(self) -> None:
        """A hook that is added while another runs is called next, when that one has ended."""
        slow = Deferred[None]()
        visit = Visit(waiting, on_cancel=[self.hook("last"), self.hook("slow", slow)])
        visit.disconnect()
        visit.scope.on_cancel(self.hook("late"))
        self.assertEqual(self.ran, ["slow"])
        slow.callback(None)
        self.assertEqual(self.ran, ["slow", "late", "last"])

    def test_awaits_work_that_it_tracks(self) -> None:
        """A hook that a handler adds while it is being stopped may await tracked work."""
        done: Deferred[str] = Deferred()

        async def hook(scope: Scope) -> None:
            self.ran.append(await scope.track(done))

        async def handler(request: object) -> bytes:
            try:
                await Deferred()
            finally:
                current_scope().on_cancel(hook)
            return b""

        visit = Visit(handler)
        visit.disconnect()
        done.callback("not cancelled")
        self.assertEqual(self.ran, ["not cancelled"])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_on_a_closed_scope(self) -> None:
        """Hooks of both kinds are called at once on a closed scope that was cancelled."""
        visit = Visit(waiting)
        visit.disconnect()
        visit.scope.on_cancel(self.hook("cancel"))
        visit.scope.on_exit(self.hook("exit"))
        self.assertEqual(self.ran, ["cancel", "exit"])

    def test_on_a_scope_that_closed_without_a_cancel(self) -> None:
        """A scope that closed without a cancel calls `on_exit` at once, and `on_cancel` never."""
        for observers in (repr, ()):
            visit = Visit(lambda _: b"page", observers=observers)
            visit.scope.on_cancel(self.hook("cancel"))
            visit.scope.on_exit(self.hook("exit"))
        self.assertEqual(self.ran, ["exit", "exit"])

    def test_that_will_never_run_is_not_kept(self) -> None:
        """A closed scope does not hold on to a hook that it will not call."""
        visit, hook = Visit(lambda _: b"page"), partial(repr)
        visit.scope.on_cancel(hook)
        gone = ref(hook)
        del hook
        self.assertIsNone(gone())

    def test_its_errors_are_logged(self) -> None:
        """An error of a late hook is logged, and does not reach the code that registers it."""

        def broken(scope: Scope) -> None:
            raise ValueError

        visit = Visit(lambda _: b"page")
        visit.scope.on_exit(broken)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_takes_its_time_from_the_sites_reactor(self) -> None:
        """A late hook that takes its time has its timer on the site's clock."""
        visit = Visit(lambda _: b"page", observers=())
        before, done = len(visit.clock.getDelayedCalls()), Deferred[None]()
        # Let no timer be left on the global reactor, if that is where it went.
        self.addCleanup(done.callback, None)
        visit.scope.on_exit(lambda _: done)
        self.assertEqual(len(visit.clock.getDelayedCalls()), before + 1)

    def test_takes_it_from_there_wherever_the_scope_was_found(self) -> None:
        """A late hook that is registered through `scope_of` has its timer on the site's clock."""
        requests: list[Any] = []

        def handler(request: Any) -> bytes:
            requests.append(request)
            return b"page"

        connection, done = connect(Page(cancel_on_disconnect(handler))), Deferred[None]()
        connection.get()
        before = len(connection.client.clock.getDelayedCalls())
        self.addCleanup(done.callback, None)
        scope_of(requests[0]).on_exit(lambda _: done)
        self.assertEqual(len(connection.client.clock.getDelayedCalls()), before + 1)
