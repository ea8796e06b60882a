"""Requests whose end Twisted never reports: their scopes close all the same, once.

What belongs here: ends that are lost because a neighbour raises inside the request's `finish()`.
What does not: requests and listeners that raise themselves (`test_broken_reports`).
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Cause, Ended, scope_of

from .._work import Errand
from ._neighbours import BODY, NeighbourTestCase


class OurFinishTests(NeighbourTestCase):
    """The request is finished by cancelweb, whose call of `finish` raises as its neighbour did."""

    def assert_closes(self, *errors: type[BaseException]) -> None:
        """The scope has closed; these errors and the error of `finish` were logged."""
        self.assertTrue(self.request.finished)
        self.assert_logged(*errors, RuntimeError)
        self.assert_closed()
        self.assert_stays_closed()

    def test_a_deferred(self) -> None:
        """The scope of a Deferred closes when its page is sent, though the next request raises."""
        connection = self.ask(self.wait)
        self.waiting.callback(BODY)
        self.assert_closes()
        self.assertEqual(connection.responses[0].body, BODY)

    def test_a_coroutine(self) -> None:
        """The scope of a coroutine closes when its page is sent, though the next request raises."""

        async def handler(_: Request) -> bytes:
            result: bytes = await self.waiting
            return result

        self.ask(handler)
        self.waiting.callback(BODY)
        self.assert_closes()

    def test_nothing_more_to_write(self) -> None:
        """The scope of a handler that has written closes, though the next request raises."""
        self.ask(self.wait)
        self.request.write(BODY)
        self.waiting.callback(None)
        self.assert_closes()

    def test_an_iterator(self) -> None:
        """The scope of an iterator closes at its end, though the next request raises."""

        def handler(_: Request) -> Iterator[bytes]:
            yield BODY

        self.ask(handler)
        self.clock.pump([0, 0, 0])
        self.assert_closes()

    def test_an_async_generator(self) -> None:
        """The scope of an async generator closes at its end, though the next request raises."""

        async def handler(_: Request) -> AsyncIterator[bytes]:
            yield BODY
            await self.waiting

        self.ask(handler)
        self.clock.pump([0, 0])
        self.waiting.callback(None)
        self.assert_closes()

    def test_an_error_page(self) -> None:
        """The scope of a handler that fails closes, though the next request raises."""
        self.ask(self.wait)
        self.waiting.errback(ZeroDivisionError())
        self.assert_closes(ZeroDivisionError)

    def test_a_timer(self) -> None:
        """The scope of a timer that finishes the request closes, though the next request raises."""
        self.ask(lambda _: self.clock.callLater(1, self.finish))
        self.clock.advance(1)
        self.assert_closes()

    def test_tracked_work(self) -> None:
        """Leftover work is stopped and waited for, though the next request raises."""
        work = Errand(obedient=False)

        def handler(request: Request) -> object:
            scope_of(request).track(work)
            return self.waiting

        self.ask(handler)
        self.waiting.callback(BODY)
        self.assertEqual((work.asked, self.ran), ([""], []))
        self.assert_logged(RuntimeError)
        work.end()
        self.assertEqual((self.ran.count("exit"), self.monitor.scopes), (1, ()))
        self.assert_stays_closed()

    def test_a_hook_that_waits(self) -> None:
        """A scope waits for a hook and then closes, though the next request raises."""
        gate: Deferred[None] = Deferred()

        def hook(_: object) -> Deferred[None]:
            self.ran.append("exit")
            return gate

        self.ask(self.wait, on_exit=hook)
        self.waiting.callback(BODY)
        self.assertEqual((self.ran, self.outcomes), (["exit"], []))
        gate.callback(None)
        self.assert_closes()

    def test_a_page_in_between(self) -> None:
        """The scopes of two pages that finish in a row close, though the next request raises."""
        results: list[Any] = [self.waiting, succeed(BODY)]
        connection = self.ask(lambda _: results.pop(0), neighbours=[b"/page", b"/neighbour"])
        self.waiting.callback(BODY)
        self.assertEqual(self.monitor.scopes, ())
        self.assertEqual(self.ran, ["exit", "exit"])
        self.assertEqual(len(self.outcomes), 2)
        self.assertEqual([each.body for each in connection.responses[:2]], [BODY, BODY])
        self.flushLoggedErrors()


class AnsweredTests(NeighbourTestCase):
    """The request is cancelled, and answered with an error page."""

    def test_a_deadline(self) -> None:
        """A scope is cancelled at its deadline and closes, though the next request raises."""
        connection = self.ask(self.wait, timeout=5)
        self.clock.advance(5)
        self.assertEqual(connection.responses[0].code, 503)
        self.assert_cancelled()

    def test_a_cause_of_the_users_own(self) -> None:
        """A scope that user code cancels is answered and closes, though the next request raises."""
        connection = self.ask(self.wait)
        self.scope.cancel(Cause())
        self.assertEqual(connection.responses[0].code, 503)
        self.assert_cancelled()

    def test_work_that_takes_its_time(self) -> None:
        """Work that fails after its deadline closes the scope, though the next request raises."""
        work = Errand(obedient=False)
        self.ask(lambda _: work, timeout=5)
        self.clock.advance(5)
        self.assertEqual(self.ran, [])
        work.fail(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_cancelled()

    def assert_cancelled(self) -> None:
        """The scope was cancelled and has closed; the error of `finish` was logged."""
        self.assert_logged(RuntimeError)
        self.assertEqual(sorted(self.ran), ["cancel", "exit"])
        self.assertEqual(self.monitor.scopes, ())
        self.assertIsNot(self.outcomes[0].cause, None)
        self.assert_stays_closed()


class HandlersFinishTests(NeighbourTestCase):
    """The request is finished by user code, so the scope sees that at its next event."""

    def finish_by_hand(self, handler: Any = lambda _: NOT_DONE_YET, **options: Any) -> None:
        """Visit the page, and finish its request by hand."""
        self.ask(handler, **options)
        self.finish_in_vain(self.finish)
        self.assert_logged()

    def test_a_drain(self) -> None:
        """A drain closes a scope whose finish was not reported, and cancels nothing."""
        self.finish_by_hand()
        self.drain()
        self.assertIs(self.assert_closed().ended, Ended.COMPLETED)
        self.assert_stays_closed()

    def test_a_look_for_blind_spots(self) -> None:
        """A call of `blind_spots` closes a scope whose finish was not reported."""
        self.finish_by_hand()
        self.assertEqual(self.monitor.blind_spots(), ())
        self.assertIs(self.assert_closed().ended, Ended.COMPLETED)

    def test_a_drain_need_not_wait(self) -> None:
        """A drain does not wait for a scope whose finish was not reported."""
        self.finish_by_hand()
        done: list[None] = []
        self.monitor.drain(1000).addCallback(done.append)
        self.clock.pump([0, 2])
        self.assertEqual(done, [None])

    def test_a_drain_after_the_client_has_left(self) -> None:
        """A drain closes a scope whose finish was not reported and whose client has left since."""
        self.finish_by_hand()
        self.connection.disconnect()
        self.drain()
        self.assert_closed()

    def test_a_drain_that_has_begun(self) -> None:
        """A drain that has begun closes a scope whose finish is then not reported."""
        done: list[None] = []
        self.ask(lambda _: NOT_DONE_YET)
        # What has begun is not told that it is the last, so its neighbour is served.
        self.request.write(BODY)
        self.monitor.drain(10).addCallback(done.append)
        self.finish_in_vain(self.request.finish)
        self.clock.pump([10, 1, 1, 1])
        self.assertEqual(done, [None])
        self.assert_closed()
        self.assert_logged()

    def test_a_drain_beside_work_that_runs(self) -> None:
        """A drain stops work that runs on after a finish that was not reported."""
        work = Errand()
        self.finish_by_hand(lambda _: work)
        self.assertEqual(work.asked, [])
        self.drain()
        self.assertEqual(work.asked, [""])
        self.assertEqual((self.ran.count("exit"), self.monitor.scopes), (1, ()))

    def test_its_result(self) -> None:
        """A result after a finish that was not reported is dropped, and closes the scope."""
        self.finish_by_hand(self.wait)
        self.waiting.callback(b"another page")
        self.assert_closed()
        self.assertNotIn(b"another page", self.connection.received)
        self.assert_stays_closed()

    def test_its_failure(self) -> None:
        """A failure after a finish that was not reported is logged, and closes the scope."""
        self.finish_by_hand(self.wait)
        self.waiting.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIs(self.assert_closed().ended, Ended.FAILED)

    def test_its_deadline(self) -> None:
        """A deadline after a finish that was not reported cancels nothing, and closes the scope."""
        self.finish_by_hand(timeout=5)
        before = self.connection.received
        self.clock.advance(5)
        self.assert_closed()
        self.assertEqual(self.connection.received, before)
        self.assertFalse(self.connection.is_aborted)

    def test_work_that_ends(self) -> None:
        """Tracked work that ends after a finish that was not reported closes the scope."""
        first, second = Errand(), Errand()

        def handler(request: Request) -> int:
            scope_of(request).track(first)
            scope_of(request).track(second)
            return NOT_DONE_YET

        self.finish_by_hand(handler)
        first.end()
        self.assertEqual(second.asked, [""])
        self.assertEqual((self.ran.count("exit"), self.monitor.scopes), (1, ()))

    def test_work_that_comes_late(self) -> None:
        """Work that is tracked after a finish that was not reported is stopped at once."""
        work: Deferred[None] = Deferred()
        self.finish_by_hand()
        self.scope.track(work)
        self.failureResultOf(work, CancelledError)
        self.assertEqual((self.ran.count("exit"), self.monitor.scopes), (1, ()))

    def test_a_cancel(self) -> None:
        """A cancel after a finish that was not reported does nothing but close the scope."""
        self.finish_by_hand()
        self.assertFalse(self.scope.cancel(Cause()))
        self.assert_closed()
