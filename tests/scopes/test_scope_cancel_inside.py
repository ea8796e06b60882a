"""A cancel that comes from inside the handler that it stops.

Other cancels are for `test_scope` and `test_scope_cancel`.
"""

from collections.abc import AsyncIterator, Generator
from contextvars import copy_context
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Cause, Draining, Ended, Scope, current_scope, scope_of

from .._visits import Visit
from .._work import Errand


class AnsweredTests(SynchronousTestCase):
    """Promise 5: finished beats cancelled, also in the handler's own call."""

    def test_after_the_finish(self) -> None:
        """A cancel after the handler has finished the response in the same call does nothing."""
        told: list[bool] = []

        def answer(request: Any) -> None:
            request.setResponseCode(201)
            request.write(b"ok")
            request.finish()
            told.append(current_scope().cancel(Cause()))
            current_scope().check()

        def handler(request: Any) -> int:
            answer(request)
            return NOT_DONE_YET

        async def coroutine(request: Any) -> None:
            answer(request)

        for each in (handler, coroutine):
            visit = Visit(each, on_cancel=lambda _: self.fail("taken for cancelled"))
            outcome = visit.outcome
            self.assertEqual((outcome.cause, outcome.status), (None, 201))
        self.assertEqual(told, [False, False])


class CancelFromInsideTests(SynchronousTestCase):
    """A cancel that comes from inside the running handler."""

    def assert_marked_then_stopped(self, visit: Visit, work: Errand) -> None:
        """The scope has its cause at once; work is asked, and the client answered, next turn."""
        self.assertEqual(visit.scope.cause, Draining())
        self.assertEqual((work.asked, visit.responses), ([], []))
        visit.clock.advance(0)
        self.assertEqual(work.asked, ["work"])
        self.assertEqual(visit.response.code, 503)

    def test_in_the_synchronous_part(self) -> None:
        """A cancel in a handler's call marks the scope at once, and stops the work next turn."""
        work = Errand(name="work")

        def handler(request: object) -> Errand:
            self.assertTrue(current_scope().cancel(Draining()))
            return current_scope().track(work)

        visit = Visit(handler)
        self.assertEqual(visit.scope.cause, Draining())
        visit.clock.advance(0)
        self.assertEqual(work.asked, ["work"])
        self.assertEqual(visit.response.code, 503)

    def test_in_a_resumed_coroutine(self) -> None:
        """A cancel in a resumed coroutine marks the scope at once, and stops the work next turn."""
        work, go = Errand(name="work"), Deferred[None]()

        async def handler(request: object) -> None:
            current_scope().track(work)
            await go
            current_scope().cancel(Draining())
            await Deferred[None]()

        visit = Visit(handler)
        go.callback(None)
        self.assert_marked_then_stopped(visit, work)
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_in_a_resumed_generator(self) -> None:
        """A cancel in a resumed generator marks the scope at once, and stops the work next turn."""
        work, go = Errand(name="work"), Deferred[None]()

        @inlineCallbacks
        def handler(request: object) -> Generator[Deferred[None], None, None]:
            current_scope().track(work)
            yield go
            current_scope().cancel(Draining())
            yield Deferred()

        visit = Visit(handler)
        go.callback(None)
        self.assert_marked_then_stopped(visit, work)
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_what_is_returned_afterwards_is_not_sent(self) -> None:
        """A page that a handler returns after it has cancelled its scope is not sent."""

        def handler(request: object) -> bytes:
            current_scope().cancel(Draining())
            return b"page"

        visit = Visit(handler)
        visit.clock.advance(0)
        self.assertEqual(visit.response.code, 503)

    def test_and_finishes_itself(self) -> None:
        """After a cancel from inside, work that a hook tracks runs until the hook is done."""
        cleaning, done = Errand(), Deferred[None]()

        def clean_up(scope: Scope) -> Deferred[None]:
            scope.track(cleaning)
            return done

        def handler(request: Request) -> int:
            current_scope().cancel(Draining())
            request.finish()
            return NOT_DONE_YET

        visit = Visit(handler, on_exit=clean_up)
        visit.clock.advance(0)
        self.assertEqual(cleaning.asked, [])
        done.callback(None)
        self.assertEqual(cleaning.asked, [""])

    def test_before_the_client_leaves(self) -> None:
        """A client that leaves right after a cancel changes neither the cause nor the turn."""

        class Broken(Errand):
            def cancel(self) -> None:
                raise ValueError

        def handler(request: object) -> bytes:
            current_scope().track(Broken())
            current_scope().cancel(Draining())
            return b"page"

        visit = Visit(handler)
        visit.disconnect()
        self.assertEqual(visit.outcomes, [])
        self.assertEqual(self.flushLoggedErrors(ValueError), [])
        visit.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(visit.outcomes, [])
        visit.clock.advance(5)
        self.assertEqual((visit.outcome.cause, visit.outcome.ended), (Draining(), Ended.SURVIVED))

    def test_by_another_request_that_it_has_resumed(self) -> None:
        """A cancel by another request that the handler has resumed stops the work next turn."""

        async def waking(request: object) -> None:
            await begin
            other.callback(None)
            await never

        async def streaming(request: object) -> AsyncIterator[bytes]:
            await begin
            other.callback(None)
            await never
            yield b""

        async def superseding(request: object) -> bytes:
            await other
            visit.scope.cancel(Draining())
            return b"page"

        for handler in (waking, streaming):
            begin, other = Deferred[None](), Deferred[None]()
            never = Deferred[None](lambda _: None)
            visit, _ = Visit(handler), Visit(superseding)
            begin.callback(None)
            self.assertEqual((visit.scope.cause, never.called), (Draining(), False))
            visit.clock.advance(0)
            self.assertTrue(never.called)
            self.assertEqual((visit.outcome.ended, visit.response.code), (Ended.STOPPED, 503))

    def test_in_another_context(self) -> None:
        """A cancel that a handler runs in another context stops its work and answers the client."""
        work, outside = Errand(name="work"), copy_context()

        def handler(request: object) -> Errand:
            outside.run(scope_of(request).cancel, Draining())
            return work

        visit = Visit(handler)
        visit.clock.advance(0)
        self.assertEqual(work.asked, ["work"])
        self.assertEqual(visit.response.code, 503)
