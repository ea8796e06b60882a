"""Cleanup hooks: one stack, run one at a time, each isolated and with a time limit.

When they are run is the scope's business.
"""

from __future__ import annotations

from collections.abc import Callable
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from .._kinds.cancellers import Canceller
from .._kinds.registry import find_canceller
from .._log import log, name_of
from .context import in_copy, never_asked, was_asked
from .parts import Subject
from .states import CLOSED

Hook = Callable[[Any], object]

CLEANUP_TIMEOUT = 10.0


class HookStack:
    """The hooks of one scope that were not run yet."""

    def __init__(self, scope: Subject) -> None:
        self._scope = scope
        # Each with whether it is for a cancelled scope only.
        self._hooks: list[tuple[Hook, bool]] = []
        self.began: float | None = None
        """When the first was run, in seconds on the scope's clock."""

    def add(self, hook: Hook, for_cancelled: bool) -> None:
        """Add a hook to the stack; run it at once if the scope is cancelled, or closed, already."""
        is_closed = self._scope.state is CLOSED
        if self._is_cancelled if for_cancelled else is_closed:
            self._run(hook)
        elif not is_closed:
            self._hooks.append((hook, for_cancelled))

    def run_all(self, done: Callable[[], object]) -> None:
        """Run all, the last first, each when the one before has ended or its time is up.

        Args:
            done: called when there are no more.
        """
        if self._hooks and self.began is None:
            self.began = self._scope.clock.seconds()
        while self._hooks:
            hook, for_cancelled = self._hooks.pop()
            if not for_cancelled or self._is_cancelled:
                ended = self._run(hook)
                if ended is not None and not ended.called:
                    ended.addCallback(lambda _: self.run_all(done))
                    return
        done()

    def _run(self, hook: Hook) -> Deferred[None] | None:
        """Run a hook; log whatever goes wrong.

        Returns:
            None if there is nothing to wait for, else a Deferred that fires once the hook has
            ended, or once its time is up.
        """
        scope = self._scope
        try:
            running = in_copy(scope, _result_of, hook, scope)
        except BaseException:  # asyncio's CancelledError is no Exception.
            log.failure("cleanup hook {hook} failed", hook=name_of(hook))
            return None
        if running is None:
            return None
        seconds = scope.options.cleanup_timeout or CLEANUP_TIMEOUT
        return _ended_or_late(running, name_of(hook), seconds, scope.clock)

    @property
    def _is_cancelled(self) -> bool:
        # In a dry run the only cause is that the response was finished.
        return self._scope.cause is not None and not self._scope.options.dry_run


def _result_of(hook: Hook, scope: object) -> Canceller | None:
    """Call the hook; returns the canceller of what it returned, or None if that was nothing.

    Raises:
        TypeError: it is a generator, of which nothing has run.
    """
    was_asked.set(never_asked)
    result = hook(scope)
    if result is None:
        return None
    canceller = find_canceller(result)
    if canceller is None and isinstance(result, GeneratorType | AsyncGeneratorType):
        raise TypeError(
            f"a hook must not be a generator: @inlineCallbacks is missing on {result!r}"
        )
    return canceller


def _ended_or_late(
    running: Canceller, name: str, seconds: float, clock: IReactorTime
) -> Deferred[None]:
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
    running.watch(ended)
    return done
