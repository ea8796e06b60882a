"""Streams that are stopped, because the client leaves or a deadline passes.

What belongs here: how generators are closed, in memory. What does not: streams that come to
their end.
"""

import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.web.server import Request

from cancelweb import CancellingResource, Cause, Disconnected, Ended, TimedOut, scope_of
from cancelweb.testing import Connection

from .._cycles import Memory, no_cycles
from .._pages import GetPage, Handler
from .._visits import connect
from ._streams import CHUNKS, BareIterator, StreamTestCase


class StoppingTests(StreamTestCase):
    """A stream whose client leaves."""

    def assert_stopped(self, *, ended: Ended = Ended.STOPPED) -> None:
        """The outcome has a disconnect as its cause, and no timer is left."""
        self.assertEqual(self.outcome.ended, ended)
        self.assertIsInstance(self.outcome.cause, Disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_generator(self) -> None:
        """A generator's `finally` runs in the turn in which the client leaves."""
        connection = self.visit(self.generator)
        connection.disconnect()
        self.assertEqual(self.produced, [b"chunk", "closed"])
        self.assert_stopped()

    def test_async_generator(self) -> None:
        """A disconnect cancels once what an async generator awaits, and its `finally` runs."""
        connection = self.visit(self.async_generator)
        self.step(1)
        self.turn()
        connection.disconnect()
        self.assertEqual(self.produced, [b"chunk", "stopped", "closed"])
        self.assert_stopped()

    def test_finally_that_waits(self) -> None:
        """The hooks run when the `finally` of an async generator has waited."""
        cleaned: Deferred[None] = Deferred(lambda _: self.fail())

        async def handler(_: Request) -> AsyncIterator[bytes]:
            try:
                yield b"chunk"
                await Deferred[None]()
            finally:
                await cleaned
                self.produced.append("cleaned")

        connection = self.visit(handler, on_exit=lambda _: self.produced.append("hook"))
        connection.disconnect()
        self.assertEqual(self.produced, [])
        cleaned.callback(None)
        self.assertEqual(self.produced, ["cleaned", "hook"])
        self.assert_stopped()

    def test_paused_finally_that_waits(self) -> None:
        """An async generator that is closed between two chunks may wait in its `finally`."""
        cleaned: Deferred[None] = Deferred(lambda _: self.fail())

        async def handler(_: Request) -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"chunk"
                    await succeed(None)
                    connection.pause(full=True)
            finally:
                await cleaned
                self.produced.append("cleaned")

        connection = self.serve(handler)
        connection.get()
        connection.disconnect()
        cleaned.callback(None)
        self.assertEqual(self.produced, ["cleaned"])
        self.assert_stopped()

    def test_swallowed(self) -> None:
        """An async generator that swallows its cancellation is asked for no more, and closed."""

        async def handler(_: Request) -> AsyncIterator[bytes]:
            try:
                while True:
                    try:
                        await Deferred[None]()
                    except Exception:
                        self.produced.append("eaten")
                    yield b"chunk"
            finally:
                self.produced.append("closed")

        connection = self.visit(handler)
        connection.disconnect()
        self.assertEqual(self.produced, ["eaten", "closed"])
        self.assertEqual(connection.received, b"")
        self.assert_stopped()

    def test_swallowed_between_chunks(self) -> None:
        """An async generator that swallows its cancellation after a chunk sends nothing more."""

        async def handler(_: Request) -> AsyncIterator[bytes]:
            for _number in range(40):
                with contextlib.suppress(Exception):
                    await deferLater(self.clock, 1)
                yield b"chunk"

        connection = self.visit(handler)
        self.clock.advance(1)
        self.turn()
        connection.disconnect()
        self.assertEqual(connection.response.body, b"chunk")
        self.assert_stopped()

    def test_ends_on_cancellation(self) -> None:
        """An async generator that returns when it is cancelled has completed."""

        async def handler(_: Request) -> AsyncIterator[bytes]:
            yield b"chunk"
            try:
                await Deferred[None]()
            except Exception:
                return

        connection = self.visit(handler)
        self.turn()
        connection.disconnect()
        self.assert_stopped(ended=Ended.COMPLETED)

    def test_refuses_to_close(self) -> None:
        """A generator that yields when it is closed is logged, and its outcome is FAILED."""

        def handler(_: Request) -> Iterator[bytes]:
            try:
                yield b"chunk"
            except GeneratorExit:
                self.produced.append("refused")
                yield b"chunk"

        self.visit(handler).disconnect()
        self.assertEqual(self.produced, ["refused"])
        self.assertIn("ignored GeneratorExit", str(self.logged_error(RuntimeError)))
        self.assert_stopped(ended=Ended.FAILED)

    def test_fails_in_finally(self) -> None:
        """An error in a generator's `finally` is logged, and the outcome is FAILED."""

        def handler(_: Request) -> Iterator[bytes]:
            try:
                yield b"chunk"
            finally:
                raise KeyError

        self.visit(handler).disconnect()
        self.logged_error(KeyError)
        self.assert_stopped(ended=Ended.FAILED)

    def test_leaves_in_a_step(self) -> None:
        """A generator whose client leaves during a step of its own is closed."""
        connections: list[Connection] = []

        def handler(_: Request) -> Iterator[bytes]:
            try:
                yield b"chunk"
                connections[0].disconnect()
                yield b"chunk"
                self.produced.append("asked again")
                yield b"chunk"
            finally:
                self.produced.append("closed")

        connections.append(self.serve(handler))
        connections[0].get()
        self.turn(5)
        self.assertEqual(self.produced, ["closed"])
        self.assert_stopped()

    def test_scope_cancelled(self) -> None:
        """A cancel by user code closes a generator, and aborts the connection."""

        class Enough(Cause):
            pass

        def handler(request: Any) -> Iterator[bytes]:
            self.request = request
            return self.generator()

        connection = self.visit(handler)
        scope_of(self.request).cancel(Enough())
        self.assertEqual(self.produced, [b"chunk", "closed"])
        self.assertTrue(connection.is_aborted)

    def test_not_interruptible(self) -> None:
        """A stream of a wrapped POST runs to its end after a disconnect."""
        resource: Any = GetPage(lambda _: BareIterator(CHUNKS))
        resource.render_POST = resource.render_GET
        connection = connect(
            CancellingResource(resource, observers=self.outcomes.append), self.clock
        )
        connection.request(b"POST")
        connection.pause(full=True)
        connection.disconnect()
        self.turn(5)
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)
        self.assertIs(self.outcome.cause, None)

    def test_finished_by_other_code(self) -> None:
        """A stream whose response is finished by other code has completed, and is not cancelled."""

        def handler(request: Any) -> Iterator[bytes]:
            self.request = request
            return iter(CHUNKS)

        connection = self.visit(handler)
        self.request.unregisterProducer()
        self.request.finish()
        self.turn(5)
        self.assertEqual(connection.response.body, CHUNKS[0])
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)


