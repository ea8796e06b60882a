"""Each of cancelweb's helpers begins nothing for a dead request.

What belongs here: loops that try again, with real threads, processes and databases, and an agent in
memory. What does not: what is cleanup, which `test_refusal` shows.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Outcome, Shared
from cancelweb.processes import run, stream
from cancelweb.threads import defer_to_thread
from cancelweb.upstream import CancellingAgent

from .._pages import Handler
from .._visits import Visit
from ..stoppable._databases import ENDLESS, DatabaseTestCase
from ._cleanups import LOOPS, UPDATES, Cleanups, Retries

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


def pause() -> Deferred[Any]:
    """Let a turn pass."""
    return deferLater(reactor, 0.001)


class NothingStartsTests(DatabaseTestCase):
    """Loops that catch Exception try again after their client has left."""

    async def outcome(self, handler: Handler, begun: Callable[[], object]) -> Outcome:
        """Leave as soon as something has begun, and return the outcome."""
        over: Deferred[Outcome] = Deferred()
        visit = Visit(handler, clock=reactor, observers=over.callback)
        while not begun():
            await pause()
        visit.disconnect()
        return await over

    async def test_queries(self) -> None:
        """A query that a disconnect has interrupted is not begun again."""
        for name in LOOPS:
            loop = getattr(Retries(self.query, pause), name)
            outcome = await self.outcome(loop, lambda: self.count_begun() > 0)
            self.assertEqual((name, self.count_begun()), (name, 1))
            self.assertEqual((name, outcome.ended.name), (name, "STOPPED"))
            self.seen.clear()

    async def test_interactions_and_connections(self) -> None:
        """After a disconnect, interactions and functions of a connection are not begun."""

        async def handler(_: object) -> None:
            with contextlib.suppress(CancelledError):
                await self.pool.runQuery(ENDLESS)
            for each in (self.pool.runInteraction, self.pool.runWithConnection):
                with contextlib.suppress(BaseException):
                    await each(self.seen.append)

        await self.outcome(handler, self.count_begun)
        self.assertEqual(self.count_begun(), 1)

    async def test_processes(self) -> None:
        """After a disconnect, a program that was run or streamed is not started again."""
        runs = Path(self.mktemp())
        command = ["sh", "-c", f"echo x >> {runs}; exec sleep 60"]

        async def read() -> None:
            async for _ in stream(command):
                pass

        for begin in (lambda: run(command), lambda: Deferred.fromCoroutine(read())):
            runs.write_text("")
            outcome = await self.outcome(Retries(begin, pause).loop, runs.read_text)
            self.assertEqual(runs.read_text(), "x\n")
            self.assertEqual(outcome.ended.name, "STOPPED")

    async def test_threads(self) -> None:
        """After a disconnect, a function is not called in a thread again."""
        calls: list[int] = []
        loop = Retries(lambda: defer_to_thread(calls.append, 1).addCallback(raising), pause).loop
        outcome = await self.outcome(loop, lambda: calls)
        count = len(calls)
        await pause()
        self.assertEqual((len(calls), outcome.ended.name), (count, "STOPPED"))

    def opened(self, connection: Any) -> None:
        """See `DatabaseTestCase`; also create the function that counts queries."""
        self.seen: list[object] = []
        connection.create_function("begun", 0, self.note)

    def note(self) -> int:
        """Called by the database."""
        self.seen.append(None)
        return 0

    def query(self) -> Deferred[Any]:
        """A query that ends only if it is interrupted."""
        query: Deferred[Any] = self.pool.runQuery(ENDLESS)
        return query

    def count_begun(self) -> int:
        """How many endless queries have begun."""
        return len(getattr(self, "seen", ()))


def raising(_: object) -> None:
    """Fail with an error after which a loop tries again."""
    raise ValueError


class CleanupStartsTests(DatabaseTestCase):
    """Cleanup in a database starts."""

    async def test_every_form(self) -> None:
        """Every form of cleanup does all its updates in a database."""
        for name, count in UPDATES.items():
            over: Deferred[Outcome] = Deferred()
            cleanups = Cleanups(self.update, pause)
            visit = Visit(getattr(cleanups, name), clock=reactor, observers=over.callback)
            visit.disconnect()
            await over
            await pause()  # What no code awaits may begin a turn later.
            self.assertEqual((name, len(await self.rows())), (name, count))
            await self.pool.runOperation("DELETE FROM t")

    def update(self) -> Deferred[Any]:
        """Write a row."""
        update: Deferred[Any] = self.pool.runOperation("INSERT INTO t VALUES (1)")
        return update


class Asked:
    """An agent that never answers, and notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def request(self, method: bytes, uri: bytes, *_: object) -> Deferred[Any]:
        """See `IAgent`."""
        self.asked.append(uri)
        return Deferred(lambda _: None)


class InMemoryTests(SynchronousTestCase):
    """Helpers that need no reactor."""

    def test_no_shared_run_starts(self) -> None:
        """After a disconnect, a loop begins no new shared run, but may join one that lingers."""
        for lingers in (False, True):
            for name in LOOPS:
                begun: list[Deferred[None]] = []
                clock = Clock()

                def function(into: list[Deferred[None]] = begun) -> Deferred[None]:
                    into.append(Deferred(lambda _: None))
                    return into[-1]

                shared = Shared(function, linger=3.0 * lingers, clock=clock)
                retries = Retries(shared, partial(deferLater, clock, 0.1))
                visit = Visit(getattr(retries, name), clock=clock)
                visit.disconnect()
                clock.pump([0.1] * 10)
                self.assertEqual((name, len(begun)), (name, 1))
                self.assertEqual((name, len(visit.outcomes)), (name, not lingers))
                if lingers:
                    begun[0].callback(None)
                    clock.pump([0.1] * 10)

    def test_nothing_starts(self) -> None:
        """After a disconnect, CancellingAgent does not send a dropped request again."""
        for name in LOOPS:
            asked = Asked()
            agent = CancellingAgent(asked)

            def begin(agent: CancellingAgent = agent) -> Deferred[Any]:
                return agent.request(b"GET", b"http://localhost/")

            clock = Clock()
            retries = Retries(begin, partial(deferLater, clock, 0.1))
            visit = Visit(getattr(retries, name), clock=clock)
            visit.disconnect()
            clock.pump([0.1] * 10)
            self.assertEqual((name, len(asked.asked)), (name, 1))
            self.assertEqual((name, visit.outcome.ended.name), (name, "STOPPED"))
