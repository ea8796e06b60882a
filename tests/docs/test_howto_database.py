"""The program of the how-to on databases: a retry that knows what was committed."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Disconnected, StartRefused
from cancelweb.database import Committed, MaybeCommitted

from .._docs import RETRY, run
from ..stoppable._databases import ENDLESS, DatabaseTestCase


class Pool:
    """Answers each query with the next of its outcomes, when the query is cancelled.

    None stands for a query that is done at once.
    """

    def __init__(self, *outcomes: BaseException | None) -> None:
        self._outcomes = list(outcomes)

    def runOperation(self, sql: str, arguments: tuple[Any, ...]) -> Deferred[None]:
        """Begin a query."""
        outcome = self._outcomes.pop(0)
        query: Deferred[None] = Deferred(lambda each: each.errback(outcome))
        if outcome is None:
            query.callback(None)
        return query


class RetryTests(SynchronousTestCase):
    """The loop of the how-to."""

    def save(self, *outcomes: BaseException | None) -> tuple[Deferred[None], int]:
        """Save an order, while each query takes too long; returns how many went unasked, too."""
        clock, pool = Clock(), Pool(*outcomes)
        saving = ensureDeferred(run(RETRY.read_text())["save"](pool, 1, clock))
        clock.pump([5] * len(outcomes))
        self.assertEqual(clock.getDelayedCalls(), [])
        return saving, len(pool._outcomes)

    def test_saved(self) -> None:
        """An order is tried again if nothing was written, and not if it is saved."""
        for outcomes, unasked in (
            ([None, None], 1),
            ([CancelledError(), None], 0),
            ([CancelledError(), Committed(None), None], 1),
        ):
            saving, left = self.save(*outcomes)
            self.assertIsNone(self.successResultOf(saving))
            self.assertEqual(left, unasked)

    def test_not_saved(self) -> None:
        """An order is not tried again if it may have been written, nor for a client that left."""
        for outcomes, error, unasked in (
            ([MaybeCommitted(), None], MaybeCommitted, 1),
            ([CancelledError(), StartRefused("refused", Disconnected()), None], StartRefused, 1),
            ([CancelledError(), CancelledError(), CancelledError(), None], TimeoutError, 1),
        ):
            saving, left = self.save(*outcomes)
            self.failureResultOf(saving, error)
            self.assertEqual(left, unasked)


class TimeoutTests(DatabaseTestCase):
    """A query with ``addTimeout``, in SQLite."""

    async def told(self, **options: Any) -> type:
        """The class of the error of a function that has committed, and then takes too long."""

        def commit_and_go_on(connection: Any) -> None:
            connection.execute("INSERT INTO t VALUES (1)")
            connection.commit()
            connection.execute(ENDLESS)

        clock, begun = Clock(), self.begun
        query = self.pool.runWithConnection(commit_and_go_on)
        query.addTimeout(5, clock, **options)
        await begun
        clock.advance(5)
        with self.assertRaises(Exception) as raised:
            await query
        return type(raised.exception)

    async def test_hides_what_was_committed(self) -> None:
        """``addTimeout`` alone gives a TimeoutError; with the how-to's function the class stays."""
        self.assertIs(await self.told(), DeferredTimeoutError)
        keep = run(RETRY.read_text())["keep"]
        self.assertIs(await self.told(onTimeoutCancel=keep), MaybeCommitted)
        self.assertEqual(await self.rows(), [(1,), (1,)])
