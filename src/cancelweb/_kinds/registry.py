"""Which canceller stops which kind of work: all registrations, and the look-up.

`deferred_kinds`, `timers`, `twisted_kinds`, `futures` and `own_kinds` hold the cancellers.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from types import CoroutineType
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.task import CooperativeTask, LoopingCall
from twisted.python.components import registerAdapter
from twisted.python.reflect import safe_repr

from ..interfaces import ICancellable
from .cancellations import Start, as_deferred
from .cancellers import Canceller
from .deferred_kinds import DeferredCanceller
from .futures import AsyncioFutureCanceller, ConcurrentFutureCanceller
from .own_kinds import UserCanceller
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
        kind = type(work).__qualname__
        raise TypeError(
            f"cancelweb cannot stop {safe_repr(work)}: no canceller is registered for {kind}. "
            f"Register one: twisted.python.components.registerAdapter(YourCanceller, {kind}, "
            "cancelweb.ICancellable)"
        )
    return canceller
