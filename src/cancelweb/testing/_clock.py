"""Move a `twisted.internet.task.Clock` one delayed call at a time, and name those calls.

Also tells which calls are the resource's own, and not of a request.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from .._log import log, name_of
from .._twisted.checks import check

_CAN_STEP = check("steps of a clock") and check("timers")

is_own: ContextVar[bool] = ContextVar("cancelweb_is_own", default=False)
"""Whether the running code is the resource's own, such as its polling, and not of a request."""


@contextmanager
def owning(is_owned: bool) -> Iterator[None]:
    """Mark what begins inside the block as the resource's own, or as not."""
    token = is_own.set(is_owned)
    try:
        yield
    finally:
        is_own.reset(token)


class OwnersClock(Clock):
    """A Clock that marks which calls are the resource's own; for `step`."""

    def callLater(  # noqa: N802
        self, delay: float, callable: Any, *args: object, **kw: object
    ) -> Any:
        """See `IReactorTime`."""
        call: Any = super().callLater(delay, callable, *args, **kw)
        call.is_own = is_own.get()
        return call


def is_the_resources(call: Any) -> bool:
    """Whether a delayed call is the resource's own."""
    return getattr(call, "is_own", False)


def step(clock: Clock, until: float = math.inf) -> bool:
    """Run the next delayed call, at its time; if several are due together, only the first.

    What the call raises is logged, as in a reactor.

    Args:
        clock: the clock.
        until: run nothing that is due after this time, in seconds on the clock.

    Returns:
        Whether there was a call to run.
    """
    call: Any = min(clock.getDelayedCalls(), key=_due, default=None)
    if call is None or call.getTime() > until:
        return False
    with owning(is_the_resources(call)):
        if _CAN_STEP:
            clock.rightNow = max(clock.rightNow, call.getTime())
            clock.calls.remove(call)
            call.called = 1
            logging(call.func, *call.args, **call.kw)
        else:
            logging(clock.advance, max(0.0, call.getTime() - clock.seconds()))
    return True


def function_of(call: Any) -> Any:
    """The function of a delayed call; the call itself if the function is unknown."""
    return getattr(call, "func", call)


def pass_time(clock: Clock, seconds: float) -> None:
    """Let this many seconds pass, as in a reactor: each call runs when it is due.

    ``Clock.advance`` runs all calls at the end, so that a second wait begins too late. An exception
    of a call is raised.
    """
    until = clock.seconds() + seconds
    while (due := min(map(_due, clock.getDelayedCalls()), default=math.inf)) < until:
        clock.advance(max(0.0, due - clock.seconds()))
    clock.advance(until - clock.seconds())


AT_ONCE = 1000
"""How many calls `turn` runs at most."""


def turn(clock: Clock) -> None:
    """Run what is due now, and what that makes due now, up to `AT_ONCE` calls."""
    for _ in range(AT_ONCE):
        if not step(clock, clock.seconds()):
            break


def logging(function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    """Call a function, and log what it raises, as a reactor does."""
    try:
        function(*args, **kwargs)
    except Exception:
        log.failure("{function} failed", function=name_of(function))


DUE = ", due in "


def descriptions(calls: Iterable[Any], clock: Clock) -> list[str]:
    """Delayed calls, as messages name them."""
    now = clock.seconds()
    return [f"{name_of(function_of(each))}{DUE}{each.getTime() - now:g} s" for each in calls]


def _due(call: IDelayedCall) -> float:
    return call.getTime()
