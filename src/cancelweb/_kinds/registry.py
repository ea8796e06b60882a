"""Which canceller goes with which kind of work: every registration, and the look-up.

How each kind is stopped stands in `_twisted_kinds` and `_future_kinds`.
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
from .deferreds import as_deferred
from .futures import AsyncioFutureCanceller, ConcurrentFutureCanceller
from .twisted_kinds import (
    CooperativeTaskCanceller,
    DeferredCanceller,
    DelayedCallCanceller,
    LoopingCallCanceller,
    ProcessCanceller,
    timer_canceller,
)


def _started(coroutine: Any) -> DeferredCanceller:
    return DeferredCanceller(Deferred.fromCoroutine(coroutine))


for _canceller, _kind in [
    (DeferredCanceller, Deferred),
    (_started, CoroutineType),
    (DelayedCallCanceller, DelayedCall),
    (timer_canceller, IDelayedCall),
    (LoopingCallCanceller, LoopingCall),
    (CooperativeTaskCanceller, CooperativeTask),
    (ProcessCanceller, IProcessTransport),
    (AsyncioFutureCanceller, asyncio.Future),
    (ConcurrentFutureCanceller, concurrent.futures.Future),
]:
    registerAdapter(_canceller, _kind, ICancellable)

# The commonest kinds, found without the registry. They are registered there, too, so that nobody
# can register something else for exactly these classes and then wait for it in vain.
COMMON: dict[type, Callable[[Any], Any]] = {
    Deferred: lambda deferred: deferred,
    CoroutineType: Deferred.fromCoroutine,
    DelayedCall: DelayedCallCanceller,
}


def find_canceller(work: object) -> Any:
    """What stops a piece of work, or None. A coroutine is started.

    Returns:
        An `ICancellable`; for Deferreds and awaitables a Deferred, which needs no other.
    """
    common = COMMON.get(type(work))
    if common is not None:
        return common(work)
    canceller = ICancellable(work, None)
    if canceller is None:
        return as_deferred(work)
    return canceller.deferred if type(canceller) is DeferredCanceller else canceller


def canceller_for(work: object) -> Any:
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
