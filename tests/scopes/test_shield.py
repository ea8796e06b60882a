"""`shield`: a cancel does not cut the work, and cancels its owner when the work has ended.

What belongs here: one request and its shielded work. What does not: work that goes on outside.
"""

from collections.abc import Generator
from typing import Any, assert_type

from twisted.internet.defer import CancelledError, Deferred, gatherResults, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Ended, cancel_on_disconnect, current_scope, shield

from .._cycles import no_cycles
from .._logs import log_events, of_cancelweb
from .._pages import Page, waiting
from .._visits import Visit, connect
from .._work import Errand


class Base(SynchronousTestCase):
    """Work that is shielded, and what its owner was told."""

    def setUp(self) -> None:
        """Work that notes when it is cancelled."""
        self.cancelled: list[object] = []
        self.work: Deferred[Any] = Deferred(self.cancelled.append)
        self.told: list[object] = []

    async def handler(self, request: object) -> bytes:
        """Await shielded work."""
        try:
            result: bytes = await shield(self.work)
        except BaseException as error:
            self.told.append(type(error))
            raise
        self.told.append(result)
        return result


class CancelTests(Base):
    """The client leaves while shielded work runs."""

    def test_in_a_coroutine(self) -> None:
        """A coroutine that awaits shielded work is cancelled when that has ended, not before."""
        visit = Visit(self.handler)
        visit.disconnect()
        self.assertEqual((self.told, visit.outcomes), ([], []))
        self.work.callback(b"saved")
        self.assertEqual((self.cancelled, self.told), ([], [CancelledError]))
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_in_inline_callbacks(self) -> None:
        """A generator that awaits shielded work is cancelled when that has ended, not before."""

        @inlineCallbacks
        def handler(request: object) -> Generator[Deferred[Any], Any, bytes]:
            try:
                yield shield(self.work)
            except CancelledError:
                self.told.append("cancelled")
                raise
            return b""

        visit = Visit(handler)
        visit.disconnect()
        self.assertEqual(self.told, [])
        self.work.callback(b"saved")
        self.assertEqual(self.told, ["cancelled"])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_returned(self) -> None:
        """A request whose handler returned shielded work ends with that work."""
        visit = Visit(lambda request: shield(self.work))
        visit.disconnect()
        self.assertEqual((self.cancelled, visit.outcomes), ([], []))
        self.work.callback(b"saved")
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_chained(self) -> None:
        """A returned Deferred that is chained on shielded work ends with that work."""
        first = Deferred[None]()
        visit = Visit(lambda request: first.addCallback(lambda _: shield(self.work)))
        first.callback(None)
        visit.disconnect()
        self.assertEqual((self.cancelled, visit.outcomes), ([], []))
        self.work.callback(b"saved")
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_nested(self) -> None:
        """Shielded work holds up all coroutines that await it, directly or not."""

        async def outer(request: object) -> bytes:
            return await self.handler(request)

        visit = Visit(outer)
        visit.disconnect()
        self.assertEqual(visit.outcomes, [])
        self.work.callback(b"saved")
        self.assertEqual((self.told, visit.outcome.ended), ([CancelledError], Ended.STOPPED))

    def test_other_work_is_not_held_up(self) -> None:
        """Other work is asked to stop in the turn of the disconnect while shielded work runs."""
        errand = Errand()

        async def handler(request: object) -> bytes:
            current_scope().track(errand)
            return await self.handler(request)

        visit = Visit(handler)
        visit.disconnect()
        self.assertEqual(errand.asked, [""])
        self.work.callback(b"saved")

    def test_a_second_cancel(self) -> None:
        """A shielded Deferred that is cancelled repeatedly fails only when its work has ended."""
        shielded = shield(self.work)
        for _ in range(3):
            shielded.cancel()
        self.assertNoResult(shielded)
        self.work.callback(None)
        self.failureResultOf(shielded, CancelledError)

    def test_within_gather_results(self) -> None:
        """The scope waits for shielded work though the code that awaited it has gone on."""
        cleaned: list[bool] = []
        wait: Deferred[None] = Deferred(lambda _: None)

        async def handler(request: object) -> None:
            current_scope().on_exit(lambda scope: cleaned.append(True))
            await gatherResults([shield(self.work), wait], consumeErrors=True)

        visit = Visit(handler)
        visit.disconnect()
        self.assertEqual((cleaned, visit.outcomes), ([], []))
        self.work.callback(None)
        self.assertEqual((cleaned, visit.outcome.ended), ([True], Ended.STOPPED))


