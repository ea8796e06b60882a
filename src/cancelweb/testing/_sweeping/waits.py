"""Watch what is awaited, by replacing two public methods of Deferred.

Finds what waits, and can make an await wait that would not. `run` decides what follows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, DeferredSemaphore
from twisted.python.failure import Failure

from ..._scopes.context import current
from ..._scopes.shield import shielded_here
from .._clock import is_own
from .lines import SUSPENDABLE, is_foreign


@define(eq=False)
class Waits:
    """What waits, or has waited, since the watch began.

    Attributes:
        must_hold: called at each await of a Deferred that has fired; returns whether to make it
            wait.
        found: the coroutines and generators that have waited for a Deferred, without the
            resource's own.
        begun: those that a handler began in its scope, and did not shield.
        held: the Deferreds that make an await wait.
    """

    must_hold: Callable[[], bool]
    found: list[Any] = field(factory=list)
    begun: list[Any] = field(factory=list)
    held: list[Deferred[None]] = field(factory=list)
    _own: list[Any] = field(factory=list)

    def note(self, generator: Any) -> None:
        """Note a coroutine or generator that waits, or would if it had to."""
        if any(each is generator for each in self.found + self._own):
            return
        # The code that runs now is the code that began it.
        if is_own.get():
            self._own.append(generator)
            return
        self.found.append(generator)
        if current.get() is not None and shielded_here.get() is None:
            self.begun.append(generator)

    def hold(self, deferred: Deferred[Any], frame: Any) -> Deferred[None] | None:
        """The Deferred that an await must wait for although its own has fired, or None."""
        if frame is None or is_foreign(frame, "twisted", "cancelweb") or not _has_fired(deferred):
            return None
        if is_own.get() or not self.must_hold():
            return None
        held: Deferred[None] = Deferred(lambda _: None)
        self.held.append(held)
        return held

    def release(self) -> None:
        """Let everything that is held go on."""
        for each in self.held:
            if not each.called:
                each.callback(None)


@contextmanager
def watching(waits: Waits) -> Iterator[None]:
    """Watch everything that is awaited in this process.

    A coroutine's ``await`` calls ``Deferred.__await__``. If that has to wait, and for every
    ``yield`` of ``inlineCallbacks``, Twisted (24.7 to 26.10) calls ``addBoth`` with the coroutine
    or generator among the arguments.
    """
    patched: Any = Deferred
    original_await, original_add_both = patched.__await__, patched.addBoth

    def awaited(self: Deferred[Any]) -> Generator[Any, Any, Any]:
        here = inspect.currentframe()
        held = waits.hold(self, here and here.f_back)
        if held is not None:
            try:
                yield from original_await(held)
            except CancelledError:
                _give_back(self)
                raise
        return (yield from original_await(self))

    def add_both(self: Deferred[Any], callback: Any, *args: Any, **kwargs: Any) -> Any:
        for generator in args:
            if isinstance(generator, SUSPENDABLE):
                waits.note(generator)
                if inspect.isgenerator(generator):
                    _hold_up(self, waits.hold(self, generator.gi_frame), original_add_both)
        return original_add_both(self, callback, *args, **kwargs)

    patched.__await__, patched.addBoth = awaited, add_both
    try:
        yield
    finally:
        patched.__await__, patched.addBoth = original_await, original_add_both


def _hold_up(deferred: Deferred[Any], held: Deferred[None] | None, add_both: Any) -> None:
    """Make a generator that yields the Deferred wait for another one first."""
    if held is None:
        return
    fired = deferred.result

    def give_back(failure: Failure) -> Failure:
        _give_back_value(fired)
        return failure

    held.addCallbacks(lambda _: fired, give_back)
    add_both(deferred, lambda _: held)


def _has_fired(deferred: Deferred[Any]) -> bool:
    # If the result is unknown, nothing is held up.
    result = getattr(deferred, "result", deferred)
    return bool(deferred.called) and not deferred.paused and not isinstance(result, Deferred)


def _give_back(deferred: Deferred[Any]) -> None:
    """Drop the Deferred's result, which no code will take because the await was cancelled."""
    if isinstance(deferred.result, Failure):
        deferred.addErrback(lambda failure: None)
    else:
        _give_back_value(deferred.result)


def _give_back_value(value: object) -> None:
    # Code that waits for a lock and is cancelled never gets it: release what it acquired.
    if isinstance(value, DeferredLock | DeferredSemaphore):
        value.release()
