"""How a scope is found: `current_scope` and `scope_of`, and where each of them works.

What is done with it is for other modules.
"""

import gc
from contextvars import ContextVar
from functools import partial
from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import Scope, cancel_on_disconnect, current_scope, scope_of

from .._pages import waiting
from .._visits import Visit, kept_request
from .._work import Errand

user: ContextVar[str] = ContextVar("user", default="anonymous")


class CurrentScopeTests(SynchronousTestCase):
    """`current_scope` finds the scope of the request for which the code runs."""

    def setUp(self) -> None:
        """Note the scopes that are found."""
        self.found: list[Scope] = []

    def find(self, *_: object) -> None:
        """Note the current scope."""
        self.found.append(current_scope())

    def assert_found(self, visit: Visit) -> None:
        """The only scope that was found is that of the visit."""
        self.assertEqual(self.found, [visit.scope])

    def test_in_a_handler(self) -> None:
        """A handler finds the scope of its request."""

        def handler(request: Request) -> bytes:
            self.assertIs(current_scope().request, request)
            self.find()
            return b"page"

        self.assert_found(Visit(handler))

    def test_in_what_a_coroutine_calls_later(self) -> None:
        """A coroutine finds its scope after it was suspended."""
        go = Deferred[None]()

        async def handler(request: object) -> None:
            await go
            self.find()

        visit = Visit(handler)
        go.callback(None)
        self.assert_found(visit)

    def test_in_what_a_generator_calls_later(self) -> None:
        """A generator of `inlineCallbacks` finds its scope after it was suspended."""
        go = Deferred[None]()

        @inlineCallbacks
        def handler(request: object) -> Any:
            yield go
            self.find()

        visit = Visit(handler)
        go.callback(None)
        self.assert_found(visit)

    def test_in_the_finally_of_what_was_cancelled(self) -> None:
        """A cancelled coroutine finds its scope in its `finally`."""

        async def handler(request: object) -> None:
            try:
                await Deferred[None]()
            finally:
                self.find()

        visit = Visit(handler)
        visit.disconnect()
        self.assert_found(visit)

    def test_in_hooks(self) -> None:
        """A cleanup hook finds its scope, before and after it was suspended."""
        go = Deferred[None]()

        async def hook(scope: Scope) -> None:
            self.find()
            await go
            self.find()

        visit = Visit(waiting, on_cancel=hook)
        visit.disconnect()
        go.callback(None)
        self.assertEqual(self.found, [visit.scope, visit.scope])

    def test_in_hooks_of_a_refused_request(self) -> None:
        """A hook of a request whose handler was not called finds the scope of that request."""
        connection, request = kept_request()
        connection.disconnect()
        cancel_on_disconnect(on_cancel=self.find)(waiting)(request)
        self.assertEqual(self.found, [scope_of(request)])

    def test_in_cancellers(self) -> None:
        """The cancellers of returned and of tracked work find the scope."""

        find = self.find

        class Work(Errand):
            def cancel(self) -> None:
                find()
                super().cancel()

        visit = Visit(lambda _: Deferred(self.find))
        visit.scope.track(Work())
        visit.disconnect()
        self.assertEqual(self.found, [visit.scope, visit.scope])

    def test_hooks_and_cancellers_see_the_handlers_context(self) -> None:
        """Hooks and cancellers see the context variables that the handler has set."""
        seen: list[str] = []

        class Work(Errand):
            def cancel(self) -> None:
                seen.append(user.get())
                super().cancel()

        def handler(request: object) -> Errand:
            user.set("ann")
            return Work()

        visit = Visit(handler, on_cancel=lambda _: seen.append(user.get()))
        user.set("bob")
        visit.disconnect()
        self.assertEqual(seen, ["ann", "ann"])

    def test_hooks_do_not_share_what_they_set(self) -> None:
        """A hook does not see the context variables that another hook has set."""
        seen: list[str] = []

        def hook(scope: Scope) -> None:
            seen.append(user.get())
            user.set("the hook")

        Visit(waiting, on_cancel=[hook, hook]).disconnect()
        self.assertEqual(len(set(seen)), 1)

    def test_not_in_callbacks(self) -> None:
        """A callback has no current scope, and the LookupError says what to use instead."""
        go = Deferred[bytes]()
        visit = Visit(lambda _: go)
        errors: list[LookupError] = []

        def callback(result: bytes) -> bytes:
            errors.append(self.assertRaises(LookupError, current_scope))
            return result

        go.addCallback(callback)
        go.callback(b"page")
        self.assertEqual(
            str(errors[0]),
            "there is no current scope here. Call this in a handler that is decorated with "
            "@cancel_on_disconnect or wrapped in CancellingResource, or in a coroutine that the "
            "handler awaits. In callbacks and timers, use cancelweb.scope_of(request).",
        )
        self.assertEqual(visit.scope.cause, None)

    def test_not_after_the_handler(self) -> None:
        """The code that has called a handler has no current scope."""
        Visit(waiting)
        self.assertRaises(LookupError, current_scope)

    def test_not_that_of_another_request(self) -> None:
        """A handler that is called inside another handler finds the scope of its own request."""
        inner: list[Visit] = []

        def outer(request: object) -> bytes:
            inner.append(Visit(waiting))
            self.assertIsNot(current_scope(), inner[0].scope)
            self.find()
            return b"page"

        visit = Visit(outer)
        self.assert_found(visit)
        inner[0].disconnect()
        self.assertIsNone(visit.scope.cause)
        self.assertIsNotNone(inner[0].scope.cause)


