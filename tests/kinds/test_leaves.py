"""A cancel reaches what a Deferred waits for, through chains, lists, coroutines and generators.

What belongs here: what is reached, how often, and that a scope stops it. What does not: what the
scope makes of it then.
"""

from collections.abc import Callable, Generator
from functools import partial
from itertools import pairwise
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    FirstError,
    gatherResults,
    inlineCallbacks,
    succeed,
)
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase

import cancelweb._kinds.leaves as walk
from cancelweb import Ended, current_scope
from cancelweb._kinds.deferred_kinds import DeferredCanceller
from cancelweb._kinds.leaves import leaves
from cancelweb._kinds.registry import canceller_for
from cancelweb._twisted import drivers

from .._logs import log_events, of_cancelweb
from .._pages import Handler, returning
from .._visits import Visit
from ._leaves import AROUND, FIRED, Wait, coroutine, fired_on, gathered, yielding


class LeafTestCase(SynchronousTestCase):
    """A test with Deferreds that note when they are cancelled."""

    def setUp(self) -> None:
        self.asked: list[str] = []

    def leaf(self, name: str = "leaf") -> Wait:
        """A Deferred that notes its cancel under this name."""
        return Deferred(lambda _: self.asked.append(name))

    def cancel(self, work: object) -> Wait:
        """Cancel work as a scope does; returns its Deferred."""
        canceller = canceller_for(work)
        assert isinstance(canceller, DeferredCanceller)
        canceller.cancel()
        return canceller.deferred

    def assert_cancelled(self, deferred: Wait) -> None:
        """The Deferred has failed with a cancellation, plain or that of a list's member."""
        failure = self.failureResultOf(deferred)
        while isinstance(failure.value, FirstError):
            failure = failure.value.subFailure
        self.assertIsInstance(failure.value, CancelledError)


class FiredListTests(LeafTestCase):
    """A `DeferredList` that has fired and been chained on more work (Twisted ticket 7856)."""

    def test_is_followed(self) -> None:
        """A cancel reaches what a fired list's callback waits for, wherever the list is found."""
        for around in AROUND:
            for fired in FIRED:
                self.asked.clear()
                work = self.cancel(around(fired(self.leaf())))
                self.assert_cancelled(work)
                self.assertEqual(self.asked, ["leaf"], (around, fired))

    def test_in_a_list(self) -> None:
        """A cancel of a list reaches what a member waits for behind a list that has fired."""
        for fired in FIRED:
            self.asked.clear()
            inner = gathered(fired(self.leaf()))
            outer = gatherResults([inner, self.leaf("beside")], consumeErrors=True)
            self.assert_cancelled(self.cancel(outer))
            self.assertEqual(self.asked, ["leaf", "beside"])

    def test_members_of_a_fired_list_are_left_alone(self) -> None:
        """A cancel does not reach the members of a list that has fired and has its result."""
        beside = self.leaf("beside")
        won: Wait = DeferredList([succeed(1), beside], fireOnOneCallback=True)
        self.cancel(won.addCallback(lambda _: self.leaf()))
        self.assertEqual(self.asked, ["leaf"])
        won.addErrback(lambda _: None)

    def test_when_the_client_leaves(self) -> None:
        """What waits behind a fired list stops with the client, returned, nested or awaited."""
        for around in AROUND:
            self.asked.clear()
            visit = Visit(returning(around(gathered(self.leaf()))))
            visit.disconnect()
            self.assertEqual(self.asked, ["leaf"], around)
            self.assertEqual(visit.outcome.ended, Ended.STOPPED)


class ChainTests(LeafTestCase):
    """Chains of Deferreds, of any length."""

    def nested(self, length: int) -> Wait:
        """A chain that was built from the inside, which ends at a leaf."""
        deferred = self.leaf()
        for _ in range(length):
            deferred = fired_on(deferred)
        return deferred

    def taking(self, following: Wait, _: object) -> Wait:
        """Wait for the next link of a chain."""
        return following

    def outside_in(self, length: int) -> Wait:
        """A chain that was built from the outside, each link when the one before it fires."""
        links: list[Wait] = [Deferred() for _ in range(length)]
        for link, following in pairwise([*links, self.leaf()]):
            link.addCallback(partial(self.taking, following))
        for link in links:
            link.callback(None)
        return links[0]

    def test_stop(self) -> None:
        """A cancel reaches the end of chains of 1,500 and of 100,000 links, without recursion."""
        for build in self.nested, self.outside_in:
            for length in 1_500, 100_000:
                self.asked.clear()
                self.assert_cancelled(self.cancel(build(length)))
                self.assertEqual(self.asked, ["leaf"])

    def test_when_the_client_leaves(self) -> None:
        """The work at the end of a chain of 1,500 Deferreds stops with the client."""
        visit = Visit(lambda _: self.nested(1_500))
        visit.disconnect()
        self.assertEqual((self.asked, visit.outcome.ended), (["leaf"], Ended.STOPPED))

    def test_a_deferred_that_waits_for_itself(self) -> None:
        """A Deferred that waits for itself has no leaf, and the search comes to an end."""
        circle: Wait = succeed(None)
        circle.addCallback(lambda _: circle)
        self.assertEqual(leaves(circle, set()), [])
        self.assertEqual(len(self.flushWarnings()), 1)


