"""`Shared` keeps its promises in every order of events: properties of random histories.

One history is one shared function: callers ask for keys, callers leave, and runs end.
"""

from collections.abc import Callable
from typing import Any

from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Shared

from .._work import Errand


class RunError(Exception):
    """What a run fails with."""


@define(eq=False)
class Asker:
    """A caller, and what it was told."""

    errand: Errand | None = None
    told: list[Any] = field(factory=list)
    has_left: bool = False
    waiting: Deferred[Any] = field(init=False)


@define(eq=False)
class History:
    """A shared function, and what is expected of it."""

    linger: int
    clock: Clock = field(factory=Clock)
    shared: Any = field(init=False)
    runs: list[Errand] = field(factory=list)
    askers: list[Asker] = field(factory=list)
    keys: dict[str, Errand] = field(factory=dict)
    """The runs that a newcomer has to join."""
    left_alone: dict[Errand, float] = field(factory=dict)
    """When the last asker of a run has left it."""
    is_obedient: bool = True

    def __attrs_post_init__(self) -> None:
        self.shared = Shared(self.begin, self.linger, clock=self.clock)

    def begin(self, key: str) -> Any:
        """The shared function."""
        assert key not in self.keys, "a second run under one key"
        errand = Errand(obedient=self.is_obedient)
        self.runs.append(errand)
        self.keys[key] = errand
        return errand

    def ask(self, key: str, is_obedient: bool) -> None:
        """A caller asks."""
        self.is_obedient = is_obedient
        asker = Asker()
        asker.waiting = self.shared(key)
        asker.waiting.addBoth(asker.told.append)
        asker.errand = self.keys[key]
        self.left_alone.pop(asker.errand, None)
        self.askers.append(asker)

    def leave(self, index: int) -> None:
        """A caller leaves, perhaps after it was told, or for the second time."""
        if self.askers:
            asker = self.askers[index % len(self.askers)]
            was_waiting = not (asker.told or asker.has_left)
            asker.has_left = asker.has_left or was_waiting
            if was_waiting and not any(self.waiters_of(asker.errand)):
                assert asker.errand is not None
                self.left_alone[asker.errand] = self.clock.seconds()
            self.expect_stops()
            asker.waiting.cancel()

    def advance(self, seconds: int) -> None:
        """Time goes by."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.expect_stops()

    def end(self, index: int, how: str) -> None:
        """A run ends."""
        if self.runs:
            errand = self.runs[index % len(self.runs)]
            self.forget(errand)
            self.left_alone.pop(errand, None)
            errand.fail(RunError()) if how == "fail" else errand.end(how)

    def forget(self, errand: Errand | None) -> None:
        """Expect the next caller to begin a new run."""
        self.keys = {key: each for key, each in self.keys.items() if each is not errand}

    def waiters_of(self, errand: Errand | None) -> list[Asker]:
        """The callers that have not left a run."""
        return [each for each in self.askers if each.errand is errand and not each.has_left]

    def expect_stops(self) -> None:
        """Runs that were left alone for long enough are stopped by now."""
        for errand, since in list(self.left_alone.items()):
            if self.clock.seconds() >= since + self.linger:
                del self.left_alone[errand]
                self.forget(errand)

    def check(self, logged: list[Any]) -> None:
        """Check what holds at any time."""
        for errand in self.runs:
            is_stopped = bool(errand.asked)
            assert len(errand.asked) <= 1, "asked twice"
            assert not (is_stopped and self.waiters_of(errand)), "stopped, but still awaited"
            is_wanted = errand in self.keys.values() or errand.has_ended
            assert is_stopped or is_wanted, "neither wanted nor stopped"
        for asker in self.askers:
            assert asker.errand is not None
            assert len(asker.told) <= 1, "told twice"
            if asker.errand.has_ended:
                assert asker.told, "never told"
            elif asker.has_left and asker.told:
                assert asker.told[0].check(CancelledError)
            elif asker.has_left:
                assert asker.errand.asked and not self.linger, "held up for nothing"
            else:
                assert not asker.told, "told too early"
        assert all(each.check(RunError) for each in logged), "not our error"


KEYS = st.sampled_from(["year", "month"])
EVENTS = st.one_of(
    st.tuples(st.just("ask"), KEYS, st.booleans()),
    st.tuples(st.just("leave"), st.integers(0, 5)),
    st.tuples(st.just("end"), st.integers(0, 3), st.sampled_from(["fail", "page"])),
    st.tuples(st.just("advance"), st.sampled_from([1, 2, 6])),
)


class HistoryTests(SynchronousTestCase):
    """Random histories of a shared function."""

    @settings(
        max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.sampled_from([0, 2]), st.lists(EVENTS, max_size=14))
    def test_keep_the_promises(self, linger: int, events: list[tuple[Any, ...]]) -> None:
        """Each key has one run, stopped once and only if no caller waits; a caller is told once."""
        history = History(linger)
        for name, *args in events:
            action: Callable[..., object] = getattr(history, name)
            action(*args)
            history.check(self.flushLoggedErrors())
        for index in range(len(history.runs)):
            history.end(index, "page")
        history.check(self.flushLoggedErrors())
        self.assertEqual(history.clock.getDelayedCalls(), [])
        self.assertIn(" 0 running", repr(history.shared))
        for asker in history.askers:
            if not asker.has_left:
                self.assertTrue(
                    asker.told == ["page"] or isinstance(asker.told[0], Failure), asker.told
                )
