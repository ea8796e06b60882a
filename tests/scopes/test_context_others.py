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
    """Ann's request begins what the requests of others wait for, too."""

    def setUp(self) -> None:
        super().setUp()
        self.gate: Deferred[None] = Deferred()
        self.checked: list[str] = []
        self.started: list[Deferred[None]] = []
        self.visit(self.ann)

    async def slow(self) -> None:
        """Runs on whatever it is asked; then ends, and asks its scope."""
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
        """The handler that begins it."""
        user.set("ann")
        self.started.append(Deferred.fromCoroutine(self.slow()))
        return self.started[0]

    def join(self) -> Deferred[None]:
        """What waits for it."""
        return succeed(None).addCallback(lambda _: self.started[0])


class TheLogSeesNoOthersValuesTests(SharedTestCase):
    """Promise 12: what is logged of one request is never logged in the context of another."""

    def leave(self, handler: Handler) -> None:
        """Bob's client leaves, and what his request waits for goes on."""
        self.visit(handler, survivor_after=1, cleanup_timeout=1).disconnect()
        self.clock.advance(1)

    def test_returned(self) -> None:
        """A handler that returns what Ann's has begun."""

        def bob(_: Request) -> Deferred[None]:
            user.set("bob")
            return self.join()

        self.leave(bob)
        self.assert_seen("still runs 1 s", "bob")
        self.gate.callback(None)
        self.assert_seen("has ended", "nobody")

    def test_tracked(self) -> None:
        """So it is if it is tracked."""

        def bob(_: Request) -> int:
            user.set("bob")
            current_scope().track(self.join())
            return NOT_DONE_YET

        self.leave(bob)
        self.gate.callback(None)
        self.assert_seen("has ended", "nobody")

    def test_hook(self) -> None:
        """And if a hook waits for it."""

        def bob(_: Request) -> int:
            user.set("bob")
            current_scope().on_exit(lambda _: self.join())
            return NOT_DONE_YET

        self.leave(bob)
        self.assert_seen("still runs, and the cleanup_timeout", "bob")


class TheLogSeesNoValuesOfWhoEndsItTests(LoggedTestCase):
    """Promise 12: nor in the context of a request whose handler has the work end."""

    def setUp(self) -> None:
        super().setUp()
        self.work = Errand(obedient=False)

    def bob(self, take_on: Callable[[], object]) -> Connection:
        """A handler with such work, and a client."""

        def handler(_: Request) -> object:
            user.set("bob")
            return take_on() or NOT_DONE_YET

        return self.visit(handler, survivor_after=1, cleanup_timeout=1)

    def end(self) -> None:
        """Carl's handler has it fail."""

        def carl(_: Request) -> bytes:
            user.set("carl")
            self.work.fail(ValueError())
            return b""

        self.visit(carl)

    def test_returned(self) -> None:
        """Work that the handler returned, when the context of that is gone."""
        self.bob(lambda: self.work).disconnect()
        self.clock.advance(1)
        self.end()
        self.assert_seen("has ended", "nobody")
        self.assert_seen("work that outlived its scope failed", "nobody")

    def test_tracked(self) -> None:
        """Work that it tracked, in the same case."""
        self.bob(lambda: current_scope().track(self.work) and None).disconnect()
        self.clock.advance(1)
        self.end()
        self.assert_seen("tracked work failed", "nobody")

    def test_tracked_and_waited_for(self) -> None:
        """And while its scope waits for it."""
        self.bob(lambda: current_scope().track(self.work) and None)
        self.end()
        self.assert_seen("tracked work failed", "bob")

    def test_hook(self) -> None:
        """What a hook waited for."""

        def slow_hook(_: Scope) -> Any:
            return self.work

        def take_on() -> None:
            current_scope().on_exit(slow_hook)

        self.bob(take_on).disconnect()
        self.clock.advance(1)
        self.end()
        self.assert_seen("slow_hook failed", "nobody")

    def test_detached(self) -> None:
        """What goes on outside of the scope."""
        self.bob(lambda: detach(self.work))
        self.end()
        self.assert_seen("failed", "nobody")

    def test_detached_coroutine(self) -> None:
        """A coroutine that does is logged in its own context."""

        async def work() -> None:
            await self.work.when_settled()

        self.bob(lambda: detach(work()))
        self.end()
        self.assert_seen("failed", "bob")

    def test_shared(self) -> None:
        """Work of no request, when no request waits for it any more."""
        run: Any = Shared(lambda: self.work, linger=9)  # type: ignore[arg-type,return-value]
        self.bob(run).disconnect()
        self.end()
        self.assert_seen("shared by requests failed", "nobody")


class OnlyItsOwnWorkIsMarkedTests(SharedTestCase):
    """Promise 5: `check` raises in a piece of work that was asked to stop, and in no other."""

    def test_leftover_work_of_another(self) -> None:
        """Leftover work of Bob's request waits for Ann's, which goes on."""

        def bob(_: Request) -> bytes:
            current_scope().track(self.join())
            return b""

        self.visit(bob)
        self.gate.callback(None)
        self.assertEqual(self.checked, ["not asked"])