class OwnCancelTests(LeafTestCase):
    """A Deferred that has its own method ``cancel``."""

    def shielding(self) -> type[Wait]:
        """A class whose Deferreds note a cancel, and do nothing else."""
        asked = self.asked

        class Shielding(Deferred[Any]):
            def cancel(self) -> None:
                asked.append("own")

        return Shielding

    def test_own_cancel_of_a_subclass(self) -> None:
        """A subclass's own ``cancel`` is called, before it has fired and when it waits for more."""
        waits, chained = self.shielding()(), self.shielding()()
        chained.callback(None)
        chained.addCallback(lambda _: self.leaf())
        self.cancel(coroutine(waits))
        self.cancel(fired_on(chained))
        self.assertEqual(self.asked, ["own", "own"])

    def test_own_cancel_of_what_is_over(self) -> None:
        """A subclass's own ``cancel`` is not called once the Deferred has its result."""
        over = self.shielding()()
        over.callback(None)
        self.cancel(over)
        self.assertEqual(self.asked, [])

    def test_own_cancel_of_an_instance(self) -> None:
        """A ``cancel`` that only one Deferred has is called in place of its canceller."""
        deferred: Any = self.leaf()
        deferred.cancel = lambda: self.asked.append("own")
        self.cancel(gatherResults([deferred]))
        self.assertEqual(self.asked, ["own"])


class SharedTests(LeafTestCase):
    """Deferreds that are reached in more than one way."""

    def test_member_of_two_lists(self) -> None:
        """A member that two lists share is cancelled once, in its first place."""
        shared = self.leaf("shared")
        lists = [
            gatherResults([self.leaf("a"), shared], consumeErrors=True),
            gatherResults([shared, self.leaf("b")], consumeErrors=True),
        ]
        self.assert_cancelled(self.cancel(gatherResults(lists, consumeErrors=True)))
        self.assertEqual(self.asked, ["a", "shared", "b"])
        for each in lists:
            each.addErrback(lambda _: None)

    def test_reached_by_another_cancel(self) -> None:
        """A leaf that another leaf's canceller has cancelled is not cancelled in its cleanup."""
        second = self.leaf("second").addErrback(lambda _: self.leaf("cleanup"))

        def canceller(_: object) -> None:
            self.asked.append("first")
            second.cancel()

        both = gatherResults([Deferred(canceller), second], consumeErrors=True)
        self.assert_cancelled(self.cancel(both))
        self.assertEqual(self.asked, ["first", "second"])

    def test_own_cancel_reached_by_another(self) -> None:
        """A fired Deferred with its own ``cancel`` is not cancelled again in its cleanup."""
        wait = self.leaf("wait").addErrback(lambda _: self.leaf("cleanup"))

        class Passing(Deferred[Any]):
            def cancel(self) -> None:
                super().cancel()

        chained: Wait = Passing()
        chained.callback(None)
        chained.addCallback(lambda _: wait)
        first: Wait = Deferred(lambda _: wait.cancel())
        self.assert_cancelled(self.cancel(gatherResults([first, chained], consumeErrors=True)))
        self.assertEqual(self.asked, ["wait"])

    def test_reached_by_other_work_of_the_batch(self) -> None:
        """A Deferred for which three works of a batch wait is cancelled once, by the first."""
        wait = self.leaf()
        # The coroutine is told about the failure first, and takes it away from the others.
        awaited, chained = coroutine(wait), fired_on(wait)
        works = [canceller_for(each) for each in (chained, awaited, wait)]
        reached: set[int] = set()
        for work in works:
            work.reach(reached)
        for work in reversed(works):
            self.assertEqual(self.asked, [])
            work.cancel()
        # Only the first had something to ask.
        self.assertEqual(self.asked, ["leaf"])
        self.assert_cancelled(awaited)
        self.assertIsNone(self.successResultOf(chained))

    def test_costs_linear_time(self) -> None:
        """A batch of works that wait for one long chain is searched once."""
        chain = [self.leaf()]
        for _ in range(20_000):
            chain.append(fired_on(chain[-1]))
        reached: set[int] = set()
        found = [leaves(each, reached) for each in chain]
        self.assertEqual((found[0], found[1:]), ([chain[0]], [[]] * 20_000))
        self.assertEqual(len(reached), len(chain))

    def test_cancelled_again(self) -> None:
        """A second cancel, outside a batch, reaches what the work waits for by then."""

        async def stubborn() -> None:
            try:
                await self.leaf("work")
            finally:
                await self.leaf("cleanup")

        canceller = canceller_for(stubborn())
        for expected in ["work"], ["work", "cleanup"]:
            canceller.cancel()
            self.assertEqual(self.asked, expected)
        assert isinstance(canceller, DeferredCanceller)
        self.assert_cancelled(canceller.deferred)


