"""Which canceller stops which kind of work: all registrations, and the look-up.

`deferred_kinds`, `timers`, `twisted_kinds`, `futures` and `own_kinds` hold the cancellers.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from inspect import isroutine
from subprocess import Popen
from threading import Thread
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.task import CooperativeTask, LoopingCall
from twisted.python.components import registerAdapter

from .._checks import shown
from ..interfaces import ICancellable
from .cancellations import Start, as_deferred
from .cancellers import Canceller
from .deferred_kinds import DeferredCanceller
from .futures import AsyncioFutureCanceller, ConcurrentFutureCanceller
from .own_kinds import UserCanceller
from .places import short_name_of
from .timers import TELLS_ENDS_OF_TIMERS, DelayedCallCanceller, timer_canceller
from .twisted_kinds import CooperativeTaskCanceller, LoopingCallCanceller, ProcessCanceller


def _started(coroutine: Any) -> DeferredCanceller:
    return DeferredCanceller(Deferred.fromCoroutine(coroutine), coroutine)


for _canceller, _kind in [
    (DeferredCanceller, Deferred),
    (_started, CoroutineType),
    (timer_canceller, DelayedCall),
    (timer_canceller, IDelayedCall),
    (LoopingCallCanceller, LoopingCall),
    (CooperativeTaskCanceller, CooperativeTask),
    (ProcessCanceller, IProcessTransport),
    (AsyncioFutureCanceller, asyncio.Future),
    (ConcurrentFutureCanceller, concurrent.futures.Future),
]:
    registerAdapter(_canceller, _kind, ICancellable)

# The most common kinds are found without the registry. They are registered all the same, so that
# an attempt to register another adapter for them fails instead of having no effect.
COMMON: dict[type, Callable[[Any], Canceller]] = {Deferred: DeferredCanceller}
if TELLS_ENDS_OF_TIMERS:
    COMMON[DelayedCall] = DelayedCallCanceller


def find_canceller(work: object, start: Start = Deferred.fromCoroutine) -> Canceller | None:
    """The canceller for a piece of work, or None for an unknown kind.

    Args:
        work: what was returned or tracked. A coroutine or another awaitable is started.
        start: starts it.
    """
    if type(work) is CoroutineType:
        return DeferredCanceller(start(work), work)
    common = COMMON.get(type(work))
    if common is not None:
        return common(work)
    own = ICancellable(work, None)
    if isinstance(own, Canceller):
        return own
    if own is None or isinstance(own, Deferred):
        deferred = as_deferred(work if own is None else own, start)
        return None if deferred is None else DeferredCanceller(deferred)
    return UserCanceller(work, own)


def canceller_for(work: object) -> Canceller:
    """The canceller for a piece of work, as `find_canceller` finds it.

    Raises:
        TypeError: no canceller is registered for this kind of work. The message says how to
            register one.
    """
    canceller = find_canceller(work)
    if canceller is None:
        raise TypeError(f"cancelweb cannot stop {_what_instead(work)}")
    return canceller


def _what_instead(given: object) -> str:
    if given is None:
        return "None. Did you forget a `return` in the function that starts the work?"
    if isroutine(given):
        name = short_name_of(given)
        return f"the function {name}. Call it, and pass the work that it returns: {name}()."
    for kind, advice in _ADVICE.items():
        if isinstance(given, kind):
            return f"{shown(given)}. {advice}"
    name = type(given).__qualname__
    return (
        f"{shown(given)}: no canceller is registered for {name}. Register one: "
        f"twisted.python.components.registerAdapter(YourCanceller, {name}, cancelweb.ICancellable)"
    )


_ADVICE: dict[type, str] = {
    GeneratorType: "Decorate its function with @inlineCallbacks.",
    AsyncGeneratorType: "An async generator is a stream: return it from the handler.",
    Thread: "Use cancelweb.threads.defer_to_thread to run a function in a thread.",
    Popen: "Use cancelweb.processes.run to run a program.",
}
"""What to do instead of tracking an object of this class."""
