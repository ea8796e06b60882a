"""Nothing starts for a dead request: what cancelweb's helpers refuse, and what they do not.

What belongs here: calls in threads, on a clock that the test moves. What does not: the other
helpers, which have `test_refusal_helpers`, and how long cleanup may take (`test_refusal_limits`).
"""

import contextlib
import gc
from collections.abc import AsyncGenerator, AsyncIterator

from twisted.internet.defer import CancelledError, Deferred
from twisted.web.server import NOT_DONE_YET

from cancelweb import (
    CancellingResource,
    Cause,
    StartRefused,
    cancel_on_disconnect,
    cleaning,
    current_scope,
    shield,
)
from cancelweb._scopes import owners, refusal

from .._cycles import no_cycles
from .._logs import log_events, of_cancelweb
from .._pages import Page
from .._visits import connect
from ._cleanups import LOOPS, UPDATES, wait
from ._refusals import Base


class CleanupStartsTests(Base):
    """Cleanup after a cancel begins whatever it needs."""

    def test_every_form(self) -> None:
        """Every form of cleanup does all its updates, and nothing is logged as an error."""
        for name, count in UPDATES.items():
            self.begun.clear()
            visit = self.visit(getattr(self.cleanups, name))
            self.leave(visit)
            self.assertEqual((name, len(self.begun)), (name, count))
            self.assertIn(visit.outcome.ended.name, ("STOPPED", "COMPLETED"), name)

    def test_in_a_wrapped_resource(self) -> None:
        """Every form of cleanup does all its updates in a wrapped resource."""
        for name, count in UPDATES.items():
            self.begun.clear()
            page = Page(getattr(self.cleanups, name))
            connection = connect(CancellingResource(page, clock=self.clock))
            connection.get()
            self.leave(connection)
            self.assertEqual((name, len(self.begun)), (name, count))

    def test_in_a_stream_that_is_closed(self) -> None:
        """A stream that is closed while its client reads nothing can clean up in its `finally`."""

        async def handler(_: object) -> AsyncIterator[bytes]:
            try:
                yield b"some"
                yield b"more"
            finally:
                await self.update()
                await self.update()

        connection = connect(CancellingResource(Page(handler), clock=self.clock))
        connection.get()
        connection.pause(full=True)
        self.leave(connection)
        self.assertEqual(len(self.begun), 2)

    def test_in_a_generator_that_is_closed(self) -> None:
        """A generator closed by code that caught its cancellation can clean up in its `finally`."""

        async def rows() -> AsyncGenerator[int, None]:
            try:
                yield 1
            finally:
                await self.update()

        async def handler(_: object) -> None:
            async with contextlib.aclosing(rows()) as opened:
                await anext(opened)
                with contextlib.suppress(CancelledError):
                    await wait()

        self.leave(self.visit(handler))
        self.assertEqual(len(self.begun), 1)

    def test_after_a_failure_of_shielded_work(self) -> None:
        """Code that handles a failure of shielded work after the cancel can begin an update."""
        work = Deferred[None]()

        async def handler(_: object) -> None:
            try:
                await shield(work)
            except ValueError:
                await self.update()

        visit = self.visit(handler)
        visit.disconnect()
        work.errback(ValueError())
        self.pass_time()
        self.assertEqual(len(self.begun), 1)

    def test_after_a_failure_in_a_thread(self) -> None:
        """Code that handles a failure in a thread after the cancel can begin an update."""

        async def handler(_: object) -> None:
            try:
                await self.in_thread(self.fail_later)
            except ValueError as error:
                self.assertIsInstance(error.__context__, CancelledError)
                await self.update()

        visit = self.visit(handler)
        self.pass_time(0.1)
        self.leave(visit)
        self.assertEqual(len(self.begun), 1)

    def test_in_a_finally_that_a_refusal_runs(self) -> None:
        """A `finally` that a refusal runs can begin an update."""

        async def handler(_: object) -> None:
            with contextlib.suppress(CancelledError):
                await wait()
            try:
                await self.update()
            finally:
                await self.update()

        self.leave(self.visit(handler))
        self.assertEqual(len(self.begun), 1)


