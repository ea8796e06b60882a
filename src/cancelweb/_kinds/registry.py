"""Which canceller goes with which kind of work: every registration, and the look-up.

How each kind is stopped is in `deferred_kinds`, `timers`, `twisted_kinds`, `futures` and
`own_kinds`.
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

# The commonest kinds, and coroutines, are found without the registry. They are registered there,
# too, so that no registration for exactly these classes can be made in vain.
COMMON: dict[type, Callable[[Any], Canceller]] = {Deferred: DeferredCanceller}
if TELLS_ENDS_OF_TIMERS:
    COMMON[DelayedCall] = DelayedCallCanceller


def find_canceller(work: object, start: Start = Deferred.fromCoroutine) -> Canceller | None:
    """What stops a piece of work, or None.

    Args:
        work: a coroutine or another awaitable is started.
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
    """What stops a piece of work, as `find_canceller` tells.

    Raises:
        TypeError: nothing is known of this kind of work; says how to register it.
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
