"""A pool on a real PostgreSQL, with psycopg 3 and with psycopg2: stopped in the server itself.

What belongs here: what the server's own list of sessions tells, and what only a server can do, such
as hitting the wrong query. What does not: what holds for every driver.
"""

import random
import threading
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import Request

from cancelweb import Ended, Outcome, cancel_on_disconnect
from cancelweb._drivers import PostgreSQL
from cancelweb.database import Committed, ConnectionPool

from ._inmemory import Client
from ._pages import PAGE, Page
from ._postgres import postgres

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

CLIENTS = 4
"""Those that query the pool at the same time."""


class Contract:
    """What holds for both drivers; a mixin, so that trial does not run it by itself."""

    driver: str
    timeout = 60

    def setUp(self: Any) -> None:
        self.server = postgres()
        self.name = f"{self.driver}-{self.id().rpartition('.')[2]}"
        self.pool = self.open()

    def open(self: Any, size: int = CLIENTS) -> ConnectionPool:
        """A pool of this test's own, as the server sees it."""
        pool = ConnectionPool(
            self.driver, self.server.dsn_of(self.name), cp_max=size, cp_reactor=reactor
        )
        pool.start()
        self.addCleanup(pool.close)
        return pool

    async def cancelled(self: Any, query: Deferred[Any]) -> None:
        """Cancel it, and wait until it has stopped."""
        query.cancel()
        with self.assertRaises(CancelledError):
            await query

    async def test_query_is_gone(self: Any) -> None:
        """When the Deferred fires, the server runs no query, and no transaction is open."""
        query = self.pool.runQuery("SELECT pg_sleep(60)")
        (session,) = await self.server.running(self.name)
        self.assertIn("pg_sleep", session.query)
        await self.cancelled(query)
        self.assertEqual(self.server.states(self.name), ["idle"])

    async def test_interaction_is_rolled_back(self: Any) -> None:
        """So it is in the middle of a transaction, of which nothing stays."""
        self.server.execute("CREATE TABLE IF NOT EXISTS t (n int)")
        self.addCleanup(self.server.execute, "DROP TABLE t")

        def interact(transaction: Any) -> None:
            transaction.execute("INSERT INTO t VALUES (1)")
            transaction.execute("SELECT pg_sleep(60)")

        for run in (self.pool.runInteraction, self.run_with_cursor):
            interaction = run(interact)
            await self.server.running(self.name)
            await self.cancelled(interaction)
            self.assertEqual(set(self.server.states(self.name)), {"idle"})
            self.assertEqual(self.server.execute("SELECT * FROM t"), [])

    def run_with_cursor(self: Any, interact: Any) -> Deferred[Any]:
        """The same by `runWithConnection`."""
        done: Deferred[Any] = self.pool.runWithConnection(
            lambda connection: interact(connection.cursor())
        )
        return done

    async def test_client_leaves(self: Any) -> None:
        """A handler's query is gone when the scope of its client, who has left, closes."""
        closed: Deferred[Outcome] = Deferred()

        async def handler(_: Request) -> bytes:
            await self.pool.runQuery("SELECT pg_sleep(60)")
            return PAGE

        decorate: Any = cancel_on_disconnect(observers=closed.callback)
        client = Client(Page(decorate(handler)), Clock())
        client.request()
        await self.server.running(self.name)
        client.disconnect()
        self.assertEqual((await closed).ended, Ended.STOPPED)
        self.assertEqual(self.server.states(self.name), ["idle"])

    async def test_timeout_of_the_server(self: Any) -> None:
        """That the server stops a statement by itself is an error like any other."""

        def interact(transaction: Any) -> None:
            transaction.execute("SET LOCAL statement_timeout = 10")
            transaction.execute("SELECT pg_sleep(60)")

        with self.assertRaisesRegex(Exception, "statement timeout"):
            await self.pool.runInteraction(interact)

    async def test_lost_connection(self: Any) -> None:
        """A connection that the server has closed is replaced by the next use of its thread."""
        self.pool = self.open(1)
        query = self.pool.runQuery("SELECT pg_sleep(60)")
        (session,) = await self.server.running(self.name)
        self.server.execute(f"SELECT pg_terminate_backend({session.pid})")
        with self.assertRaisesRegex(Exception, "terminat"):
            await query
        # The failed rollback, by adbapi.
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual(await self.pool.runQuery("SELECT 1"), [(1,)])

    async def test_random_moments(self: Any) -> None:
        """Of 500 queries cancelled at random moments none hits another: each gets its own rows."""
        counts = {"completed": 0, "cancelled": 0, "committed": 0}
        await DeferredList(
            [Deferred.fromCoroutine(self.hammer(client, 125, counts)) for client in range(CLIENTS)],
            fireOnOneErrback=True,
            consumeErrors=True,
        )
        self.assertEqual(sum(counts.values()), 500)
        self.assertGreater(counts["completed"], 0)
        self.assertGreater(counts["cancelled"], 0)
        self.assertEqual(set(self.server.states(self.name)), {"idle"})
        self.assertLessEqual(len(self.server.states(self.name)), CLIENTS)
        self.assertEqual(len(self.pool.connections), len(self.server.states(self.name)))

    async def hammer(self: Any, client: int, times: int, counts: dict[str, int]) -> None:
        """Cancel a query at a moment around its end, and look at the rows of the one after it."""
        for number in range(times):
            query = self.pool.runQuery("SELECT %s, pg_sleep(0.002)", (number,))
            canceller = reactor.callLater(random.uniform(0, 0.008), query.cancel)
            try:
                rows = await query
            except Committed as late:
                rows = late.result
                counts["committed"] += 1
            except CancelledError:
                rows = None
                counts["cancelled"] += 1
            else:
                canceller.cancel()
                counts["completed"] += 1
            if rows is not None:
                self.assertEqual(rows[0][0], number)
            own = (client, number)
            # It fails here if the cancel hits this one: with the server's "canceling statement".
            self.assertEqual(await self.pool.runQuery("SELECT %s, %s", own), [own])

    async def test_rollback_waits_for_the_cancel(self: Any) -> None:
        """While the driver's cancel is under way, the connection is not used, not even idle."""
        go_on, sent = threading.Event(), Deferred[None]()
        self.addCleanup(go_on.set)
        interrupt = PostgreSQL.interrupt

        def slow(adapter: PostgreSQL) -> None:
            interrupt(adapter)
            if not go_on.is_set():
                reactor.callFromThread(sent.callback, None)
                go_on.wait()

        self.patch(PostgreSQL, "interrupt", slow)
        query = self.pool.runQuery("SELECT pg_sleep(60)")
        await self.server.running(self.name)
        query.cancel()
        await sent
        while "active" in self.server.states(self.name):
            await deferLater(reactor, 0.002)
        # More than enough for a rollback.
        for _ in range(20):
            states = self.server.states(self.name)
            self.assertEqual(states, ["idle in transaction (aborted)"])
            await deferLater(reactor, 0.002)
        self.assertNoResult(query)
        go_on.set()
        with self.assertRaises(CancelledError):
            await query
        self.assertEqual(self.server.states(self.name), ["idle"])


class PsycopgTests(Contract, TestCase):
    """With psycopg 3."""

    driver = "psycopg"


class Psycopg2Tests(Contract, TestCase):
    """With psycopg2."""

    driver = "psycopg2"