class DeadlineTests(StreamTestCase):
    """A stream that misses its deadline."""

    def test_before_the_first_chunk(self) -> None:
        """A stream that misses its deadline before the first chunk is answered with a 503."""
        connection = self.visit(self.async_generator, timeout=3)
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 503)
        self.assertEqual(self.produced, ["stopped", "closed"])
        self.assertEqual(self.outcome.cause, TimedOut(3))

    def test_later(self) -> None:
        """A stream that misses its total timeout is closed, and the connection is aborted."""
        connection = self.visit(self.generator, total_timeout=3)
        self.clock.advance(3)
        self.assertEqual(self.produced[-1], "closed")
        self.assertTrue(connection.is_aborted)
        self.assertFalse(connection.response.is_complete)
        self.turn()
        self.assertEqual(self.outcome.ended, Ended.STOPPED)


class LeftoverTests(StreamTestCase):
    """What a stream leaves behind."""

    def assert_nothing_left(self, handler: Handler, end: Callable[[Connection], None]) -> None:
        """No request is alive, and no reference cycle is left."""
        memory = Memory()

        def noting(request: Any) -> object:
            memory.note(request)
            return handler(request)

        gc.disable()
        self.addCleanup(gc.enable)
        with no_cycles(self):
            end(self.visit(noting, timeout=3))
            self.next_step = Deferred()
            self.assertEqual(memory.alive(), [])

    def leave(self, connection: Connection) -> None:
        """Leave in the middle of the stream."""
        self.step(2)
        connection.disconnect()

    def wait(self, connection: Connection) -> None:
        """Wait for the end, or for the deadline."""
        self.clock.advance(3)
        self.turn(5)
        connection.disconnect()

    def test_abandoned(self) -> None:
        """A stream leaves nothing behind if its client leaves."""
        self.assert_nothing_left(self.generator, self.leave)
        self.assert_nothing_left(self.async_generator, self.leave)

    def test_completed(self) -> None:
        """A stream that completes leaves nothing behind."""
        self.assert_nothing_left(lambda _: BareIterator(CHUNKS), self.wait)

    def test_late(self) -> None:
        """A stream that misses its deadline leaves nothing behind."""
        self.assert_nothing_left(self.async_generator, self.wait)
