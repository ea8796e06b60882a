"""Which canceller goes with which kind of work: every registration, and the look-up.

How each kind is stopped stands in `_twisted_kinds` and `_future_kinds`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.task import CooperativeTask, LoopingCall
from twisted.python.components import registerAdapter

from ._deferreds import as_deferred
from ._future_kinds import AsyncioFutureCanceller, ConcurrentFutureCanceller
from ._twisted_kinds import (
    CooperativeTaskCanceller,
    DeferredCanceller,
    DelayedCallCanceller,
    LoopingCallCanceller,
    ProcessCanceller,
)
from .interfaces import ICancellable

for _canceller, _kind in [
    (DeferredCanceller, Deferred),
    (DelayedCallCanceller, IDelayedCall),
    (LoopingCallCanceller, LoopingCall),
    (CooperativeTaskCanceller, CooperativeTask),
    (ProcessCanceller, IProcessTransport),
    (AsyncioFutureCanceller, asyncio.Future),
    (ConcurrentFutureCanceller, concurrent.futures.Future),
]:
    registerAdapter(_canceller, _kind, ICancellable)


def find_canceller(work: object) -> Any:
    """The `ICancellable` of a piece of work, or None. A coroutine is started."""
    if type(work) is Deferred:
        # Nobody else can have registered an adapter for exactly this class: ours stands there.
        return DeferredCanceller(work)
    canceller = ICancellable(work, None)
    if canceller is None:
        deferred = as_deferred(work)
        canceller = None if deferred is None else DeferredCanceller(deferred)
    return canceller


def canceller_for(work: object) -> Any:
    """The `ICancellable` of a piece of work.

    Raises:
        TypeError: nothing is known of this kind of work; says how to register it.
    """
    canceller = find_canceller(work)
    if canceller is None:
        kind = type(work).__qualname__
        raise TypeError(
            f"cancelweb cannot stop {work!r}: no canceller is registered for {kind}. Register "
            f"one: twisted.python.components.registerAdapter(YourCanceller, {kind}, "
            "cancelweb.ICancellable)"
        )
    return canceller
