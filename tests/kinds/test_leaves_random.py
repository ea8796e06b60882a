"""Random work is cancelled at its leaves as Twisted itself would cancel it, and further.

What belongs here: the comparison with Twisted. What does not: what is reached on purpose
(`test_leaves`).
"""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, DeferredList, FirstError, gatherResults
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cancelweb._kinds.registry import canceller_for

from ._leaves import FIRED, Wait, coroutine, fired_on, yielding

Shape = tuple[Any, ...]
"""A tree of work: its kind, and what that is made of."""

LEAVES = st.sampled_from(["mute", "noting", "succeeding", "failing"])
KINDS = ["chained", "coroutine", "generator", "cleaning", "handling"]
LISTS = ["all", "gathered", "first result", "consuming"]


def larger(shapes: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    """Work that waits for work of the given shapes."""
    return st.one_of(
        st.tuples(st.sampled_from(KINDS), shapes),
        st.tuples(st.sampled_from(LISTS), st.lists(shapes, min_size=1, max_size=3).map(tuple)),
    )


TREES = st.recursive(st.tuples(LEAVES), larger, max_leaves=12)


class Tree:
    """Work of a random shape, and what becomes of it."""

    def __init__(self, shape: Shape) -> None:
        self.asked: list[int] = []
        self.made: list[Wait] = []
        self.work = self.build(shape)

    def build(self, shape: Shape) -> Wait:
        """Make work of a shape."""
        kind, parts = shape[0], shape[1:]
        if not parts:
            return self.leaf(kind)
        if kind in LISTS:
            return self.list_of(kind, [self.build(each) for each in parts[0]])
        inner = self.build(parts[0])
        match kind:
            case "chained":
                return fired_on(inner)
            case "coroutine":
                return coroutine(inner)
            case "generator":
                return yielding(inner)
            case "cleaning":
                return Deferred.fromCoroutine(self.clean_up(inner, self.leaf("noting")))
            case _:
                return inner.addErrback(lambda _: self.leaf("noting"))

    async def clean_up(self, inner: Wait, cleanup: Wait) -> Any:
        """A coroutine with a ``finally`` that waits."""
        try:
            return await inner
        finally:
            await cleanup

    def leaf(self, kind: str) -> Wait:
        """Work that waits for nothing else, and notes its cancel."""
        number = len(self.made)

        def canceller(deferred: Wait) -> None:
            self.asked.append(number)
            if kind == "succeeding":
                deferred.callback(number)
            elif kind == "failing":
                deferred.errback(KeyError(number))

        made: Wait = Deferred(None if kind == "mute" else canceller)
        self.made.append(made)
        return made

    def list_of(self, kind: str, members: list[Wait]) -> Wait:
        """A list of Twisted's of the given kind."""
        if kind == "gathered":
            return gatherResults(members, consumeErrors=True)
        make: Any = DeferredList
        made: Wait = make(members, fireOnOneCallback=kind == "first result", consumeErrors=True)
        return made

    def end(self) -> object:
        """End what still runs; returns the work's result in a form that can be compared."""
        for each in self.made:
            # New ones may be made meanwhile.
            if not each.called:
                each.callback("late")
        found: list[object] = []
        self.work.addBoth(lambda result: found.append(plain(result)))
        return found


def plain(result: object) -> object:
    """A result or failure, in a form that can be compared."""
    if isinstance(result, Failure):
        return type(result.value).__name__, plain(result.value)
    if isinstance(result, FirstError):
        return result.index, plain(result.subFailure)
    if isinstance(result, list | tuple):
        return [plain(each) for each in result]
    return str(result) if isinstance(result, BaseException) else result


class RandomTreeTests(SynchronousTestCase):
    """Random work that is cancelled by a canceller and, to compare, by Twisted."""

    @settings(max_examples=400, deadline=None)
    @given(TREES)
    def test_as_twisted(self, shape: Shape) -> None:
        """A canceller cancels the leaves of random work as Twisted does, each once."""
        ours, twisteds = Tree(shape), Tree(shape)
        canceller_for(ours.work).cancel()
        twisteds.work.cancel()
        self.assertEqual(ours.asked, twisteds.asked)
        self.assertEqual(len(set(ours.asked)), len(ours.asked))
        called = [[each.called for each in tree.made] for tree in (ours, twisteds)]
        self.assertEqual(called[0], called[1])
        self.assertEqual(ours.end(), twisteds.end())

    @settings(max_examples=200, deadline=None)
    @given(TREES, st.sampled_from(FIRED))
    def test_through_fired_lists(self, shape: Shape, fired: Callable[[Wait], Wait]) -> None:
        """Behind a fired list, a canceller cancels the leaves that Twisted cancels without it."""
        ours, twisteds = Tree(shape), Tree(shape)
        ours.work = fired(ours.work)
        canceller_for(ours.work).cancel()
        twisteds.work.cancel()
        self.assertEqual(ours.asked, twisteds.asked)
        self.assertEqual(ours.end(), twisteds.end())