class NothingStartsTests(Base):
    """Code that goes on after its cancellation, or tries again, is refused."""

    async def go_on(self, _: object) -> None:
        """A handler that takes no notice of its cancellation."""
        with contextlib.suppress(CancelledError):
            await wait()
        try:
            await self.update()
        except StartRefused as error:
            self.told.append(error)
            raise

    def test_every_loop_ends(self) -> None:
        """Loops that catch Exception and try again begin nothing, and are stopped."""
        for name in LOOPS:
            visit = self.visit(getattr(self.retries, name))
            self.leave(visit)
            self.assertEqual((name, self.begun), (name, []))
            self.assertEqual((name, visit.outcome.ended.name), (name, "STOPPED"))

    def test_told_in_a_later_turn(self) -> None:
        """Code that is refused is told in a later turn of the reactor."""
        visit = self.visit(self.go_on)
        visit.disconnect()
        self.assertEqual(self.told, [])
        self.clock.advance(0)
        self.assertEqual(len(self.told), 1)

    def test_what_it_says(self) -> None:
        """A StartRefused is not an Exception, carries the cause, says why, and names `cleaning`."""
        visit = self.visit(self.go_on)
        self.leave(visit)
        [error] = self.told
        assert isinstance(error, StartRefused)
        self.assertNotIsInstance(error, Exception)
        self.assertIs(error.cause, visit.outcome.cause)
        self.assertRegex(
            str(error),
            r"^a call in a thread was not started: the client disconnected .*; if it is cleanup, "
            r"put it inside `with cancelweb.cleaning\(\):`$",
        )

    def test_logged_once_for_each_place(self) -> None:
        """The log names a place in the code that is refused, once."""
        refusal._told.clear()
        events = log_events(self)
        for _ in range(3):
            self.leave(self.visit(self.go_on))
        [event] = [each for each in of_cancelweb(events) if "where" in each]
        self.assertRegex(event["where"], r"_refusals\.py:\d+ in Base\.in_thread$")

    def test_places_are_bounded(self) -> None:
        """Once as many places as `_PLACES` allows have been logged, no other place is."""
        refusal._told.clear()
        self.patch(refusal, "_PLACES", 0)
        events = log_events(self)
        self.leave(self.visit(self.go_on))
        self.assertEqual([each for each in of_cancelweb(events) if "where" in each], [])

    def test_a_callback(self) -> None:
        """If only Twisted's code is on the stack, the log names the place "a callback"."""
        refusal._told.clear()
        self.patch(owners, "frames", lambda: iter(()))
        events = log_events(self)
        self.leave(self.visit(self.go_on))
        self.assertIn("a callback", [each.get("where") for each in of_cancelweb(events)])

    def test_a_cause_of_ones_own(self) -> None:
        """A handler that cancels its own scope is refused what it begins next."""

        async def handler(_: object) -> None:
            current_scope().cancel(Cause())
            await self.update()

        visit = self.visit(handler)
        self.pass_time()
        self.assertEqual((self.begun, visit.response.code), ([], 503))

    def test_that_no_code_awaits(self) -> None:
        """A refusal that no code awaits is not logged as an error."""

        async def handler(_: object) -> None:
            with contextlib.suppress(CancelledError):
                await wait()
            self.update()

        visit = self.visit(handler)
        self.leave(visit)
        del visit
        gc.collect()
        self.assertEqual((self.begun, self.flushLoggedErrors()), ([], []))

    def test_cancelled_meanwhile(self) -> None:
        """Code that cancels a refused call before it is told about the refusal is told at once."""

        async def handler(_: object) -> None:
            with contextlib.suppress(CancelledError):
                await wait()
            refused = self.update()
            refused.cancel()
            try:
                await refused
            except StartRefused as error:
                self.told.append(error)

        visit = self.visit(handler)
        visit.disconnect()
        self.assertEqual(len(self.told), 1)

    def test_in_shielded_work_that_has_ended(self) -> None:
        """Code that shielded work has left running is refused once that work has ended."""
        go_on = Deferred[None]()

        async def left() -> None:
            await go_on
            await self.update()

        async def work() -> None:
            Deferred.fromCoroutine(left()).addErrback(self.told.append)

        async def handler(_: object) -> None:
            await shield(work)
            await wait()

        self.leave(self.visit(handler))
        go_on.callback(None)
        self.pass_time()
        self.assertEqual((self.begun, len(self.told)), ([], 1))

    def test_that_catches_all(self) -> None:
        """A loop that catches BaseException begins nothing, blocks nothing, and is a survivor."""
        rounds: list[float] = []

        async def handler(_: object) -> None:
            while len(self.told) == 0:
                rounds.append(self.clock.seconds())
                with contextlib.suppress(BaseException):
                    await self.update()

        visit = self.visit(handler)
        self.leave(visit, 20)
        self.assertEqual((self.begun, visit.outcome.ended.name), ([], "SURVIVED"))
        self.told.append("enough")
        self.assertLess(len(rounds), 40)
        self.assertAlmostEqual(rounds[-1] - rounds[-2], 1, delta=0.02)
        self.pass_time()

    def test_many_at_once(self) -> None:
        """A thousand calls that are refused together are all told in the same turn."""

        async def handler(_: object) -> None:
            with contextlib.suppress(CancelledError):
                await wait()
            for _ in range(1000):
                self.update().addErrback(self.told.append)

        visit = self.visit(handler)
        visit.disconnect()
        self.clock.advance(0)
        self.assertEqual(len(self.told), 1000)

    def test_leaves_no_cycle(self) -> None:
        """Refused calls and calls of cleanup leave nothing to the cycle collector."""
        # A loop that swallows the failure of another coroutine has a cycle of Twisted's.
        handlers = [getattr(self.cleanups, name) for name in UPDATES] + [self.retries.loop]
        connections = [connect(Page(cancel_on_disconnect(each)), self.clock) for each in handlers]
        with no_cycles(self):
            for connection in connections:
                connection.get()
                self.leave(connection)
            self.clock.advance(100)


class OpenRequestTests(Base):
    """A scope is refused nothing unless it was cancelled."""

    def test_a_finished_response(self) -> None:
        """A handler that has finished its response can begin more work, and runs to its end."""

        async def handler(request: object) -> int:
            current_scope().track(wait())
            request.write(b"done")  # type: ignore[attr-defined]
            request.finish()  # type: ignore[attr-defined]
            await self.update()
            return NOT_DONE_YET

        visit = self.visit(handler)
        self.pass_time()
        self.assertEqual((len(self.begun), visit.response.body), (1, b"done"))

    def test_a_dry_run(self) -> None:
        """A request in a dry run is refused nothing after its client has left."""

        async def handler(_: object) -> None:
            await self.update()
            await self.update()

        connection = connect(CancellingResource(Page(handler), dry_run=True, clock=self.clock))
        connection.get()
        self.leave(connection)
        self.assertEqual(len(self.begun), 2)

    def test_no_scope(self) -> None:
        """Calls outside any scope are not refused, inside `cleaning` or not."""
        self.update()
        with cleaning():
            self.update()
        self.pass_time()
        self.assertEqual(len(self.begun), 2)
