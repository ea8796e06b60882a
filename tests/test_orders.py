"""Whatever comes in whatever order, the promises hold: properties of random histories.

One history is one request: what its handler tracks and registers, and what then befalls it.
"""

from collections.abc import Callable
from typing import Any

from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import Draining, ResponseFinished, Scope

from ._scopes import Errand, Visit


class HookError(Exception):
    """What a hook raises."""


class WorkError(Exception):
    """What work fails with."""


@define(eq=False)
class Hook:
    """A cleanup hook that notes when it is run, and does one of several things."""

    history: "History"
    does: str
    for_cancelled: bool
    runs: int = 0
    at_once: bool = False
    done: Deferred[None] = field(factory=Deferred)

    def __call__(self, scope: Scope) -> object:
        """Run."""
        self.runs += 1
        self.history.ran(self)
        match self.does:
            case "raise":
                raise HookError
            case "wait":
                return self.done
            case "register":
                self.history.register("return", self.for_cancelled)
            case "track":
                self.history.track(obedient=True)
        return None


@define(eq=False)
class History:
    """One request, and what is known of it."""

    visit: Visit = field(init=False)
    request: Any = None
    works: list[Errand] = field(factory=list)
    works_of_hooks: list[Errand] = field(factory=list)
    """What is tracked while hooks run is left to run until they are through."""
    hooks: list[Hook] = field(factory=list)
    stack: list[Hook] = field(factory=list)
    registering: Hook | None = None

    def begin(self, obedient: bool, timeout: int | None) -> None:
        """Ask for a page whose making is one piece of work."""

        def handler(request: Request) -> Errand:
            self.request = request
            self.works.append(Errand(obedient=obedient))
            return self.works[0]

        self.visit = Visit(handler, timeout=timeout, survivor_after=3, cleanup_timeout=3)

    def ran(self, hook: Hook) -> None:
        """A hook is run: it is the one that was just registered, or the last of the stack."""
        if hook is self.registering:
            hook.at_once = True
            return
        while self.stack and self.stack[-1] is not hook:
            skipped = self.stack.pop()
            assert skipped.for_cancelled and self.visit.scope.cause is None, "not the last in"
        assert self.stack, "run twice, or never registered"
        self.stack.pop()

    def register(self, does: str, for_cancelled: bool) -> None:
        """Register a hook."""
        hook = Hook(self, does, for_cancelled)
        outer, self.registering = self.registering, hook
        self.hooks.append(hook)
        self.stack.append(hook)
        scope = self.visit.scope
        (scope.on_cancel if for_cancelled else scope.on_exit)(hook)
        if hook.at_once or (for_cancelled and scope.request is None):
            self.stack.remove(hook)
        self.registering = outer

    def track(self, obedient: bool) -> None:
        """Track more work."""
        work = Errand(obedient=obedient)
        is_cleaning = any(hook.runs and not hook.at_once for hook in self.hooks)
        (self.works_of_hooks if is_cleaning else self.works).append(work)
        self.visit.scope.track(work)

    def settle(self, index: int, how: str) -> None:
        """Some work ends."""
        work = self.works[index % len(self.works)]
        work.fail(WorkError()) if how == "fail" else work.end(None if index else b"page")

    def finish_hooks(self) -> None:
        """All hooks that wait come to an end."""
        for hook in self.hooks:
            if not hook.done.called:
                hook.done.callback(None)

    def finish(self) -> None:
        """Somebody finishes the response."""
        if self.visit.scope.request is not None and not self.request.finished:
            self.request.finish()

    def due(self) -> list[Errand]:
        """The work that must have been asked to stop by now, unless it has ended."""
        scope = self.visit.scope
        if scope.request is None:
            return self.works + self.works_of_hooks
        if scope.cause is None:
            return []
        return self.works[1:] if scope.cause == ResponseFinished() else self.works

    def check(self, flush: Callable[[], list[Any]]) -> None:
        """What holds at any time."""
        works = self.works + self.works_of_hooks
        assert all(len(work.asked) <= 1 for work in works), "asked twice"
        assert all(work.asked or work.has_ended for work in self.due()), "not asked"
        assert all(hook.runs <= 1 for hook in self.hooks), "run twice"
        assert len(self.visit.outcomes) <= 1, "told twice"
        assert all(each.check(HookError, WorkError) for each in flush()), "not our error"

    def end(self) -> None:
        """The client leaves at last, all work ends, and a long time goes by."""
        self.visit.disconnect()
        self.visit.clock.pump([1] * 4)
        for work in self.works + self.works_of_hooks:
            work.end()
        self.visit.clock.pump([1] * (4 * len(self.hooks) + 10))

    def check_end(self) -> None:
        """What holds in the end."""
        scope, outcome = self.visit.scope, self.visit.outcome
        assert scope.request is None, "still open"
        assert self.visit.clock.getDelayedCalls() == [], "a timer is left"
        assert outcome.cause == scope.cause
        assert (outcome.cause is None) == (outcome.cancelled is None)
        assert outcome.opened <= (outcome.cancelled or 0) <= outcome.closed or not outcome.cancelled
        for hook in self.hooks:
            assert hook.runs == (scope.cause is not None or not hook.for_cancelled), "not run"


KINDS = st.sampled_from(["return", "raise", "wait", "register", "track"])
EVENTS = st.one_of(
    st.tuples(st.just("track"), st.booleans()),
    st.tuples(st.just("register"), KINDS, st.booleans()),
    st.tuples(st.just("settle"), st.integers(0, 5), st.sampled_from(["end", "fail"])),
    st.tuples(st.just("advance"), st.sampled_from([0, 1, 2, 5])),
    st.just(("leave",)),
    st.just(("finish",)),
    st.just(("cancel",)),
    st.just(("finish_hooks",)),
)


class HistoryTests(SynchronousTestCase):
    """Random histories."""

    @settings(
        max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.booleans(), st.sampled_from([None, 2]), st.lists(EVENTS, max_size=12))
    def test_keep_the_promises(
        self, obedient: bool, timeout: int | None, events: list[tuple[Any, ...]]
    ) -> None:
        """Work is asked once, hooks run once and last in first out, and one outcome is told."""
        history = History()
        history.begin(obedient, timeout)
        actions: dict[str, Callable[..., object]] = {
            "leave": history.visit.disconnect,
            "advance": history.visit.clock.advance,
            "cancel": lambda: history.visit.scope.cancel(Draining()),
        }
        for name, *args in events:
            action = actions.get(name) or getattr(history, name)
            action(*args)
            history.check(self.flushLoggedErrors)
        history.end()
        history.check(self.flushLoggedErrors)
        history.check_end()
