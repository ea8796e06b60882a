"""Work of every kind and temper, that a test ends when it likes, and that counts its cancels.

What belongs here: pieces of work for random histories. What does not: the histories.
"""

from itertools import count
from typing import Any, ClassVar, cast
from weakref import ref

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.task import Clock, LoopingCall
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from cancelweb import Draining, ICancellable, scope_of

from .._pages import PAGE


class WorkError(Exception):
    """What work fails with."""


class CancellerError(Exception):
    """What a canceller at fault raises."""


TURNS = count()


class Job:
    """A piece of work.

    Attributes:
        asked: How often it was asked to stop, as far as the work itself can tell.
        asked_at: When it was asked the last time.
        turn: Its place in the order in which all jobs were asked.
        has_ended: Whether it runs no more.
        fails_openly: Whether what it fails with is logged, if no other code is told.
    """

    fails_openly: ClassVar[bool] = False

    asked_at: float
    turn: int

    def __init__(self, request: Request, clock: Clock) -> None:
        self.asked = 0
        self.has_ended = False
        self.gate: Deferred[Any] = Deferred()
        self.last: Deferred[Any] = Deferred()
        self._request = request
        self._clock = clock

    def was_asked(self) -> None:
        """Note that the job was asked to stop."""
        self.asked += 1
        self.asked_at, self.turn = self._clock.seconds(), next(TURNS)

    def start(self) -> Any:
        """Begin; returns what is tracked, or returned by a handler."""
        raise NotImplementedError

    def settle(self, result: object) -> None:
        """Go on with a result or a failure; a job that waits twice goes on to its second wait."""
        if not self.gate.called:
            self.gate.callback(result)
        elif not self.last.called:
            self.last.callback(None)


@implementer(ICancellable)
class Obedient(Job):
    """Stops when it is asked."""

    fails_openly = True

    def start(self) -> object:
        return self

    def cancel(self) -> None:
        """Stop."""
        self.was_asked()
        self.settle(Failure(CancelledError()))

    def when_settled(self) -> Deferred[Any]:
        """Fires when the test says so."""
        return self.gate

    def settle(self, result: object) -> None:
        """End, once."""
        if not self.has_ended:
            self.has_ended = True
            self.gate.callback(result)


class Deaf(Obedient):
    """Runs on when it is asked to stop."""

    def cancel(self) -> None:
        """Note that the job was asked, and do not stop."""
        self.was_asked()


class Faulty(Obedient):
    """Has a canceller that raises."""

    def cancel(self) -> None:
        """Note that the job was asked, and raise."""
        self.was_asked()
        raise CancellerError


class Wire(Job):
    """A Deferred with a canceller."""

    def start(self) -> Deferred[Any]:
        self.gate = Deferred(lambda _: None)
        return self.gate.addBoth(self._ended)

    def _ended(self, result: object) -> object:
        self.has_ended = True
        if isinstance(result, Failure) and result.check(CancelledError):
            self.was_asked()
        return result


class Bare(Wire):
    """A Deferred without a canceller."""

    def start(self) -> Deferred[Any]:
        return self.gate.addBoth(self._ended)


class Listening(Wire):
    """A Deferred that fires when the request ends, before the scope is told about it."""

    def start(self) -> Deferred[Any]:
        request: Any = self._request
        if not request.finished and request.channel is not None:
            request.notifyFinish().addBoth(self._request_ended)
        return super().start()

    def _request_ended(self, _: object) -> None:
        if not self.gate.called:
            self.settle(PAGE)


class Await(Job):
    """A coroutine that stops where it waits."""

    def start(self) -> Any:
        return self.run()

    async def run(self) -> object:
        """Wait, and be over."""
        try:
            return await self.pause(self.gate)
        finally:
            self.has_ended = True

    async def pause(self, deferred: Deferred[Any]) -> object:
        """Wait, and note the cancel."""
        try:
            return await deferred
        except CancelledError:
            self.was_asked()
            raise


class Slow(Await):
    """A coroutine that waits in its `finally`, which a second cancel would cut short."""

    async def run(self) -> object:
        try:
            return await self.pause(self.gate)
        finally:
            try:
                await self.pause(self.last)
            finally:
                self.has_ended = True


class Chained(Slow):
    """A coroutine that awaits what it has tracked itself."""

    async def pause(self, deferred: Deferred[Any]) -> object:
        if deferred is self.gate:
            scope_of(self._request).track(deferred)
        return await super().pause(deferred)


class Swallowing(Await):
    """A coroutine that eats its cancellation and goes on."""

    async def run(self) -> object:
        try:
            return await self.pause(self.gate)
        except CancelledError:
            return await self.last
        finally:
            self.has_ended = True


class Turncoat(Await):
    """A coroutine that cancels its own scope."""

    async def run(self) -> object:
        try:
            await self.pause(self.gate)
            scope_of(self._request).cancel(Draining())
            return await self.pause(self.last)
        finally:
            self.has_ended = True


class Generator(Job):
    """An `inlineCallbacks` that waits in its `finally`."""

    @inlineCallbacks
    def start(self) -> Any:
        try:
            result = yield self.pause(self.gate)
            return result
        finally:
            try:
                yield self.pause(self.last)
            finally:
                self.has_ended = True

    def pause(self, deferred: Deferred[Any]) -> Deferred[Any]:
        """Wait, and note the cancel."""
        return deferred.addErrback(self._noted)

    def _noted(self, failure: Failure) -> Failure:
        if failure.check(CancelledError):
            self.was_asked()
        return failure


class Timer(Job):
    """A delayed call that answers."""

    call: Any = None

    def start(self) -> object:
        self.call = self._clock.callLater(3, self._answer)
        # The call must not keep the job that keeps it.
        canceller, job = self.call.canceller, ref(self)

        def cancelled(call: Any) -> None:
            cast(Timer, job())._cancelled()
            canceller(call)

        self.call.canceller = cancelled
        return self.call

    def _cancelled(self) -> None:
        self.was_asked()
        self.has_ended = True

    def _answer(self) -> None:
        self.has_ended, self.call = True, None
        request: Any = self._request
        if not request.finished and request.channel is not None:
            request.write(PAGE)
            request.finish()

    def settle(self, result: object) -> None:
        """Have other code cancel the call."""
        if not self.has_ended:
            self.call.cancel()


class Loop(Job):
    """A loop that never ends by itself."""

    def start(self) -> object:
        self.loop = LoopingCall(lambda: None)
        self.loop.clock = self._clock
        self.loop.start(1).addBoth(self._ended)
        return self.loop

    def _ended(self, _: object) -> None:
        self.was_asked()
        self.has_ended = True

    def settle(self, result: object) -> None:
        """Have other code stop the loop."""
        if self.loop.running:
            self.loop.stop()


KINDS: list[type[Job]] = [
    Obedient,
    Deaf,
    Faulty,
    Wire,
    Bare,
    Listening,
    Await,
    Slow,
    Chained,
    Swallowing,
    Turncoat,
    Generator,
    Timer,
    Loop,
]
