"""Kinds of work that a user has taught, by class and by interface.

What belongs here: what `ICancellable` promises to its implementers. What does not: cancellers
that break their own promises.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import LogLevel
from twisted.python.components import registerAdapter
from zope.interface import Interface, implementer, verify

from cancelweb import Ended, ICancellable, Scope, current_scope, scope_of
from cancelweb.testing import Connection

from .._logs import log_events, of_cancelweb
from .._pages import PAGE
from ..scopes._tracking import Query, TrackingTestCase


@implementer(ICancellable)
@define(eq=False)
class Delegating:
    """Work that passes on what it is asked to another canceller."""

    canceller: Any

    def cancel(self) -> None:
        self.canceller.cancel()

    def when_settled(self) -> Deferred[Any]:
        settled: Deferred[Any] = self.canceller.when_settled()
        return settled


@define(eq=False)
class Job:
    """Work of a user's own kind, which knows nothing about cancelweb."""

    query: Query = Factory(Query)


class IJob(Interface):
    """An interface of a user's own."""


@implementer(IJob)
class NamedJob:
    """Work that is known by its interface."""

    def __init__(self) -> None:
        self.query = Query()


registerAdapter(lambda job: job.query, Job, ICancellable)
registerAdapter(lambda job: job.query, IJob, ICancellable)


class OwnKindTests(TrackingTestCase):
    """Kinds of work that a user has taught."""

    def assert_contract(self, make: Callable[[Query], object]) -> None:
        """Work that is made so and returned stops once, answers with its result, and may fail."""
        for connection, query in [self.visit_own(make) for _ in range(2)]:
            connection.disconnect()
            self.assertEqual(query.cancels, 1)
        connection, query = self.visit_own(make)
        query.settled.callback(PAGE)
        self.assertEqual(connection.response.body, PAGE)
        connection, query = self.visit_own(make)
        query.settled.errback(KeyError())
        self.assert_failed(connection, KeyError)
        ended = [each.ended for each in self.outcomes]
        self.assertEqual(ended, [Ended.STOPPED, Ended.STOPPED, Ended.COMPLETED, Ended.FAILED])

    def visit_own(self, make: Callable[[Query], object]) -> tuple[Connection, Query]:
        """Visit a page that returns the work made of a new query."""
        query = Query()
        return self.visit(lambda _: make(query)), query

    def test_interface_declares(self) -> None:
        """The tests' `Query` provides `ICancellable`."""
        verify.verifyObject(ICancellable, Query())

    def test_cancellable(self) -> None:
        """A handler may return work that provides `ICancellable`, without an adapter."""
        self.assert_contract(lambda query: query)

    def test_by_class(self) -> None:
        """A handler may return work whose class has an adapter."""
        self.assert_contract(Job)

    def test_by_interface(self) -> None:
        """A handler may return work that provides an interface with an adapter."""

        def make(query: Query) -> object:
            job = NamedJob()
            job.query = query
            return job

        self.assert_contract(make)

    def test_subclass(self) -> None:
        """A handler may return work of a subclass of a class with an adapter."""

        class Special(Job):
            pass

        self.assert_contract(Special)

    def test_made_of_a_known_kind(self) -> None:
        """Work of a user's own kind may delegate to the canceller of a known kind."""
        knowns = [Deferred[bytes](), self.coroutine(), self.clock.callLater(1, self.fail)]
        for known in knowns:
            self.visit(partial(self.delegating, known)).disconnect()
        self.assertEqual([each.ended for each in self.outcomes], [Ended.STOPPED] * 3)

    def delegating(self, known: object, _: object) -> object:
        """Work that delegates to the canceller of known work."""
        return Delegating(ICancellable(known))

    def test_stands_for_a_known_kind(self) -> None:
        """An adapter of a user's own kind may return the canceller of a known kind."""
        call = self.clock.callLater(1, self.fail)
        job: Any = Job()
        job.query = ICancellable(call)
        self.visit(lambda _: job).disconnect()
        self.assertFalse(call.active())
        self.assertEqual(self.outcome.ended, Ended.STOPPED)

    async def coroutine(self) -> bytes:
        """A coroutine that waits forever."""
        return await Deferred[bytes]()

    def test_tracked_and_returned(self) -> None:
        """Work that is its own canceller, tracked and then returned, is one piece of work."""
        connection, query = self.visit_own(lambda query: current_scope().track(query))
        query.settled.callback(PAGE)
        self.assertEqual(connection.response.body, PAGE)
        connection, query = self.visit_own(lambda query: current_scope().track(query))
        connection.disconnect()
        self.assertEqual(query.cancels, 1)
        self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED, Ended.STOPPED])

    def test_tracked_twice(self) -> None:
        """Work that is tracked twice, before its cancel or after it, is asked to stop once."""

        class Slow(Query):
            def cancel(self) -> None:
                self.cancels += 1

        events, work = log_events(self), Slow()
        connection = self.track(work, work)
        scope = scope_of(self.request)
        connection.disconnect()
        scope.track(work)
        self.assertEqual(work.cancels, 1)
        self.clock.advance(5)
        self.assertEqual(len(of_cancelweb(events, LogLevel.warn)), 1)
        scope.track(work)
        work.settled.callback(None)
        self.assertEqual(self.outcome.ended, Ended.SURVIVED)

    def test_returned_and_tracked(self) -> None:
        """Work that is tracked after it was returned is asked to stop once."""
        scopes: list[Scope] = []
        work = Query()

        def handler(request: object) -> object:
            scopes.append(current_scope())
            return work

        connection = self.visit(handler)
        scopes[0].track(work)
        connection.disconnect()
        self.assertEqual((work.cancels, self.outcome.ended), (1, Ended.STOPPED))

    def test_begun_anew(self) -> None:
        """A loop that was stopped, was started anew and is tracked again is stopped again."""
        loop = LoopingCall(str)
        loop.clock = self.clock
        loop.start(1)
        connection = self.track(loop)
        scope, never = scope_of(self.request), Deferred[None]()
        # It is asked, and the scope goes on waiting.
        scope.track(never.addErrback(lambda _: Deferred()))
        connection.disconnect()
        loop.start(1)
        scope.track(loop)
        self.assertFalse(loop.running)

    def test_result_is_taken_as_a_deferreds(self) -> None:
        """A result of work of a user's own kind may be further work, which answers."""
        query = Query()
        inner: Deferred[bytes] = Deferred()
        connection = self.visit(lambda _: query)
        query.settled.callback(inner)
        inner.callback(PAGE)
        self.assertEqual(connection.response.body, PAGE)

    def test_unknown(self) -> None:
        """To track an object without a canceller is a TypeError that says how to register one."""
        connection = self.track()
        with self.assertRaises(TypeError) as raised:
            scope_of(self.request).track(object())
        self.assertEqual(
            str(raised.exception).partition(": ")[2],
            "no canceller is registered for object. Register one: "
            "twisted.python.components.registerAdapter(YourCanceller, object, "
            "cancelweb.ICancellable)",
        )
        connection.disconnect()

    def test_context(self) -> None:
        """The ``cancel`` of a canceller runs with the request's scope as the current scope."""
        found: list[object] = []

        class Finding(Query):
            def cancel(self) -> None:
                found.append(current_scope().request)
                super().cancel()

        connection = self.track(Finding())
        connection.disconnect()
        self.assertEqual(found, [self.request])
