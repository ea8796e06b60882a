"""Random histories of one request, lived twice: with the fast path, and without it.

What belongs here: the steps that both twins take, and the comparison. What does not: what a twin
does and notes, which is in `_twin`. The short run is in `test_fast_path`, the long one in `hammer`.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from difflib import unified_diff
from itertools import product
from typing import Any, ClassVar
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from cancelweb._http.request_scope import RequestScope
from cancelweb._scopes.states import CLOSED, Fate

from ..scopes._jobs import Job
from ..scopes._orders import run_histories
from ..scopes._promises import PATIENCE
from ._noting import NOTING, RESULTS
from ._twin import PUBLISHER, Twin
from ._twin_beginnings import ANY, LISTENERS, PLAIN, SPARED, WITH_LIFE

ENDING: list[tuple[Any, ...]] = [
    ("leave",),
    ("advance", PATIENCE + 1),
    ("end_all",),
    ("finish_hooks",),
    ("advance", 100),
]
"""The client leaves at last, a long time goes by, and all work ends."""


def reason(scope: Any, name: str, *args: Any) -> str:
    """Why a scope hands over its work."""
    if scope.fate is Fate.LOST and name in ("settle", "advance"):
        return "lost while its work runs"
    if name == "leave" and len(scope.request.notifications) > 1:
        return "leave, and others listen"
    return f"{name} {args[-1]}" if name == "settle" else name


REASONS = [
    "advance",
    "cancel",
    "come_to",
    "join",
    "leave",
    "leave, and others listen",
    "lost while its work runs",
    "settle fail",
    "track",
]
"""Why work is handed over, as far as any run should have met it."""


class Twins(RuleBasedStateMachine):
    """Two requests that differ only in whether they may take the fast path."""

    flush: ClassVar[Callable[[], Any]] = list
    """Forgets the failures that were logged."""
    steps: ClassVar[int] = 0
    counted: ClassVar[Counter[str]] = Counter()
    """How many histories there were, how many began on the fast path, and what ended that."""

    twins: tuple[Twin, ...] = ()
    has_differed = False

    def __init__(self) -> None:
        super().__init__()
        self.story: list[str] = []

    @initialize(how=st.one_of(PLAIN, SPARED, WITH_LIFE, ANY))
    def begin(self, how: dict[str, Any]) -> None:
        """Have both twins ask for the same page."""
        gc.freeze()
        self.twins = tuple(Twin(each, how, type(self).flush) for each in (True, False))
        self.counted["histories"] += 1
        names = ("entry points", "kind", "method", "entry", "is plain", "timeouts", "dry_run")
        self.both("begin", *map(how.get, names))
        self.counted["fast"] += self.is_fast
        self.counted["fast, with a life"] += self.is_fast and self.fast.scope._life is not None
        if how["next"] and self.fast.jobs:
            self.both(*how["next"])

    # --- the comparison ---

    @property
    def fast(self) -> Any:
        """The twin that may take the fast path."""
        return self.twins[0]

    @property
    def is_fast(self) -> bool:
        """Whether the fast twin is on the fast path now, with work to watch."""
        return self.fast.scope.watched is not None

    def both(self, name: str, *args: Any) -> None:
        """Have both twins take a step, and compare them."""
        self.story += [f"{name} {args}"]
        was_without_life = name == "register" and self.is_fast and not self.fast.scope._life
        is_loss = name == "leave" and self.is_fast and not self.fast.scope._life
        with patch.object(RequestScope, "hand_over", self.counting(name, *args)):
            for twin in self.twins:
                twin.act(name, *args)
        self.counted["register"] += was_without_life and self.fast.scope._life is not None
        self.counted["stopped simply"] += is_loss and self.fast.scope.state is CLOSED
        self.compare(*([*each.journal.lines, *each.facts()] for each in self.twins))
        for twin in self.twins:
            twin.journal.lines.clear()

    def counting(self, name: str, *args: Any) -> Any:
        """A replacement for `hand_over` that counts the reasons of its calls."""

        def hand_over(scope: Any, stopping: Any) -> None:
            if scope.watched is not None:
                self.counted[reason(scope, name, *args)] += 1
            real(scope, stopping)

        real = RequestScope.hand_over
        return hand_over

    def compare(self, fast: list[str], general: list[str]) -> None:
        """Assert that the twins have seen the same."""
        self.has_differed = fast != general
        told = unified_diff(fast, general, "fast", "general", lineterm="")
        assert not self.has_differed, "\n".join([*self.story, *told])

    # --- what happens ---

    @rule(kind=st.sampled_from(NOTING))
    def track(self, kind: type[Job]) -> None:
        """Track work of this kind."""
        self.both("track", kind)

    @rule(
        does=st.sampled_from(["return", "raise", "wait", "register", "track", "cancel"]),
        for_cancelled=st.booleans(),
    )
    def register(self, does: str, for_cancelled: bool) -> None:
        """Register a hook."""
        self.both("register", does, for_cancelled)

    @precondition(lambda self: self.fast.jobs)
    @rule(index=st.integers(0, 2), how=st.sampled_from(["end", "fail", "cancel"]))
    def settle(self, index: int, how: str) -> None:
        """Let a piece of work go on or end."""
        self.both("settle", index, how)

    @precondition(lambda self: self.fast.returned)
    @rule(what=st.sampled_from(sorted(RESULTS)))
    def come_to(self, what: str) -> None:
        """Let the returned work come to something other than a page."""
        self.both("come_to", what)

    @rule(seconds=st.sampled_from([0, 2, 5]))
    def advance(self, seconds: int) -> None:
        """Let time pass."""
        self.both("advance", seconds)

    @precondition(lambda self: self.fast.jobs)
    @rule()
    def go_on(self) -> None:
        """Let the returned work go on."""
        self.both("settle", 0, "end")

    @rule()
    def wait(self) -> None:
        """Let time pass until all that waits for the clock has happened."""
        self.both("advance", 5)

    @rule(does=st.sampled_from(LISTENERS))
    def listen(self, does: str) -> None:
        """Let other code listen for the end of the request."""
        self.both("listen", does)

    @rule(
        kind=st.sampled_from(NOTING),
        timeout=st.sampled_from([None, 1, 3]),
        has_hook=st.booleans(),
    )
    def join(self, kind: type[Job], timeout: float | None, has_hook: bool) -> None:
        """Let another entry point meet the request."""
        self.both("join", kind, timeout, has_hook)

    @rule(name=st.sampled_from(["finish", "write", "finish_hooks"]))
    def do(self, name: str) -> None:
        """Take a step that has no arguments."""
        self.both(name)

    @rule()
    def leave(self) -> None:
        """The client leaves."""
        self.both("leave")

    @rule()
    def cancel(self) -> None:
        """The server cancels."""
        self.both("cancel")

    @precondition(lambda self: self.fast.is_dead)
    @rule()
    def touch(self) -> None:
        """Touch a dead request as if it were alive."""
        self.both("touch")

    # --- how it ends ---

    @classmethod
    def check_remains(cls) -> None:
        """Do nothing: each history has checked what remains."""

    def teardown(self) -> None:
        """End all work, and assert that the twins leave the same behind."""
        if self.twins and not self.has_differed:
            for step in ENDING:
                self.both(*step)
            self.compare(*map(self.remains, self.twins))
        for twin in self.twins:
            PUBLISHER.removeObserver(twin.note_warning)

    def remains(self, twin: Twin) -> list[Any]:
        """What a dropped twin leaves alive, before and after a collection, and what it logs."""
        journal, left = twin.journal, twin.vanish()
        alive = [each() is not None for each in left]
        type(self).flush()
        gc.collect()
        type(self).flush()
        PUBLISHER.removeObserver(journal.note_event)
        return [f"alive {alive}", f"after all {[each() for each in left]}", *journal.lines]


@contextmanager
def no_collector() -> Any:
    """Collect garbage only when a test asks, and then only among new objects."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def run_twins(test: Any, histories: int, steps: int) -> Counter[str]:
    """Run random histories twice each; returns what was counted."""

    class Watched(Twins):
        flush = test.flushLoggedErrors
        counted: ClassVar[Counter[str]] = Counter()

    with no_collector():
        run_histories(Watched, histories, steps)
    return Watched.counted


def run_each(test: Any, beginnings: Iterable[Any], stories: Iterable[Any]) -> int:
    """Run each story behind each beginning, twice; returns how many began on the fast path."""

    class Watched(Twins):
        flush = test.flushLoggedErrors
        counted: ClassVar[Counter[str]] = Counter()

    with no_collector():
        for how, story in product(beginnings, stories):
            twins = Watched()
            try:
                twins.begin(how=how)
                for step in story:
                    twins.both(*step)
            finally:
                twins.teardown()
    return Watched.counted["fast"]