class ScopeOfTests(SynchronousTestCase):
    """`scope_of` finds the scope of the request that it is given."""

    def test_from_anywhere(self) -> None:
        """`scope_of` finds the scope of a request in its handler, and in code outside of it."""
        kept: list[Request] = []

        def handler(request: Request) -> Errand:
            kept.append(request)
            self.assertIs(scope_of(request), current_scope())
            return Errand()

        visit = Visit(handler)
        self.assertIs(scope_of(kept[0]), visit.scope)

    def test_after_the_close(self) -> None:
        """`scope_of` finds a closed scope, which still has its cause."""
        kept: list[Request] = []

        def handler(request: Request) -> Deferred[bytes]:
            kept.append(request)
            return Deferred()

        visit = Visit(handler)
        visit.disconnect()
        self.assertIs(scope_of(kept[0]).cause, visit.scope.cause)
        self.assertIsNone(scope_of(kept[0]).request)

    def test_none(self) -> None:
        """`scope_of` raises a LookupError that names both entry points if none was met."""
        _, request = kept_request()
        with self.assertRaises(LookupError) as caught:
            scope_of(request)
        self.assertEqual(
            str(caught.exception),
            f"{request!r} has no scope. Decorate its handler with @cancel_on_disconnect, or wrap "
            "its resource in CancellingResource.",
        )

    def test_tells_of_itself(self) -> None:
        """The `repr` of a scope shows its request, its state and its cause."""
        visit = Visit(waiting)
        self.assertRegex(repr(visit.scope), r"^<Scope of <Request .*>, \w+, cause: None>$")
        visit.disconnect()
        self.assertRegex(repr(visit.scope), r"^<Scope of None, closed, cause: the client disc")

    def test_keeping_it_keeps_nothing_else(self) -> None:
        """A closed scope refers to neither the request, nor the work, nor the hooks."""
        refs: list[ref[Any]] = []

        def handler(request: Request) -> Errand:
            work, tracked, hook = Errand(), Errand(), partial(repr)
            current_scope().track(tracked)
            current_scope().on_cancel(hook)
            refs.extend(map(ref, (request, work, tracked, hook)))
            return work

        visit = Visit(handler)
        scope = visit.scope
        visit.disconnect()
        del visit
        gc.collect()
        self.assertIsNone(scope.request)
        self.assertEqual([each() for each in refs], [None] * 4)
