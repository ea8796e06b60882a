"""Each kind of work that a handler may return keeps the contract.

What belongs here: the kinds that need no reactor but a clock, and what is peculiar to them.
"""

import types
from collections.abc import Awaitable, Generator, Iterator
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import Cooperator, LoopingCall
from twisted.web.server import Request

from . import _contract


class DeferredTests(_contract.ResultContract):
    """The contract for a Deferred."""

    def wrap(self, inner: Deferred[bytes]) -> object:
        return inner


class InlineCallbacksTests(_contract.ResultContract):
    """The contract for the Deferred of an `inlineCallbacks` function."""

    @inlineCallbacks
    def wrap(self, inner: Deferred[bytes]) -> Generator[Deferred[bytes], bytes, bytes]:
        return (yield inner)


class CoroutineTests(_contract.ResultContract):
    """The contract for a coroutine."""

    async def wrap(self, inner: Deferred[bytes]) -> bytes:
        return await inner


class CoroutineFromGeneratorTests(_contract.ResultContract):
    """The contract for a coroutine of the old style, made by `types.coroutine`."""

    def wrap(self, inner: Deferred[bytes]) -> object:
        @types.coroutine
        def work() -> Generator[Any, Any, bytes]:
            return (yield from inner)

        return work()


class AwaitableTests(_contract.ResultContract):
    """The contract for an object with `__await__`."""

    def wrap(self, inner: Deferred[bytes]) -> object:
        class Work(Awaitable[bytes]):
            def __await__(self) -> Generator[Any, Any, bytes]:
                return (yield from inner)

        return Work()


class DeferredSubclassTests(_contract.ResultContract):
    """The contract for a Deferred of a subclass, with a canceller of its own."""

    def wrap(self, inner: Deferred[bytes]) -> object:
        class Work(Deferred[bytes]):
            pass

        work = Work(lambda _: inner.cancel())
        inner.addBoth(work.callback)
        return work


class DelayedCallTests(_contract.WritingContract):
    """The contract for the delayed call of `callLater`."""

    def work(self, request: Request) -> object:
        self.request = request
        self.call: Any = self.clock.callLater(1, self.write)
        return self.call

    def is_running(self) -> bool:
        active: bool = self.call.active()
        return active

    def forget(self) -> None:
        self.request = self.call = None


class LoopingCallTests(_contract.WritingContract):
    """The contract for a LoopingCall."""

    def work(self, request: Request) -> object:
        self.request = request
        self.rounds = 0
        self.loop: Any = LoopingCall(self.repeat)
        self.loop.clock = self.clock
        self.loop.start(0.5)
        return self.loop

    def repeat(self) -> None:
        self.rounds += 1
        if self.rounds == 3:
            self.write()
            self.loop.stop()

    def complete(self) -> None:
        self.clock.pump([0.5, 0.5])

    def is_running(self) -> bool:
        running: bool = self.loop.running
        return running

    def forget(self) -> None:
        self.request = self.loop = None


class CooperativeTaskTests(_contract.WritingContract):
    """The contract for a CooperativeTask."""

    def work(self, request: Request) -> object:
        self.request = request
        cooperator = Cooperator(
            terminationPredicateFactory=lambda: lambda: True,
            scheduler=partial(self.clock.callLater, 0.25),
        )
        self.task: Any = cooperator.cooperate(self.steps())
        return self.task

    def steps(self) -> Iterator[None]:
        yield from [None] * 3
        self.write()

    def complete(self) -> None:
        self.clock.pump([0.25] * 4)

    def is_running(self) -> bool:
        ends: list[object] = []
        self.task.whenDone().addBoth(ends.append)
        return not ends

    def forget(self) -> None:
        self.request = self.task = None
