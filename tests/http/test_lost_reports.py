"""Requests whose end Twisted never reports: their scopes close all the same, once.

What belongs here: ends that are lost because a neighbour raises inside the request's `finish()`.
What does not: requests and listeners that raise themselves (`test_broken_reports`).
"""

import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Cause, Ended, scope_of

from .._work import Errand
from ._neighbours import BODY, NeighbourError, NeighbourTestCase


class OurFinishTests(NeighbourTestCase):
    """The request is finished by cancelweb, which is told of the neighbour's mistake."""

    def assert_closes(self, *errors: type[BaseException]) -> None:
        """The scope has closed; these were logged, with what `finish()` raised."""
        self.assertTrue(self.request.finished)
        self.assert_logged(*errors, RuntimeError)
        self.assert_closed()
        self.assert_stays_closed()

    def test_a_deferred(self) -> None:
        """A scope closes in the turn in which the result of a Deferred is sent."""
        client = self.ask(self.wait)
        self.waiting.callback(BODY)
        self.assert_closes()
        self.assertEqual(client.responses[0].body, BODY)

    def test_a_coroutine(self) -> None:
        """So does that of a coroutine."""

        async def handler(_: Request) -> bytes:
            result: bytes = await self.waiting
            return result

        self.ask(handler)
        self.waiting.callback(BODY)
        self.assert_closes()

    def test_nothing_more_to_write(self) -> None:
        """So does that of a handler that writes, and whose Deferred comes to nothing."""
        self.ask(self.wait)
        self.request.write(BODY)
        self.waiting.callback(None)
        self.assert_closes()

    def test_an_iterator(self) -> None:
        """So does that of a stream, at its end."""

        def handler(_: Request) -> Iterator[bytes]:
            yield BODY

        self.ask(handler)
        self.clock.pump([0, 0, 0])
        self.assert_closes()

    def test_an_async_generator(self) -> None:
        """So does that of an async generator."""

        async def handler(_: Request) -> AsyncIterator[bytes]:
            yield BODY
            await self.waiting

        self.ask(handler)
        self.clock.pump([0, 0])
        self.waiting.callback(None)
        self.assert_closes()

    def test_an_error_page(self) -> None:
        """So does that of a handler that fails."""
        self.ask(self.wait)
        self.waiting.errback(ZeroDivisionError())
        self.assert_closes(ZeroDivisionError)

    def test_a_timer(self) -> None:
        """So does that of a timer whose function finishes the request."""
        self.ask(lambda _: self.clock.callLater(1, self.finish))
        self.clock.advance(1)
        self.assert_closes()

    def test_tracked_work(self) -> None:
        """What was tracked is left over: it is stopped in that turn, and waited for."""
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
        """A hook is waited for, and then the scope closes."""
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
        """So do that of a page and that of the page before it, if both are finished in a row."""
        results: list[Any] = [self.waiting, succeed(BODY)]
        client = self.ask(lambda _: results.pop(0), neighbours=[b"/page", b"/neighbour"])
        self.waiting.callback(BODY)
        self.assertEqual(self.monitor.scopes, ())
        self.assertEqual(self.ran, ["exit", "exit"])
        self.assertEqual(len(self.outcomes), 2)
        self.assertEqual([each.body for each in client.responses[:2]], [BODY, BODY])
        self.flushLoggedErrors()


