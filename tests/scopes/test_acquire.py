"""`Scope.acquire`: a resource that arrives after the cancel is not lost.

What becomes of other work is for the modules on tracking.
"""

import asyncio
import gc
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Ended, current_scope

from .._pages import waiting
from .._visits import Visit
from .._work import Errand


class AcquireTests(SynchronousTestCase):
    """A resource on its way, and a coroutine that awaits it."""

    def setUp(self) -> None:
        """A handler that acquires, and notes what it got."""
        self.source: Deferred[str] = Deferred()
        self.got: list[str] = []
        self.released: list[str] = []

    def release(self, resource: str) -> object:
        """Note what is given back."""
        self.released.append(resource)
        return None

    async def handler(self, request: object) -> None:
        """Acquire a resource, and note it."""
        self.got.append(await current_scope().acquire(self.source, self.release))

    def test_in_time(self) -> None:
        """A resource that arrives in time is the handler's, and is not released."""
        visit = Visit(self.handler)
        self.source.callback("connection")
        self.assertEqual((self.got, self.released), (["connection"], []))
        self.assertEqual(visit.outcome.ended, Ended.COMPLETED)

    def test_too_late(self) -> None:
        """A resource that arrives after the cancel is released, and only then the scope closes."""
        visit = Visit(self.handler)
        visit.disconnect()
        self.assertEqual(visit.outcomes, [])
        self.source.callback("connection")
        self.assertEqual((self.got, self.released), ([], ["connection"]))
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_after_the_scope_has_closed(self) -> None:
        """A resource that arrives after its scope has closed is released all the same."""
        visit = Visit(self.handler)
        visit.disconnect()
        visit.clock.advance(6)
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)
        self.source.callback("connection")
        self.assertEqual(self.released, ["connection"])

    def test_a_coroutine(self) -> None:
        """A coroutine that is acquired is not cancelled, and its late resource is released."""

        async def connecting() -> str:
            return await self.source

        def handler(request: object) -> Deferred[str]:
            return current_scope().acquire(connecting(), self.release)

        Visit(handler).disconnect()
        self.source.callback("connection")
        self.assertEqual(self.released, ["connection"])

    def test_what_is_no_work(self) -> None:
        """`acquire` raises a TypeError for a wrong source or release, and waits for nothing."""
        visit = Visit(waiting)
        with self.assertRaisesRegex(TypeError, "no canceller is registered for int"):
            visit.scope.acquire(cast(Any, 5), self.release)
        with self.assertRaisesRegex(TypeError, "release must be a function, not None"):
            visit.scope.acquire(self.source, cast(Any, None))
        visit.disconnect()
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_the_source_is_never_cancelled(self) -> None:
        """A cancel does not reach the source of a resource, which is released on arrival."""
        cancelled: list[object] = []
        self.source = Deferred(cancelled.append)
        visit = Visit(self.handler)
        visit.disconnect()
        self.assertEqual(cancelled, [])
        self.source.callback("connection")
        self.assertEqual(self.released, ["connection"])

    def test_the_wait_ends_at_once(self) -> None:
        """Code that awaits a resource gets a CancelledError in the turn of the cancel."""
        visit = Visit(waiting)
        arrived = visit.scope.acquire(self.source, self.release)
        visit.disconnect()
        self.failureResultOf(arrived, CancelledError)
        self.source.callback("connection")

    def test_a_failure_in_time(self) -> None:
        """A source that fails in time fails the wait."""
        visit = Visit(waiting)
        arrived = visit.scope.acquire(self.source, self.release)
        self.source.errback(ValueError())
        self.failureResultOf(arrived, ValueError)
        self.assertEqual(self.released, [])

    def test_a_failure_too_late(self) -> None:
        """A source that fails after the cancel is a failure of the request, and is logged."""
        visit = Visit(self.handler)
        visit.disconnect()
        self.source.errback(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(visit.outcome.ended, Ended.FAILED)

    def test_a_release_that_takes_its_time(self) -> None:
        """The scope closes only when a release that waits is over."""
        over = Deferred[None]()

        async def release(resource: str) -> None:
            self.released.append(resource)
            await over

        visit = Visit(waiting)
        arrived = visit.scope.acquire(self.source, release)
        arrived.addErrback(lambda _: None)
        visit.disconnect()
        self.source.callback("connection")
        self.assertEqual((self.released, visit.outcomes), (["connection"], []))
        over.callback(None)
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_a_release_that_raises(self) -> None:
        """The error of a release is logged, and the request counts as failed."""

        def release(resource: str) -> Any:
            raise ValueError("broken")

        visit = Visit(waiting)
        visit.scope.acquire(self.source, release).addErrback(lambda _: None)
        visit.disconnect()
        self.source.callback("connection")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(visit.outcome.ended, Ended.FAILED)

    def test_a_release_that_raises_what_is_no_exception(self) -> None:
        """A release that raises asyncio's CancelledError is over, and the scope closes."""

        def release(resource: str) -> Any:
            raise asyncio.CancelledError

        visit = Visit(waiting)
        visit.scope.acquire(self.source, release).addErrback(lambda _: None)
        visit.disconnect()
        self.source.callback("connection")
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_a_release_that_cannot_tell_when_it_ends(self) -> None:
        """A release that returns faulty work is logged, and the request counts as failed."""

        class Faulty(Errand):
            def when_settled(self) -> Deferred[Any]:
                raise ValueError("broken")

        visit = Visit(waiting)
        visit.scope.acquire(self.source, lambda _: Faulty()).addErrback(lambda _: None)
        visit.disconnect()
        self.source.callback("connection")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(visit.outcome.ended, Ended.FAILED)

    def test_on_a_cancelled_scope(self) -> None:
        """On a cancelled scope the wait fails at once, and the resource is released on arrival."""
        visit = Visit(waiting)
        visit.disconnect()
        self.failureResultOf(visit.scope.acquire(self.source, self.release), CancelledError)
        self.source.callback("connection")
        self.assertEqual(self.released, ["connection"])

    def test_one_that_is_not_awaited_yet(self) -> None:
        """A wait that is cancelled before the handler awaits it causes no unhandled error."""

        async def handler(request: object) -> None:
            wanted = current_scope().acquire(self.source, self.release)
            await Deferred[None]()
            await wanted

        visit = Visit(handler)
        visit.disconnect()
        visit.clock.advance(5)
        gc.collect()
        self.source.callback("connection")
        self.assertEqual((visit.outcome.ended, self.released), (Ended.SURVIVED, ["connection"]))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_one_that_is_awaited_too_late(self) -> None:
        """Code that awaits a resource after its scope has closed gets a CancelledError."""
        visit = Visit(waiting)
        wanted = visit.scope.acquire(self.source, self.release)
        visit.disconnect()
        self.source.callback("connection")
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)
        self.failureResultOf(wanted, CancelledError)
