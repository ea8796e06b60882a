"""Cleanup hooks: a stack, run one at a time, each isolated, with one time limit for all.

`life` decides when the hooks run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import AsyncGeneratorType, GeneratorType

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from .._kinds.cancellations import is_our_cancellation
from .._kinds.cancellers import Canceller
from .._kinds.explained import explain
from .._kinds.places import place_of
from .._kinds.registry import find_canceller
from .._log import log, name_of
from .context import in_copy, telling_of
from .hook_checks import explain_call
from .hook_index import Entry, Hook, HookIndex
from .parts import Subject
from .refused import StartRefused
from .states import CLOSED
from .telling import Telling, log_in

CLEANUP_TIMEOUT = 10.0

NAMED = 3
"""How many hooks that are no longer waited for the log names."""


hook_here: ContextVar[tuple[Subject, float] | None] = ContextVar("cancelweb_hook", default=None)
"""In code of a hook: the scope, and when the time limit of its hooks began."""


def cleanup_seconds(scope: Subject) -> float:
    """How many seconds hooks may take together, and a handler's own cleanup after a cancel."""
    return scope.options.cleanup_timeout or CLEANUP_TIMEOUT


@frozen
class _Called:
    """A hook that was called, for the log. A hook that runs on must not refer to the scope.

    Attributes:
        name: the name of the hook in the log.
        has_asked: see `Life`.
        telling: logs in the context of the hook.
    """

    name: str
    has_asked: bool
    telling: Telling

    def log_failure(self, result: object) -> None:
        """Log the failure of the hook, if it failed.

        It is not an error if the hook waited for work that its scope has stopped. It is an error if
        the hook needed more time.
        """
        if not isinstance(result, Failure):
            return
        explain(result)
        if is_our_cancellation(result, self.has_asked) and not result.check(StartRefused):
            text = "cleanup hook {hook} ended, because the work that it waited for was stopped"
            self.telling.log(log.info, text, hook=self.name)
        else:
            text = "cleanup hook {hook} failed"
            self.telling.log(log.failure, text, failure=result, hook=self.name)


class HookStack:
    """The hooks of one scope that have not run yet.

    They share one time limit, which begins with the first of them. When it is used up, the
    remaining hooks are still called, but not waited for.

    Attributes:
        began: when the first hook was run, in seconds on the scope's clock.
        running: the hook that the scope waits for, and what it returned; or None.
    """

    began: float | None = None
    running: tuple[Hook, Canceller] | None = None
    # The hooks that were called after the time was used up, and did not end at once.
    _unawaited: list[str] | None = None

    def __init__(self, scope: Subject) -> None:
        self._scope = scope
        # A list until a hook is withdrawn, which most scopes never do.
        self._hooks: list[Entry] | HookIndex = []

    def add(self, hook: Hook, for_cancelled: bool) -> None:
        """Add a hook to the stack; if the scope has closed, run it at once."""
        if self._scope.state is not CLOSED:
            self._hooks.append((hook, for_cancelled))
        elif not for_cancelled or self._is_cancelled:
            # The time limit of this hook begins now, because the shared one is over.
            self._run(hook, self._scope.clock.seconds())

    def withdraw(self, hook: Hook) -> bool:
        """Remove the newest hook that equals this one; returns whether there was one."""
        if isinstance(self._hooks, list):
            self._hooks = HookIndex(self._hooks)
        return self._hooks.withdraw(hook)

    def run_all(self, done: Callable[[], object]) -> None:
        """Run all hooks, the newest first, each after the one before has ended or time is up.

        Args:
            done: called after the last hook.
        """
        if self.began is None:
            self.began = self._scope.clock.seconds()
        while self._hooks:
            hook, for_cancelled = self._hooks.pop()
            if not for_cancelled or self._is_cancelled:
                ended = self._run(hook, self.began)
                if ended is not None and not ended.called:
                    ended.addCallback(self._go_on, done)
                    return
        if self._unawaited is not None:
            self._report_unawaited(self._unawaited)
        done()

    def _go_on(self, _: None, done: Callable[[], object]) -> None:
        self.running = None
        self.run_all(done)

    def _run(self, hook: Hook, began: float) -> Deferred[None] | None:
        """Run a hook; log its failure.

        Args:
            hook: the hook.
            began: when its time limit began.

        Returns:
            None if there is nothing to wait for; else a Deferred that fires when the hook has
            ended or its time is up.
        """
        scope = self._scope
        try:
            if scope.context is None:
                running = in_copy(scope, _result_of, hook, scope, began)
            else:
                # The same as `in_copy`, but much faster.
                running = scope.context.copy().run(_result_of, hook, scope, began)
        except BaseException:  # asyncio's CancelledError is not an Exception.
            log_in(scope.context, log.failure, "cleanup hook {hook} failed", hook=name_of(hook))
            return None
        if running is None:
            return None
        called = _Called(name_of(hook), scope.life.has_asked, telling_of(scope, running))
        seconds = began + self._limit - scope.clock.seconds()
        if seconds > 0:
            ended = _ended_or_late(running, called, seconds, self._limit, scope.clock)
            if not ended.called and scope.state is not CLOSED:
                self.running = hook, running
            return ended
        self._watch_only(running, called)
        return None

    def _watch_only(self, running: Canceller, called: _Called) -> None:
        has_ended: list[bool] = []

        def ended(result: object) -> None:
            has_ended.append(True)
            called.log_failure(result)

        running.watch(ended)
        if not has_ended:
            self._unawaited = self._unawaited or []
            self._unawaited.append(called.name)

    def _report_unawaited(self, names: list[str]) -> None:
        more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
        log_in(
            self._scope.context,
            log.error,
            "the cleanup_timeout of {seconds:g} s is used up: not waiting for these cleanup hooks: "
            "{hooks}",
            seconds=self._limit,
            hooks=", ".join(names[:NAMED] + more),
        )

    @property
    def _limit(self) -> float:
        """The time limit for all hooks together, in seconds."""
        return cleanup_seconds(self._scope)

    @property
    def _is_cancelled(self) -> bool:
        # An inner entry point may have turned on a dry run after the scope was cancelled.
        return self._scope.cause is not None and not self._scope.options.dry_run


def _result_of(hook: Hook, scope: Subject, began: float) -> Canceller | None:
    """Call a hook; returns the canceller of the work that it returned, or None.

    Raises:
        TypeError: the hook is a generator function, so that none of its code has run.
    """
    hook_here.set((scope, began))
    try:
        result = hook(scope)
    except TypeError as error:
        explain_call(hook, error)
        raise
    if result is None:
        return None
    canceller = find_canceller(result)
    if canceller is None and isinstance(result, GeneratorType | AsyncGeneratorType):
        raise TypeError(
            f"{place_of(hook)} is a generator, so none of its code has run. Decorate it with "
            "@inlineCallbacks, or make it an `async def`."
        )
    return canceller


def _ended_or_late(
    running: Canceller, called: _Called, seconds: float, limit: float, clock: IReactorTime
) -> Deferred[None]:
    done: Deferred[None] = Deferred()

    def ended(result: object) -> None:
        called.log_failure(result)
        if timer.active():
            timer.cancel()
            done.callback(None)

    def late() -> None:
        called.telling.log(
            log.error,
            "cleanup hook {hook} still runs, and the cleanup_timeout of {seconds:g} s is used up: "
            "going on without it",
            hook=called.name,
            seconds=limit,
        )
        done.callback(None)

    timer = clock.callLater(seconds, late)
    running.watch(ended)
    return done
