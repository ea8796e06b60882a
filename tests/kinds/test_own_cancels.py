"""What our own cancel leaves behind in the Deferreds of a request: no error for the log.

What belongs here: the failures that the members of lists and races keep to themselves. What does
not: those in templates (`test_own_cancels_pages`), and which failure is a cancellation at all
(`test_cancellations`).
"""

import gc
from collections.abc import Generator
from functools import partial
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    DeferredSemaphore,
    gatherResults,
    inlineCallbacks,
    maybeDeferred,
    race,
    succeed,
)
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Ended, current_scope

from .._pages import Handler
from ._own_cancels import Begin, OwnCancelTestCase, Wait, awaited, both, breaking, wait


def ended(results: object) -> bytes:
    """Make a page, whatever the work ended with."""
    return b"page"


@inlineCallbacks
def yielded(begin: Begin) -> Generator[Wait, Any, Any]:
    """A generator that begins work and waits for it."""
    return (yield begin())


def in_semaphore() -> Wait:
    """A list of work that has a semaphore, and of work that waits for it."""
    semaphore = DeferredSemaphore(1)
    return gatherResults([semaphore.run(wait), semaphore.run(wait)])


def listed(options: dict[str, bool], request: Request) -> Wait:
    """A handler that makes a page of whatever a DeferredList ended with."""
    make: Any = DeferredList
    page: Wait = make([wait(), both()], **options).addCallback(ended)
    return page


def returning(work: Wait) -> Begin:
    """A function that returns work which has begun before."""
    return lambda: work


def tracking(works: list[Wait], _: Request) -> int:
    """A handler that tracks works, the first of them first, and does not keep them."""
    while works:
        current_scope().track(works.pop(0))
    return NOT_DONE_YET


class OwnCancelOfAListIsNoErrorTests(OwnCancelTestCase):
    """The scope cancels a list, whose members keep the failure that the list has copied."""

    def test_gather_results(self) -> None:
        """Cancelled members of a returned `gatherResults` are logged as no error."""
        self.assert_quiet(lambda _: both())

    def test_deferred_lists(self) -> None:
        """Cancelled members of a DeferredList, whatever its options, are logged as no error."""
        for options in ({}, {"fireOnOneCallback": True}, {"consumeErrors": True}):
            found = self.leave(partial(listed, options))
            self.assertEqual((found, self.flushLoggedErrors()), (Ended.COMPLETED, []))
        self.assert_quiet(lambda _: DeferredList([wait(), both()], fireOnOneErrback=True))

    def test_around_a_list(self) -> None:
        """Cancelled members of a list are not errors, however deep in the result the list is."""
        handlers: list[Handler] = [
            lambda _: gatherResults([both(), gatherResults([both(), wait()])]),
            lambda _: awaited(both),
            lambda _: yielded(both),
            lambda _: maybeDeferred(awaited, both),
            lambda _: succeed(None).addCallback(lambda _: both()),
            lambda _: gatherResults([succeed(None).addCallback(lambda _: both())]),
            lambda _: race([both(), wait()]).addCallback(ended),
            lambda _: in_semaphore(),
        ]
        for handler in handlers:
            self.assert_quiet(handler)

    def test_tracked(self) -> None:
        """Cancelled members of a tracked list are not errors, whether they are tracked or not."""

        def handler(_: Request) -> int:
            scope = current_scope()
            scope.track(gatherResults([scope.track(wait()), scope.track(both())]))
            return NOT_DONE_YET

        self.assert_quiet(handler)

    def test_tracked_below(self) -> None:
        """Cancelled members of a list are not errors if the work they await is tracked, too."""
        for options in ({}, {"fireOnOneErrback": True}):
            inner = [wait(), wait()]
            make: Any = DeferredList
            members = [Deferred.fromCoroutine(awaited(each)) for each in map(returning, inner)]
            works = [make(members, **options), *inner]
            del members
            self.leave(partial(tracking, works))
            self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_member_that_takes_its_time(self) -> None:
        """A member of a list that fails a second after its cancel is logged as no error."""
        slow = self.slowly
        self.assert_quiet(lambda _: gatherResults([wait(), Deferred.fromCoroutine(slow())]), 1)

    def test_a_real_error(self) -> None:
        """The real error of a member of a cancelled list is logged."""
        self.leave(lambda _: gatherResults([wait(), breaking()]))
        self.logged_error(KeyError)

    def test_a_cancellation_that_is_not_ours(self) -> None:
        """A member of a list that its owner had cancelled before the scope did is logged."""

        def handler(_: Request) -> Wait:
            cancelled = wait()
            cancelled.cancel()
            members: Wait = DeferredList([cancelled, wait()], consumeErrors=False)
            return members.addCallback(ended)

        self.leave(handler)
        self.logged_error(CancelledError)

    def test_its_owner_sees_it(self) -> None:
        """Code that asks a member of a cancelled list later gets the CancelledError."""
        member = wait()
        self.visit(lambda _: gatherResults([member, wait()])).disconnect()
        self.failureResultOf(member, CancelledError)


class OwnCancelOfARaceIsNoErrorTests(OwnCancelTestCase):
    """Twisted fires the Deferred of a cancelled race before its members have ended."""

    def test_a_member_that_takes_its_time(self) -> None:
        """A cancelled race is one piece of stopped work, and a member that ends later no error."""
        slow = self.slowly
        self.assert_quiet(lambda _: race([Deferred.fromCoroutine(slow()), wait()]), 1)
        self.assertEqual(self.outcome.stopped, 1)

    def test_without_an_observer(self) -> None:
        """A member that outlives its cancelled race logs no error in a scope without observers."""
        slow = self.slowly
        self.visit(
            lambda _: race([Deferred.fromCoroutine(slow()), wait()]), observers=()
        ).disconnect()
        self.clock.advance(1)
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_member_that_comes_in(self) -> None:
        """A member of a race that makes a result of its cancel wins, and no error is logged."""
        first: Wait = Deferred(lambda deferred: deferred.callback("first"))
        told: list[object] = []
        self.leave(lambda _: race([first, wait()]).addCallback(told.append).addCallback(ended))
        self.assertEqual(told, [(0, "first")])
        self.assertEqual(self.flushLoggedErrors(), [])
