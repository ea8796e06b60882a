"""What must hold of one request at any time and in the end: the promises.

What belongs here: what is kept to check a request, and the checks. What does not: what happens to
the request, which is in `_orders`.
"""

import gc
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import ref

from attrs import define, field
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from cancelweb import (
    Cause,
    Disconnected,
    Draining,
    Ended,
    Outcome,
    Scope,
    TimedOut,
    current_scope,
    scope_of,
)
from cancelweb.testing import Connection

from ._jobs import KINDS, CancellerError, Job, WorkError


class HookError(Exception):
    """What a hook raises."""


OURS = (WorkError, HookError, CancellerError)
PATIENCE = 3
"""Seconds until what still runs is a survivor, and until a hook is given up."""


@define(eq=False)
class Hook:
    """A cleanup hook that notes when it is run, and does one of several things."""

    history: Any
    does: str
    for_cancelled: bool
    runs: int = 0
    at_once: bool = False
    done: Deferred[None] = field(factory=Deferred)

    def __call__(self, scope: Scope) -> object:
        """Run."""
        self.runs += 1
        self.history.ran(self, scope)
        match self.does:
            case "raise":
                raise HookError
            case "wait":
                return self.done
            case "register":
                self.history.register("return", self.for_cancelled)
            case "track":
                self.history.track(KINDS[0])
            case "cancel":
                assert not scope.cancel(Draining()), "cancelled by a hook"
        return None


