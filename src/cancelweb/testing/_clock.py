"""Moving a `twisted.internet.task.Clock` one delayed call at a time, and naming those calls.

Knows Twisted's Clock only; nothing of requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from .._log import log, name_of


def step(clock: Clock, until: float = math.inf) -> bool:
    """Run the next delayed call, at its time; of several that are due together, only the first.

    As in a reactor, what it raises is logged.

    Args:
        clock: the clock.
        until: run nothing that is due later.

    Returns:
        Whether there was one.
    """
    call: Any = min(clock.getDelayedCalls(), key=_due, default=None)
    if call is None or call.getTime() > until:
        return False
    clock.rightNow = max(clock.rightNow, call.getTime())
    clock.calls.remove(call)
    call.called = 1
    logging(call.func, *call.args, **call.kw)
    return True


AT_ONCE = 1000


def turn(clock: Clock) -> None:
    """Run what is due now, and what that makes due now, unless there is no end to that."""
    for _ in range(AT_ONCE):
        if not step(clock, clock.seconds()):
            break


def logging(function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    """Call, and log what is raised, as a reactor does."""
    try:
        function(*args, **kwargs)
    except Exception:
        log.failure("{function} failed", function=name_of(function))


DUE = ", due in "


def descriptions(calls: Iterable[Any], clock: Clock) -> list[str]:
    """Delayed calls as they are named in messages."""
    now = clock.seconds()
    return [f"{name_of(each.func)}{DUE}{each.getTime() - now:g} s" for each in calls]


def _due(call: IDelayedCall) -> float:
    return call.getTime()
