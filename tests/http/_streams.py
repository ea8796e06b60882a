"""Streams to be tested, and the clock on which they have turns.

What belongs here: what the tests of streams share. What does not: the tests.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from .._visits import VisitTestCase

TURN = 2.0**-10

CHUNKS = [b"one ", b"two ", b"three"]


class TurningClock(Clock):
    """A clock that runs each delayed call in a later turn, as a reactor does."""

    def callLater(self, delay: float, callable: Any, *args: object, **kw: object) -> Any:
        return super().callLater(max(delay, TURN), callable, *args, **kw)


class StreamTestCase(VisitTestCase):
    """A test of streams.

    Attributes:
        produced: The chunks that were asked for, and `"closed"`.
    """

    def setUp(self) -> None:
        super().setUp()
        self.clock = TurningClock()
        self.produced: list[object] = []
        self.next_step: Deferred[None] = Deferred(lambda _: None)

    def generator(self, _: object = None) -> Iterator[bytes]:
        """Chunks without end."""
        try:
            while True:
                self.produced.append(b"chunk")
                yield b"chunk"
        finally:
            self.produced.append("closed")

    async def async_generator(self, _: object = None) -> AsyncIterator[bytes]:
        """Chunks without end, each after a wait."""
        try:
            while True:
                self.next_step = Deferred(lambda _: self.produced.append("stopped"))
                await self.next_step
                self.produced.append(b"chunk")
                yield b"chunk"
        finally:
            self.produced.append("closed")

    def turn(self, turns: int = 1) -> None:
        """Let this many turns of the reactor pass."""
        self.clock.pump([TURN] * turns)

    def step(self, chunks: int) -> None:
        """Let up to this many further chunks be produced."""
        for _ in range(chunks):
            self.turn()
            if not self.next_step.called:
                self.next_step.callback(None)


async def as_async(chunks: list[bytes]) -> AsyncIterator[bytes]:
    """The chunks, from an async generator."""
    for chunk in chunks:
        yield chunk


class Bare:
    """Base class of iterators that have nothing to close."""

    def __init__(self, chunks: list[Any]) -> None:
        self.chunks = list(chunks)


class BareIterator(Bare, Iterator[Any]):
    """An iterator that is not a generator."""

    def __next__(self) -> Any:
        if not self.chunks:
            raise StopIteration
        return self.chunks.pop(0)


class BareAsyncIterator(Bare, AsyncIterator[Any]):
    """An async iterator that is not an async generator."""

    async def __anext__(self) -> Any:
        if not self.chunks:
            raise StopAsyncIteration
        return self.chunks.pop(0)


KINDS: list[Callable[[list[bytes]], object]] = [
    iter,
    as_async,
    BareIterator,
    BareAsyncIterator,
    lambda chunks: (chunk for chunk in chunks),
]