class Promises(RuleBasedStateMachine):
    """A request, and what must hold of it; what happens to it is for `_orders`.

    Attributes:
        connection: the client's.
        request: Twisted's.
        scope: the request's.
        outcomes: what the observers were told.
        returned: the work that the handler returned.
        jobs: all work but that of hooks, the oldest first.
        late: the work that was tracked when the response was already finished.
        jobs_of_hooks: what hooks have tracked.
        hooks: all hooks that there were.
        stack: the hooks that are still to be run.
        registering: the hook that is being registered.
        sealed: what the client had received when its request died.
        errors: the failures that were logged.
        told_of: the work whose place in the order was checked.
        survivors: the work that has outlived its cancellation.
        warnings: how often a survivor was named.
        is_watched: whether there are observers, and hooks of the entry points.
        may_cancel: whether the entry points let a disconnect cancel.
    """

    steps: ClassVar[int] = 0
    """How many steps were checked, in all histories."""
    remains: ClassVar[list["ref[Any]"]] = []
    """References to what only the garbage collector may free."""
    flush: ClassVar[Callable[[], list[Failure]]] = list
    """Gives the failures that were logged since the last call."""

    connection: Connection
    request: Any
    scope: Scope
    outcomes: list[Outcome]
    returned: Job | None
    jobs: list[Job]
    late: list[Job]
    jobs_of_hooks: list[Job]
    hooks: list[Hook]
    stack: list[Hook]
    registering: Hook | None
    sealed: bytes | None
    errors: list[Failure]
    told_of: set[Job]
    survivors: set[Job]
    warnings: int
    dry_run: bool
    is_watched: bool
    may_cancel: bool
    is_faked_head: bool
    has_failed: bool

    # --- what is known ---

    @property
    def is_closed(self) -> bool:
        """Whether the scope has let go of the request."""
        return self.scope.request is None

    @property
    def is_dead(self) -> bool:
        """Whether the response is finished, or the client has left."""
        return bool(self.request.finished) or self.request.channel is None

    @property
    def is_cleaning(self) -> bool:
        """Whether the hooks of the stack are run, or were."""
        return any(hook.runs and not hook.at_once for hook in self.hooks)

    def ran(self, hook: Hook, scope: Scope) -> None:
        """A hook is run: it is the one that was just registered, or the last of the stack."""
        assert scope is scope_of(self.request) and current_scope() is scope, "not its scope"
        if hook is self.registering:
            hook.at_once = True
            return
        while self.stack and self.stack[-1] is not hook:
            skipped = self.stack.pop()
            assert skipped.for_cancelled and not self.is_cancelled, "not the last in"
        assert self.stack, "run twice, or never registered"
        self.stack.pop()
        # In a dry run leftover work is not asked, and not waited for.
        works = [job for job in self.jobs if job is self.returned or not self.dry_run]
        waited_for = [job for job in works if not job.asked]
        assert all(job.has_ended for job in waited_for), "cleaned up while work ran"

    @property
    def is_cancelled(self) -> bool:
        """Whether the scope was cancelled, as hooks see it."""
        return self.scope.cause is not None and not self.dry_run

    # --- what holds at any time ---

    def due(self) -> list[Job]:
        """The work that must have been asked to stop by now, unless it has ended."""
        if self.is_closed:
            return self.jobs_of_hooks if self.dry_run else self.jobs + self.jobs_of_hooks
        if self.scope.cause is not None:
            return self.jobs
        if self.dry_run or not self.request.finished:
            return []
        is_answered = self.returned is None or self.returned.has_ended
        return [job for job in self.askable() if is_answered or job not in self.late]

    def askable(self) -> list[Job]:
        """The work that may be asked to stop by now."""
        return [job for job in self.jobs if not (self.is_spared and job is self.returned)]

    @property
    def is_spared(self) -> bool:
        """Whether the returned work may run to its end, since nothing was cancelled."""
        is_faked = self.is_faked_head and not self.dry_run
        return self.scope.cause is None and not is_faked

    @invariant()
    def promises(self) -> None:
        """Check what must hold at any time; the messages begin with the number of the promise."""
        type(self).steps += 1
        self.errors += type(self).flush()
        works = self.jobs + self.jobs_of_hooks
        assert all(job.asked <= 1 for job in works), "1: asked twice"
        assert all(job.asked or job.has_ended for job in self.due()), "1: not asked"
        if self.sealed is None and (self.is_dead or self.connection.is_aborted):
            self.sealed = self.connection.received
        assert self.sealed in (None, self.connection.received), "2: touched when it was dead"
        assert all(hook.runs <= 1 for hook in self.hooks), "3: run twice"
        foreign = [each for each in self.errors if not each.check(*OURS, CancelledError)]
        assert not foreign, f"4: an error of our making: {foreign}"
        assert scope_of(self.request) is self.scope, "7: another scope"
        told = self.is_closed and self.is_watched
        self.check_order()
        self.check_survivors()
        assert len(self.outcomes) == told, "12: told twice, or not, or too early"
        if self.dry_run:
            assert self.scope.cause is None, "11: cancelled in a dry run"
        cut: tuple[type[Cause], ...] = (Disconnected, TimedOut)
        assert self.may_cancel or not isinstance(self.scope.cause, cut), "11: cut"

    def check_order(self) -> None:
        """The returned work was asked first, then the rest, the newest first."""
        for works in (self.jobs, self.jobs_of_hooks):
            asked = [job for job in reversed(works) if job.asked and job not in self.told_of]
            if self.is_spared and self.returned in asked:
                asked.remove(self.returned)  # What it awaits was tracked, and stopped.
            asked.sort(key=lambda job: job is not self.returned)
            assert asked == sorted(asked, key=lambda job: job.turn), "1: in another order"
            self.told_of.update(asked)

    def check_survivors(self) -> None:
        """Work that still runs `PATIENCE` seconds after it was asked is named once."""
        overdue = self.connection.client.clock.seconds() - PATIENCE
        for job in self.askable() + (self.jobs_of_hooks if self.is_closed else []):
            if job.asked and not job.has_ended and job.asked_at <= overdue:
                self.survivors.add(job)
        assert self.warnings == len(self.survivors), "9: runs unseen, or named and does not run"

    # --- what holds in the end ---

    def check_end(self) -> None:
        """Check what must hold when a request is over."""
        for outcome in self.outcomes:
            assert outcome.cause == self.scope.cause, "12: another cause"
            assert (outcome.cause is None) == (outcome.cancelled is None)
            assert outcome.opened <= (outcome.cancelled or outcome.opened) <= outcome.closed
            if outcome.ended is Ended.COMPLETED:
                assert outcome.failure is None
        assert self.connection.client.clock.getDelayedCalls() == [], "8: a timer is left"
        for hook in self.hooks:
            assert hook.runs == (self.is_cancelled or not hook.for_cancelled), "3: not run"

    def check_nothing_is_left(self) -> None:
        """Nothing holds on to the request, or to what was done for it.

        Where work failed, a cycle of Twisted's own failure and its frames may do so, until the
        collector comes.
        """
        left = [ref(self.request), ref(self.scope), *map(ref, self.jobs)]
        self.errors.clear()
        type(self).flush()
        del self.request, self.scope, self.connection, self.outcomes
        del self.told_of, self.survivors, self.late
        del self.jobs, self.jobs_of_hooks, self.hooks, self.stack, self.returned, self.registering
        alive = [each for each in left if each() is not None]
        if self.has_failed:
            type(self).remains.extend(alive)
        else:
            assert [each() for each in alive] == [], "8: something is left"

    @classmethod
    def check_remains(cls) -> None:
        """What is left of histories in which work failed does not outlive the garbage collector."""
        gc.collect()
        # Failures that a history's own failure had kept until now are of the same kinds as before.
        foreign = [each for each in cls.flush() if not each.check(*OURS, CancelledError)]
        assert not foreign, f"4: an error of our making: {foreign}"
        remains = [each() for each in cls.remains if each() is not None]
        cls.remains.clear()
        assert remains == [], "8: something is left"
