"""What a function in a pool's thread can still do after its cancel: nothing.

What belongs here: statements after the cancelled one, and cursors that are left. What does not: the
one that the cancel stops.
"""

import contextlib
import sqlite3
from itertools import count
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred

from ._databases import ENDLESS, DatabaseTestCase

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class FurtherTests(DatabaseTestCase):
    """What a function does after its cancel."""

    async def test_no_further_statement(self) -> None:
        """After its cancel, a transaction or a connection begins no further statement."""
        seen: list[type[BaseException]] = []

        def use(given: Any) -> None:
            with contextlib.suppress(sqlite3.OperationalError):
                given.execute(ENDLESS)
            for name in ("execute", "cursor", "fetchone"):
                try:
                    getattr(given, name)()
                except BaseException as error:
                    seen.append(type(error))
            given.execute("INSERT INTO t VALUES (1)")

        for run in (self.pool.runInteraction, self.pool.runWithConnection):
            begun = self.begun
            using = run(use)
            await begun
            using.cancel()
            with self.assertRaises(CancelledError):
                await using
        self.assertEqual(seen, [CancelledError] * 6)
        self.assertEqual(await self.rows(), [])

    async def test_many_short_statements(self) -> None:
        """A loop of statements too short to be interrupted is stopped by a cancel."""
        begun: Deferred[None] = Deferred()

        def use(connection: Any) -> None:
            cursor = connection.cursor()
            reactor.callFromThread(begun.callback, None)
            cursor.executemany("INSERT INTO t VALUES (?)", zip(count()))

        using = self.pool.runWithConnection(use)
        await self.assert_rolled_back(using, begun)

    async def test_half_read_cursor(self) -> None:
        """A cursor that a cancelled function leaves half read keeps no lock."""
        kept: list[sqlite3.Cursor] = []

        def use(connection: Any) -> None:
            connection.execute("INSERT INTO t VALUES (1)")
            kept.append(connection.execute("SELECT 1 UNION SELECT 2"))
            kept[0].fetchone()
            connection.execute(ENDLESS)

        begun = self.begun
        using = self.pool.runWithConnection(use)
        await self.assert_rolled_back(using, begun)
        other = sqlite3.connect(self.path, timeout=0)
        self.addCleanup(other.close)
        with other:
            other.execute("INSERT INTO t VALUES (2)")
        self.assertEqual(await self.rows(), [(2,)])