class FinallyTests(LeafTestCase):
    """A ``finally`` that waits, in work that awaits other work of its scope."""

    def setUp(self) -> None:
        super().setUp()
        self.begun: Wait = Deferred()
        self.cleaned: Wait = Deferred(lambda _: self.asked.append("cut"))

    @inlineCallbacks
    def generator(self) -> Generator[Wait, Any, None]:
        """A generator that waits for work which is tracked later, and for its cleanup."""
        yield self.begun
        try:
            yield current_scope().track(self.leaf())
        finally:
            yield self.cleaned

    async def child(self) -> None:
        """A coroutine that waits for tracked work behind a fired list, and for its cleanup."""
        await self.begun
        try:
            await current_scope().track(gathered(self.leaf()))
        finally:
            await self.cleaned

    def assert_asked_once(self, handler: Handler) -> None:
        """The leaf is cancelled once, and the wait of the cleanup is not cut short."""
        visit = Visit(handler)
        self.begun.callback(None)
        visit.disconnect()
        self.assertEqual((self.asked, visit.outcomes), (["leaf"], []))
        self.cleaned.callback(None)
        self.assertEqual((self.asked, visit.outcome.ended), (["leaf"], Ended.STOPPED))

    def tracking(self, *works: Callable[[], Any]) -> Handler:
        """A handler that tracks work and waits for something else."""

        async def handler(request: object) -> None:
            for work in works:
                current_scope().track(work())
            await Deferred[None]()

        return handler

    def test_finally_of_a_generator(self) -> None:
        """The cleanup of a tracked generator that awaits later tracked work is not cut short."""
        self.assert_asked_once(self.tracking(self.generator))

    def test_finally_behind_a_fired_list(self) -> None:
        """The cleanup of a tracked coroutine that awaits work behind a list is not cut short."""
        self.assert_asked_once(self.tracking(self.child))

    def test_finally_of_what_was_returned(self) -> None:
        """The cleanup of a returned generator that awaits later tracked work is not cut short."""
        self.assert_asked_once(lambda _: self.generator())


class FaultTests(LeafTestCase):
    """Cancellers that fail, and coroutines that cannot be cancelled now."""

    def raising(self, _: object) -> None:
        """A canceller that raises."""
        raise KeyError("the canceller's")

    def test_canceller_raises(self) -> None:
        """A canceller that raises is logged by its name, and its siblings are cancelled."""
        events = log_events(self)
        broken: Wait = Deferred(self.raising)
        members = [self.leaf("a"), broken, self.leaf("b")]
        self.assert_cancelled(self.cancel(gatherResults(members, consumeErrors=True)))
        self.assertEqual(self.asked, ["a", "b"])
        (event,) = of_cancelweb(events)
        line = self.raising.__code__.co_firstlineno
        self.assertEqual(
            formatEvent(event),
            f"the canceller FaultTests.raising at {__file__}:{line} failed",
        )
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertFalse(broken.called)

    def test_own_cancel_raises(self) -> None:
        """A subclass's own ``cancel`` that raises is logged by its name."""

        class Broken(Deferred[None]):
            def cancel(self) -> None:
                raise KeyError

        events = log_events(self)
        self.cancel(Broken())
        (event,) = of_cancelweb(events)
        self.assertRegex(formatEvent(event), r"^the canceller .*Broken\.cancel failed$")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_on_the_stack(self) -> None:
        """A running coroutine or generator has no leaf, since a cancel would be lost on it."""
        found: list[list[Wait]] = []

        async def running() -> None:
            await begun
            found.append(leaves(works[0], set()))

        @inlineCallbacks
        def generating() -> Generator[Wait, Any, None]:
            yield begun
            found.append(leaves(works[1], set()))

        begun: Wait = Deferred()
        works = [Deferred.fromCoroutine(running()), generating()]
        begun.callback(None)
        self.assertEqual(found, [[], []])


class PrivateNamesTests(LeafTestCase):
    """A Twisted without the private names that the search for leaves uses."""

    def test_no_driver(self) -> None:
        """Without the private state of coroutines, a cancel goes to the outer Deferred."""
        self.patch(drivers, "_DRIVER", None)
        for work in coroutine(self.leaf()), yielding(self.leaf()):
            self.asked.clear()
            self.assertEqual(leaves(work, set()), [work])
            self.assert_cancelled(self.cancel(work))
            self.assertEqual(self.asked, ["leaf"])

    def test_no_members(self) -> None:
        """Without the private members of lists, a cancel goes to the list that has not fired."""
        self.patch(walk, "members_of", lambda _: None)
        work = gatherResults([self.leaf("a"), self.leaf("b")], consumeErrors=True)
        self.assertEqual(leaves(work, set()), [work])
        self.assert_cancelled(self.cancel(work))
        self.assertEqual(self.asked, ["a", "b"])

    def test_a_variable_without_value(self) -> None:
        """A Deferred whose canceller has a closure with an unset variable is a leaf."""

        def canceller(_: object) -> None:
            self.asked.append(never)

        work: Wait = Deferred(canceller)
        self.assertEqual(leaves(work, set()), [work])
        never = "set now"
        self.assert_cancelled(self.cancel(work))
        self.assertEqual(self.asked, [never])