class ResultTests(Base):
    """Shielded work ends."""

    def test_in_time(self) -> None:
        """Without a cancel, code that awaits shielded work gets its result."""
        visit = Visit(self.handler)
        self.work.callback(b"saved")
        self.assertEqual((visit.response.body, visit.outcome.ended), (b"saved", Ended.COMPLETED))

    def test_a_failure_in_time(self) -> None:
        """Without a cancel, code that awaits shielded work gets its failure."""
        visit = Visit(self.handler)
        self.work.errback(ValueError())
        self.assertEqual((visit.response.code, self.told), (500, [ValueError]))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_failure_after_the_cancel(self) -> None:
        """Shielded work that fails after the cancel raises that failure, which is also logged."""
        visit = Visit(self.handler)
        visit.disconnect()
        self.work.errback(ValueError())
        self.assertEqual((self.told, visit.outcome.ended), ([ValueError], Ended.FAILED))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_failure_that_is_handled(self) -> None:
        """Code that handles the failure of shielded work after the cancel goes on uncancelled."""
        amends: Deferred[None] = Deferred()

        async def handler(request: object) -> bytes:
            try:
                await shield(self.work)
            except ValueError:
                await amends
                self.told.append("amends")
            return b""

        visit = Visit(handler)
        visit.disconnect()
        self.work.errback(ValueError())
        amends.callback(None)
        self.assertEqual((self.told, visit.outcome.ended), (["amends"], Ended.COMPLETED))

    def test_work_that_has_ended(self) -> None:
        """Work that has already ended can be shielded, and gives its result."""
        self.work.callback(b"saved")
        self.assertEqual(Visit(self.handler).response.body, b"saved")

    def test_a_coroutine(self) -> None:
        """`shield` starts a coroutine in the scope of its caller."""

        async def save() -> int:
            self.told.append(current_scope())
            await self.work
            return 7

        visit = Visit(lambda request: shield(save()).addCallback(lambda _: b"saved"))
        self.assertEqual(self.told, [visit.scope])
        self.work.callback(None)
        self.assertEqual(visit.response.body, b"saved")
        assert_type(shield(self.typed()), Deferred[int])

    async def typed(self) -> int:
        """A coroutine with a type."""
        return 7

    def test_a_function(self) -> None:
        """`shield` calls a function with its arguments, whatever the function returns."""

        async def save(number: int, *, name: str) -> str:
            await self.work
            return f"{number} {name}"

        saved = shield(save, 7, name="x")
        assert_type(saved, Deferred[str])
        self.work.callback(None)
        self.assertEqual(self.successResultOf(saved), "7 x")
        ready = Deferred[int]()
        assert_type(shield(lambda: ready), Deferred[int])
        plain: Deferred[int] = shield(max, 3, 7)
        self.assertEqual(self.successResultOf(plain), 7)

    def test_a_function_that_raises(self) -> None:
        """If a shielded function raises, the Deferred of `shield` fails with its error."""
        self.failureResultOf(shield(int, "x"), ValueError)

    def test_unknown_work(self) -> None:
        """`shield` raises a TypeError for an object that cannot be waited for."""
        self.assertRaises(TypeError, shield, 7)

    def test_arguments_without_a_function(self) -> None:
        """`shield` raises a TypeError for arguments that no function would take."""
        takes: Any = shield
        message = r"takes arguments for a function alone, not for .*Deferred"
        with self.assertRaisesRegex(TypeError, message):
            takes(Deferred(), 3)
        self.assertRaisesRegex(TypeError, message, takes, Deferred(), x=3)


class SurvivorTests(Base):
    """Shielded work takes too long."""

    def test_survives(self) -> None:
        """Shielded work is a survivor after `survivor_after` seconds, and runs on uncancelled."""
        events = log_events(self)
        visit = Visit(self.handler, survivor_after=2)
        visit.disconnect()
        visit.clock.advance(2)
        self.assertEqual((visit.outcome.ended, self.cancelled), (Ended.SURVIVED, []))
        self.assertIn("shielded", " ".join(str(e["canceller"]) for e in of_cancelweb(events)[:2]))
        self.work.callback(b"saved")
        self.assertEqual(self.told, [CancelledError])

    def test_a_failure_of_a_survivor(self) -> None:
        """The failure of shielded work that is a survivor is logged."""
        visit = Visit(self.handler, survivor_after=2)
        visit.disconnect()
        visit.clock.advance(2)
        self.work.errback(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class PlacesTests(Base):
    """`shield` is used in several places."""

    def test_in_a_finally(self) -> None:
        """In a `finally` after the cancel, `shield` gives the result, and the code goes on."""

        async def handler(request: object) -> None:
            try:
                await Deferred[None]()
            finally:
                self.told.append(await shield(self.work))
                self.told.append("and on")

        visit = Visit(handler)
        visit.disconnect()
        self.work.callback("saved")
        self.assertEqual(self.told, ["saved", "and on"])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_in_a_hook(self) -> None:
        """In a cleanup hook, `shield` gives the result."""

        async def hook(scope: object) -> None:
            self.told.append(await shield(self.work))

        visit = Visit(waiting, on_cancel=hook)
        visit.disconnect()
        self.work.callback("saved")
        self.assertEqual(self.told, ["saved"])

    def test_on_a_closed_scope(self) -> None:
        """In a survivor whose scope has closed, `shield` gives the result."""
        go_on = Deferred[None]()

        async def survivor(request: object) -> None:
            try:
                await Deferred[None]()
            except CancelledError:
                await go_on
                self.told.append(await shield(self.work))

        visit = Visit(survivor)
        visit.disconnect()
        visit.clock.advance(5)
        go_on.callback(None)
        self.work.callback("saved")
        self.assertEqual((visit.scope.request, self.told), (None, ["saved"]))

    def test_outside_any_scope(self) -> None:
        """Outside any scope, a shielded Deferred that is cancelled fails when its work ends."""
        shielded = shield(self.work)
        shielded.cancel()
        self.assertNoResult(shielded)
        self.work.callback(None)
        self.failureResultOf(shielded, CancelledError)

    def test_no_cycles(self) -> None:
        """Shielded work leaves nothing to the cycle collector, whether its client leaves or not."""
        connections = [connect(Page(cancel_on_disconnect(self.handler))) for _ in range(3)]
        with no_cycles(self):
            for connection in connections:
                self.work = Deferred()
                connection.get()
                self.work.callback(b"saved")
                self.work = Deferred()
                connection.get()
                connection.disconnect()
                self.work.callback(b"saved")
