"""Cleanup hooks: one stack, run one at a time, each isolated and for so many seconds at most.

When they are run is the scope's business.
"""

from __future__ import annotations

from collections.abc import Callable
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from .._kinds.cancellers import watch
from .._kinds.registry import find_canceller
from .._log import log

Hook = Callable[[Any], object]

CLEANUP_TIMEOUT = 10.0


def result_of(hook: Hook, scope: object) -> Any:
    """Call the hook; returns the canceller of what it returned, or None if that was nothing.

    Raises:
        TypeError: it is a generator, of which nothing has run.
    """
    result = hook(scope)
    if result is None:
        return None
    canceller = find_canceller(result)
    if canceller is None and isinstance(result, GeneratorType | AsyncGeneratorType):
        raise TypeError(
            f"a hook must not be a generator: @inlineCallbacks is missing on {result!r}"
        )
    return canceller


def run_hook(
    start: Callable[[], object], name: str, seconds: float, clock: IReactorTime
) -> Deferred[None] | None:
    """Run a hook; log whatever goes wrong.

    Args:
        start: calls the hook, as `result_of` does.
        name: how the log calls the hook.
        seconds: how long to wait. A hook that takes longer is not stopped.
        clock: tells when the seconds are over.

    Returns:
        None if there is nothing to wait for, else a Deferred that fires once the hook has ended, or
        once the seconds are over.
    """
    try:
        running = start()
    except BaseException:  # asyncio's CancelledError is no Exception.
        log.failure("cleanup hook {hook} failed", hook=name)
        return None
    return None if running is None else _ended_or_late(running, name, seconds, clock)


def _ended_or_late(running: Any, name: str, seconds: float, clock: IReactorTime) -> Deferred[None]:
    done: Deferred[None] = Deferred()

    def ended(result: object) -> None:
        if isinstance(result, Failure):
            log.failure("cleanup hook {hook} failed", failure=result, hook=name)
        if timer.active():
            timer.cancel()
            done.callback(None)

    def late() -> None:
        log.error(
            "cleanup hook {hook} still runs after {seconds:g} s: going on without it",
            hook=name,
            seconds=seconds,
        )
        done.callback(None)

    timer = clock.callLater(seconds, late)
    watch(running, ended)
    return done
