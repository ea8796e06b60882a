"""A refusal hits the request that is over, and no other whose code runs in its context.

What belongs here: callbacks, which Twisted calls in the context of the code that fires their
Deferred. What does not: leftover work (`test_refusal_leftover`).
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import copy_context
from functools import partial
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    DeferredLock,
    inlineCallbacks,
    race,
)
from twisted.internet.task import deferLater
from twisted.web.server import NOT_DONE_YET

from cancelweb import (
    CancellingResource,
    Scope,
    StartRefused,
    cleaning,
    current_scope,
    shield,
)

from .._pages import Handler, Page
from .._visits import Visit, connect
from ._cleanups import Steps, wait
from ._refusals import Base


class Locked(Base):
    """Requests that take turns.

    Attributes:
        lock: whose turn it is.
    """

    def setUp(self) -> None:
        """Make a lock that no request holds."""
        super().setUp()
        self.lock = DeferredLock()

    def run_it(self, _: object) -> Deferred[Any]:
        """Have a callback release the lock."""
        return self.lock.run(wait)

    async def in_with(self, _: object) -> None:
        """Release the lock behind an `async with`."""
        async with self.lock:
            await wait()

    async def in_finally(self, _: object) -> None:
        """Release the lock in a `finally`."""
        await self.lock.acquire()
        try:
            await wait()
        finally:
            self.lock.release()

    async def behind_the_block(self, _: object) -> None:
        """Release the lock after the cancellation was caught."""
        await self.lock.acquire()
        with contextlib.suppress(CancelledError):
            await wait()
        self.lock.release()

    async def in_cleaning(self, _: object) -> None:
        """Release the lock inside `cleaning`."""
        await self.lock.acquire()
        with contextlib.suppress(CancelledError):
            await wait()
        with cleaning():
            self.lock.release()

    async def in_a_hook(self, _: object) -> None:
        """Have a hook release the lock."""
        await self.lock.acquire()
        current_scope().on_exit(lambda _: self.lock.release())
        await wait()

    async def in_shielded_work(self, _: object) -> None:
        """Release the lock in shielded work."""
        await self.lock.acquire()
        await shield(self.release_later)

    async def release_later(self) -> None:
        """Release the lock in a moment."""
        await deferLater(self.clock, 0.1)
        self.lock.release()

    def holders(self) -> Iterator[Handler]:
        """All handlers that hold the lock."""
        yield from (self.run_it, self.in_with, self.in_finally, self.behind_the_block)
        yield from (self.in_cleaning, self.in_a_hook, self.in_shielded_work)

    def check(self) -> Deferred[Any]:
        """Ask in a thread whether its request goes on."""

        def function() -> None:
            current_scope().check()
            self.begun.append(self.clock.seconds())

        return self.in_thread(function)

    async def check_later(self) -> None:
        """Wait for a turn, and ask in a thread whether the request goes on."""
        await self.pause()
        await self.check()

    @inlineCallbacks
    def checks(self) -> Steps:
        """Ask in a thread twice, from a generator, whether the request goes on."""
        yield self.check()
        yield self.pause()
        yield self.check()

    def runs(self) -> Iterator[Callable[[], Deferred[Any]]]:
        """The ways to ask while the lock is held."""
        yield lambda: self.lock.run(self.check)
        yield lambda: self.lock.run(self.check_later)
        yield lambda: self.lock.run(self.checks)
        yield lambda: self.lock.run(lambda: DeferredList([self.check()], fireOnOneErrback=True))
        yield lambda: self.lock.run(lambda: race([self.check()]))


class OthersAreNotRefusedTests(Locked):
    """A request is not refused anything because another request was cancelled."""

    def test_whose_callback_is_fired(self) -> None:
        """A request goes on, as do its threads, if a cancelled request fires its callback."""
        for holder in self.holders():
            for run in self.runs():
                self.begun.clear()
                self.lock = DeferredLock()
                first = self.visit(holder)
                second = self.visit(partial(self.answer_after, run))
                self.leave(first)
                self.assertEqual(second.response.body, b"done", holder)
                self.assertTrue(self.begun)

    def answer_after(self, run: Callable[[], Deferred[Any]], _: object) -> Deferred[bytes]:
        """A handler that answers after a run."""
        return run().addCallback(lambda _: b"done")

    def test_whose_coroutine_awaits_it(self) -> None:
        """A coroutine goes on if a cancelled request fires the callback that it awaits."""

        async def handler(_: object) -> bytes:
            await self.lock.run(self.checks)
            return b"done"

        for holder in self.holders():
            self.lock = DeferredLock()
            first, second = self.visit(holder), self.visit(handler)
            self.leave(first)
            self.assertEqual(second.response.body, b"done", holder)

    def test_in_a_wrapped_resource(self) -> None:
        """A wrapped resource answers if a cancelled request fires its callback."""
        first = self.visit(self.run_it)
        page = Page(lambda _: self.lock.run(self.check).addCallback(lambda _: b"done"))
        second = connect(CancellingResource(page, clock=self.clock))
        second.get()
        self.leave(first)
        self.assertEqual(second.response.body, b"done")

    def test_that_was_tracked(self) -> None:
        """Tracked work goes on if a cancelled request fires its callback."""
        first = self.visit(self.run_it)

        def handler(_: object) -> Deferred[Any]:
            current_scope().track(self.lock.run(self.check))
            return wait()

        second = self.visit(handler)
        self.leave(first)
        self.assertEqual(len(self.begun), 1)
        self.leave(second)

    def test_for_which_no_scope_waits(self) -> None:
        """A callback for which no scope waits is not refused if a cancelled request fires it."""
        first = self.visit(self.run_it)

        def handler(request: Any) -> int:
            self.lock.run(self.update).addCallback(lambda _: request.finish())
            return NOT_DONE_YET

        second = self.visit(handler)
        self.leave(first)
        self.assertEqual((len(self.begun), second.outcome.ended.name), (1, "COMPLETED"))

    def test_that_has_left_as_well(self) -> None:
        """If both clients have left, the second request is refused with its own cause."""
        first = self.visit(self.run_it)
        second = self.visit(lambda _: self.lock.run(self.note_refusal))
        first.disconnect()
        self.leave(second)
        self.assertEqual(self.begun, [])
        [error] = self.told
        assert isinstance(error, StartRefused)
        self.assertIs(error.cause, second.outcome.cause)

    def note_refusal(self) -> Deferred[Any]:
        """Begin an update, and note its failure."""

        def note(failure: Any) -> Any:
            self.told.append(failure.value)
            return failure

        return self.update().addErrback(note)

    def test_cancelled_meanwhile(self) -> None:
        """A call that other code cancels before it has begun fails with CancelledError."""
        started: list[Deferred[Any]] = []

        def begin() -> Deferred[Any]:
            started.append(self.note_refusal())
            return started[-1]

        first = self.visit(self.run_it)
        second = self.visit(lambda _: self.lock.run(begin))
        first.disconnect()
        started[0].cancel()
        self.assertIs(type(self.told[0]), CancelledError)
        self.leave(second)
        self.assertEqual(self.begun, [])
        self.flushLoggedErrors(CancelledError)


class OwnCallbacksAreRefusedTests(Base):
    """Callbacks for which a cancelled scope waits are refused, but not those of its hooks."""

    def retry(self) -> Deferred[Any]:
        """Update again after each failure."""

        def again(failure: Any) -> Deferred[Any]:
            self.told.append(failure.type)
            return self.update().addErrback(again)

        return wait().addErrback(again)

    def test_returned(self) -> None:
        """Returned work whose errback tries again begins nothing, and is a survivor."""
        visit = self.visit(lambda _: self.retry())
        self.leave(visit, 20)
        self.assertEqual((self.begun, visit.outcome.ended.name), ([], "SURVIVED"))
        self.assertEqual(set(self.told), {CancelledError, StartRefused})
        self.assertLess(len(self.told), 40)

    def test_tracked(self) -> None:
        """Tracked work whose errback tries again begins nothing, and is refused."""

        def handler(_: object) -> Deferred[Any]:
            current_scope().track(self.retry())
            return wait()

        self.leave(self.visit(handler), 5)
        self.assertEqual(self.begun, [])
        self.assertIn(StartRefused, self.told)

    def test_what_other_code_runs_in_its_context(self) -> None:
        """Code that is run in the context of a cancelled handler, as by asyncio, is refused."""
        contexts = []

        def handler(_: object) -> Deferred[Any]:
            contexts.append(copy_context())
            return wait()

        self.leave(self.visit(handler))
        contexts[0].run(self.update).addErrback(self.told.append)
        self.pass_time()
        self.assertEqual((self.begun, len(self.told)), ([], 1))

    def test_in_a_hook(self) -> None:
        """Callbacks of the Deferred that a hook returns can begin an update."""

        def hook(_: Scope) -> Deferred[Any]:
            return self.pause_fired().addCallback(lambda _: self.update())

        self.leave(self.visit(lambda _: wait(), on_cancel=hook))
        self.assertEqual(len(self.begun), 1)

    def test_in_a_hook_at_once(self) -> None:
        """What a hook begins itself begins before the hook returns."""

        async def handler(_: object) -> None:
            try:
                await wait()
            finally:
                await self.pause()

        def hook(_: object) -> None:
            self.update()
            self.told.append("the hook is over")

        self.patch(self.clock, "callInThreadWithCallback", lambda *_: self.told.append("begun"))
        self.leave(self.visit(handler, on_cancel=hook))
        self.assertEqual(self.told, ["begun", "the hook is over"])

    def pause_fired(self) -> Deferred[Any]:
        """A Deferred that is fired in the caller's context."""
        fired = Deferred[None]()

        async def fire() -> None:
            await self.pause()
            fired.callback(None)

        Deferred.fromCoroutine(fire())
        return fired

    def test_that_no_code_awaits(self) -> None:
        """What a callback begins is not refused if no code of a scope waits for it."""

        def update(_: object) -> None:
            self.update()

        async def handler(_: object) -> None:
            event = Deferred[None]()
            event.addCallback(update)
            with contextlib.suppress(CancelledError):
                await wait()
            event.callback(None)

        self.leave(self.visit(handler))
        self.assertEqual(len(self.begun), 1)


class HiddenRefusalsTests(Base):
    """A DeferredList or a race turns a refusal into an Exception."""

    def test_tries_again(self) -> None:
        """A loop around a DeferredList or race begins nothing, blocks nothing, and survives."""
        rounds: list[float] = []

        async def gather() -> None:
            await DeferredList([self.update(), self.update()], fireOnOneErrback=True)

        async def compete() -> None:
            await race([self.update(), self.update()])

        for begin in (gather, compete):
            rounds.clear()
            over: list[bool] = []

            async def handler(_: object, begin: Any = begin, over: list[bool] = over) -> None:
                while not over:
                    rounds.append(self.clock.seconds())
                    with contextlib.suppress(Exception):
                        await begin()

            visit: Visit = self.visit(handler)
            self.leave(visit, 20)
            self.assertEqual((self.begun, visit.outcome.ended.name), ([], "SURVIVED"))
            self.assertLess(len(rounds), 40)
            self.assertGreater(rounds[-1] - rounds[-2], 0.9)
            over.append(True)
            self.pass_time()
