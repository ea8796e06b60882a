"""What a cleanup hook sees of the way in which its scope ended: `Scope.ended` and `Scope.failure`.

When hooks run is for `test_hooks`.
"""

import gc
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred, fail, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import (
    CancellingResource,
    Ended,
    Scope,
    cancel_on_disconnect,
    current_scope,
    scope_of,
)
from cancelweb.testing import Connection

from .._pages import Handler, Page, raising, waiting
from .._visits import Visit, connect, kept_request, lose
from .._work import Errand


class BoomError(Exception):
    """An error of the handler's own."""


async def coroutine(request: Request) -> bytes:
    """Fail in a coroutine."""
    raise BoomError


@inlineCallbacks
def generator(request: Request) -> Generator[Deferred[None], None, bytes]:
    """Fail in a generator."""
    yield fail(BoomError())
    return b"page"


async def stream(request: Request) -> AsyncIterator[bytes]:
    """Fail in the middle of the response."""
    yield b"a part"
    raise BoomError


def function(request: Request) -> bytes:
    """Fail before anything was returned."""
    raise BoomError


def beside(request: Request) -> Deferred[bytes]:
    """Fail in work that is tracked."""
    result: Deferred[bytes] = Deferred()
    current_scope().track(fail(BoomError()).addErrback(lambda failure: failure))
    scope = current_scope()
    scope.clock.callLater(0, result.callback, b"page")
    return result


class AHookSeesHowTheScopeEndedTests(SynchronousTestCase):
    """Promise 3: a hook sees `ended` and `failure` of its scope."""

    def setUp(self) -> None:
        """Note what the hook sees."""
        self.seen: list[tuple[Ended, object]] = []

    def hook(self, scope: Scope) -> None:
        """Note how the scope ended, and the class of its failure."""
        failure = scope.failure
        self.seen.append((scope.ended, None if failure is None else type(failure.value)))

    def connections(self, handler: Handler) -> Iterator[Connection]:
        """Clients of each entry point, which have asked for the page."""
        for page in (
            Page(cancel_on_disconnect(on_exit=self.hook)(handler)),
            CancellingResource(Page(handler), on_exit=self.hook),
        ):
            connection = connect(page)
            connection.get()
            connection.client.clock.advance(0)
            yield connection

    def test_failed(self) -> None:
        """A hook sees that its handler failed, and with what, for each kind of handler."""
        for handler in (coroutine, generator, stream, function, beside):
            for connection in self.connections(handler):
                connection.disconnect()
                self.assertEqual(self.seen, [(Ended.FAILED, BoomError)], handler)
                self.seen.clear()
        self.flushLoggedErrors(BoomError)

    def test_stopped(self) -> None:
        """A hook sees that work was stopped when the client left, and no failure."""
        for connection in self.connections(waiting):
            connection.disconnect()
        self.assertEqual(self.seen, [(Ended.STOPPED, None)] * 2)

    def test_completed(self) -> None:
        """A hook sees that a request which was answered has completed."""
        for _ in self.connections(lambda _: b"page"):
            pass
        self.assertEqual(self.seen, [(Ended.COMPLETED, None)] * 2)

    def test_survived(self) -> None:
        """A hook sees that work has survived."""
        for connection in self.connections(lambda _: Errand(obedient=False)):
            connection.disconnect()
            connection.client.clock.advance(5)
        self.assertEqual(self.seen, [(Ended.SURVIVED, None)] * 2)

    def test_refused(self) -> None:
        """A hook sees that its request was refused, without a call of the handler."""
        connection, request = kept_request()
        connection.disconnect()
        cancel_on_disconnect(on_exit=self.hook)(waiting)(request)
        self.assertEqual(self.seen, [(Ended.REFUSED, None)])

    def test_failed_while_being_stopped(self) -> None:
        """A hook sees an error in the cleanup of stopped work as the failure."""

        async def handler(request: Request) -> bytes:
            try:
                return await Deferred[bytes]()
            finally:
                raise BoomError

        for connection in self.connections(handler):
            connection.disconnect()
        self.assertEqual(self.seen, [(Ended.FAILED, BoomError)] * 2)
        self.flushLoggedErrors(BoomError)

    def test_the_failure_can_be_traced(self) -> None:
        """The failure that a hook sees has a traceback that names the handler."""
        told: list[str] = []

        def hook(scope: Scope) -> None:
            assert scope.failure is not None
            told.append(scope.failure.getTraceback())

        Visit(raising, on_exit=hook)
        self.assertIn("in raising", told[0])
        self.flushLoggedErrors(ValueError)


class ClosedScopeTests(SynchronousTestCase):
    """What a closed scope still knows."""

    def test_ended(self) -> None:
        """A closed scope knows how it ended, with observers and without, also for a late hook."""
        for observers in ((), repr):
            visit = Visit(waiting, observers=observers)
            self.assertIs(visit.scope.ended, Ended.COMPLETED)
            visit.disconnect()
            self.assertIs(visit.scope.ended, Ended.STOPPED)
            seen: list[Ended] = []
            visit.scope.on_exit(lambda scope, seen=seen: seen.append(scope.ended))
            self.assertEqual(seen, [Ended.STOPPED])

    def test_not_stopped_before_it_has(self) -> None:
        """A scope does not count as stopped while its work is being asked to stop."""
        seen: list[Ended] = []

        async def handler(request: Request) -> bytes:
            try:
                return await Deferred[bytes]()
            finally:
                seen.append(scope_of(request).ended)

        visit = Visit(handler, observers=())
        visit.disconnect()
        self.assertEqual((seen, visit.scope.ended), ([Ended.COMPLETED], Ended.STOPPED))

    def test_work_that_completed_all_the_same(self) -> None:
        """A cancelled scope whose work comes to its result has completed."""
        visit = Visit(waiting_obstinately)
        visit.disconnect()
        self.assertIs(visit.scope.ended, Ended.COMPLETED)
        self.assertIs(visit.outcome.ended, Ended.COMPLETED)

    def test_not_done_yet(self) -> None:
        """The scope of a handler that returns NOT_DONE_YET has ended as the outcome says."""
        visit = Visit(lambda _: NOT_DONE_YET)
        visit.disconnect()
        self.assertIs(visit.scope.ended, visit.outcome.ended)

    def test_lost_during_the_call(self) -> None:
        """A scope has ended as stopped if the client left before the handler returned."""

        def handler(request: Request) -> Errand:
            lose(request)
            return Errand()

        visit = Visit(handler)
        self.assertIs(visit.scope.ended, Ended.STOPPED)

    def test_no_failure(self) -> None:
        """A closed scope has let go of its failure, which refers to frames."""
        kept: list[Any] = []

        class Local:
            """Something in a frame."""

        async def handler(request: Request) -> bytes:
            local = Local()
            kept.append(ref(local))
            raise BoomError

        visit = Visit(handler, on_exit=lambda scope: kept.append(scope.failure is not None))
        self.assertEqual(len(self.flushLoggedErrors(BoomError)), 1)
        gc.collect()
        self.assertIsNone(visit.scope.failure)
        self.assertEqual([kept[0](), kept[1]], [None, True])


async def waiting_obstinately(request: Request) -> bytes:
    """Answer also when the wait is cancelled."""
    try:
        return await Deferred[bytes]()
    except Exception:
        return b"page"