class AnsweredTests(NeighbourTestCase):
    """The request is cancelled, and answered with an error page."""

    def test_a_deadline(self) -> None:
        """The scope is cancelled at its deadline, and closes; the client has the page."""
        client = self.ask(self.wait, timeout=5)
        self.clock.advance(5)
        self.assertEqual(client.responses[0].code, 503)
        self.assert_cancelled()

    def test_a_cause_of_the_users_own(self) -> None:
        """So it is where the server cancels for reasons of its own."""
        client = self.ask(self.wait)
        self.scope.cancel(Cause())
        self.assertEqual(client.responses[0].code, 503)
        self.assert_cancelled()

    def test_work_that_takes_its_time(self) -> None:
        """So it is where the work is waited for after that, and fails."""
        work = Errand(obedient=False)
        self.ask(lambda _: work, timeout=5)
        self.clock.advance(5)
        self.assertEqual(self.ran, [])
        work.fail(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_cancelled()

    def assert_cancelled(self) -> None:
        """The scope was cancelled, and has closed; the neighbour's mistake was logged."""
        self.assertEqual(sorted(self.ran), ["cancel", "exit"])
        self.assertEqual(self.monitor.scopes, ())
        self.assertIsNot(self.outcomes[0].cause, None)
        self.assert_stays_closed()
        self.addCleanup(self.forget_page)

    def forget_page(self) -> None:
        """What `finish()` raised is in a Deferred of Twisted's page, which logs it some time."""
        gc.collect()
        self.flushLoggedErrors(NeighbourError, RuntimeError)


class HandlersFinishTests(NeighbourTestCase):
    """The request is finished by code of the user's own: the scope is told at its next event."""

    def finish_by_hand(self, handler: Any = lambda _: NOT_DONE_YET, **options: Any) -> None:
        """Visit, and finish."""
        self.ask(handler, **options)
        self.finish_in_vain(self.finish)
        self.assert_logged()

    def test_a_drain(self) -> None:
        """Where nothing else happens, a drain closes the scope, and ends; nothing was cancelled."""
        self.finish_by_hand()
        self.drain()
        self.assertIs(self.assert_closed().ended, Ended.COMPLETED)
        self.assert_stays_closed()

    def test_a_look_for_blind_spots(self) -> None:
        """Nor need anything happen: whoever looks for connections that are not read closes it."""
        self.finish_by_hand()
        self.assertEqual(self.monitor.blind_spots(), ())
        self.assertIs(self.assert_closed().ended, Ended.COMPLETED)

    def test_a_drain_need_not_wait(self) -> None:
        """A drain of nothing else is over at once."""
        self.finish_by_hand()
        done: list[None] = []
        self.monitor.drain(1000).addCallback(done.append)
        self.clock.pump([0, 2])
        self.assertEqual(done, [None])

    def test_a_drain_after_the_client_has_left(self) -> None:
        """So it is where the client has left since."""
        self.finish_by_hand()
        self.connection.disconnect()
        self.drain()
        self.assert_closed()

    def test_a_drain_that_has_begun(self) -> None:
        """So it is where the drain had begun before."""
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
        """A drain also asks what the handler returned to stop; until then it runs on."""
        work = Errand()
        self.finish_by_hand(lambda _: work)
        self.assertEqual(work.asked, [])
        self.drain()
        self.assertEqual(work.asked, [""])
        self.assertEqual((self.ran.count("exit"), self.monitor.scopes), (1, ()))

    def test_its_result(self) -> None:
        """Where the handler's result arrives, it is dropped, and the scope closes."""
        self.finish_by_hand(self.wait)
        self.waiting.callback(b"another page")
        self.assert_closed()
        self.assertNotIn(b"another page", self.connection.received)
        self.assert_stays_closed()

    def test_its_failure(self) -> None:
        """Where the handler's work fails, it is logged, and the scope closes."""
        self.finish_by_hand(self.wait)
        self.waiting.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIs(self.assert_closed().ended, Ended.FAILED)

    def test_its_deadline(self) -> None:
        """At the deadline nothing is cancelled, and the scope closes."""
        self.finish_by_hand(timeout=5)
        before = self.connection.received
        self.clock.advance(5)
        self.assert_closed()
        self.assertEqual(self.connection.received, before)
        self.assertFalse(self.connection.is_aborted)

    def test_work_that_ends(self) -> None:
        """Where tracked work ends, the scope closes, and other tracked work is stopped."""
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
        """Work that is tracked later is stopped at once, and the scope closes."""
        work: Deferred[None] = Deferred()
        self.finish_by_hand()
        self.scope.track(work)
        self.failureResultOf(work, CancelledError)
        self.assertEqual((self.ran.count("exit"), self.monitor.scopes), (1, ()))

    def test_a_cancel(self) -> None:
        """To cancel it does nothing, and the scope closes."""
        self.finish_by_hand()
        self.assertFalse(self.scope.cancel(Cause()))
        self.assert_closed()
