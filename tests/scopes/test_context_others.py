"""Work of one request that waits for what another request has begun: whose values and marks hold.

What belongs here: logs and `check` where the contexts of two requests are below one piece of work.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Scope, Shared, current_scope, detach
from cancelweb.testing import Connection

from .._pages import Handler
from .._work import Errand
from .test_context_logged import LoggedTestCase, user


class SharedTestCase(LoggedTestCase):
    """A test in which Ann's request begins work that other requests wait for."""

    def setUp(self) -> None:
        super().setUp()
        self.gate: Deferred[None] = Deferred()
        self.checked: list[str] = []
        self.started: list[Deferred[None]] = []
        self.visit(self.ann)

    async def slow(self) -> None:
        """Run on when asked to stop; once the gate is open, call `check`, and end."""
        user.set("ann")
        while not self.gate.called:
            try:
                await Deferred(lambda _: None)
            except CancelledError:
                step: Deferred[None] = Deferred()
                self.gate.chainDeferred(step)
                await step
        current_scope().check()
        self.checked.append("not asked")

    def ann(self, _: Request) -> Deferred[None]:
        """A handler that begins the slow work."""
        user.set("ann")
        self.started.append(Deferred.fromCoroutine(self.slow()))
        return self.started[0]

    def join(self) -> Deferred[None]:
        """A Deferred that waits for the slow work."""
        return succeed(None).addCallback(lambda _: self.started[0])


class TheLogSeesNoOthersValuesTests(SharedTestCase):
    """Promise 12: what is logged of one request is never logged in the context of another."""

    def leave(self, handler: Handler) -> None:
        """Bob's client leaves, and the slow work that Bob's request waits for goes on."""
        self.visit(handler, survivor_after=1, cleanup_timeout=1).disconnect()
        self.clock.advance(1)

    def test_returned(self) -> None:
        """Ann's work that Bob's handler returns is named in Bob's context, and its end in none."""

        def bob(_: Request) -> Deferred[None]:
            user.set("bob")
            return self.join()

        self.leave(bob)
        self.assert_seen("still runs 1 s", "bob")
        self.gate.callback(None)
        self.assert_seen("has ended", "anonymous")

    def test_tracked(self) -> None:
        """The end of Ann's work that Bob's handler tracks is logged in no request's context."""

        def bob(_: Request) -> int:
            user.set("bob")
            current_scope().track(self.join())
            return NOT_DONE_YET

        self.leave(bob)
        self.gate.callback(None)
        self.assert_seen("has ended", "anonymous")

    def test_hook(self) -> None:
        """A hook of Bob's request that waits for Ann's work is logged in Bob's context."""

        def bob(_: Request) -> int:
            user.set("bob")
            current_scope().on_exit(lambda _: self.join())
            return NOT_DONE_YET

        self.leave(bob)
        self.assert_seen("still runs, and the cleanup_timeout", "bob")


class TheLogSeesNoValuesOfTheHandlerThatEndsItTests(LoggedTestCase):
    """Promise 12: no line is logged in the context of a request whose handler ends the work."""

    def setUp(self) -> None:
        super().setUp()
        self.work = Errand(obedient=False)

    def bob(self, take_on: Callable[[], object]) -> Connection:
        """Ask for the page of Bob's handler, which takes on the work."""

        def handler(_: Request) -> object:
            user.set("bob")
            return take_on() or NOT_DONE_YET

        return self.visit(handler, survivor_after=1, cleanup_timeout=1)

    def end(self) -> None:
        """Carl's handler has the work fail."""

        def carl(_: Request) -> bytes:
            user.set("carl")
            self.work.fail(ValueError())
            return b""

        self.visit(carl)

    def test_returned(self) -> None:
        """Returned work that fails after its scope has closed is logged in no request's context."""
        self.bob(lambda: self.work).disconnect()
        self.clock.advance(1)
        self.end()
        self.assert_seen("has ended", "anonymous")
        self.assert_seen("work that outlived its scope failed", "anonymous")

    def test_tracked(self) -> None:
        """Tracked work that fails after its scope has closed is logged in no request's context."""
        self.bob(lambda: current_scope().track(self.work) and None).disconnect()
        self.clock.advance(1)
        self.end()
        self.assert_seen("tracked work failed", "anonymous")

    def test_tracked_and_waited_for(self) -> None:
        """Tracked work that fails while its scope is open is logged in its handler's context."""
        self.bob(lambda: current_scope().track(self.work) and None)
        self.end()
        self.assert_seen("tracked work failed", "bob")

    def test_hook(self) -> None:
        """A hook that fails after it was given up is logged in no request's context."""

        def slow_hook(_: Scope) -> Any:
            return self.work

        def take_on() -> None:
            current_scope().on_exit(slow_hook)

        self.bob(take_on).disconnect()
        self.clock.advance(1)
        self.end()
        self.assert_seen("slow_hook failed", "anonymous")

    def test_detached(self) -> None:
        """Detached work that fails is logged in no request's context."""
        self.bob(lambda: detach(self.work))
        self.end()
        self.assert_seen("failed", "anonymous")

    def test_detached_coroutine(self) -> None:
        """A detached coroutine that fails is logged in its own context."""

        async def work() -> None:
            await self.work.when_settled()

        self.bob(lambda: detach(work()))
        self.end()
        self.assert_seen("failed", "bob")

    def test_shared(self) -> None:
        """Shared work that fails when no request waits for it is logged in no request's context."""
        run: Any = Shared(lambda: self.work, linger=9)  # type: ignore[arg-type,return-value]
        self.bob(run).disconnect()
        self.end()
        self.assert_seen("shared by requests failed", "anonymous")


class OnlyItsOwnWorkIsMarkedTests(SharedTestCase):
    """Promise 15: `check` does not raise in one request's work because another's was stopped."""

    def test_leftover_work_of_another(self) -> None:
        """`check` does not raise in Ann's work while Bob's leftover work waits for it."""

        def bob(_: Request) -> bytes:
            current_scope().track(self.join())
            return b""

        self.visit(bob)
        self.gate.callback(None)
        self.assertEqual(self.checked, ["not asked"])
