"""What PostgreSQL does with the query of a server process that was killed.

What belongs here: processes that have no chance to cancel anything. What does not: `cancelweb`'s
own cancelling.
"""

import sys
from typing import Any

from twisted.trial.unittest import TestCase

from ..._docs import DOCS
from ..._servers import LoggedProcess, reactor
from .._postgres import Session, postgres

SETTING = "client_connection_check_interval = '300ms'"
"""As the how-to has it."""

PROGRAM = """
import sys
from twisted.internet import reactor
from cancelweb.database import ConnectionPool

def init(connection):
    if sys.argv[2]:
        connection.execute("SET " + sys.argv[2])
        connection.commit()

pool = ConnectionPool("psycopg", sys.argv[1], cp_reactor=reactor, cp_openfun=init)
reactor.callWhenRunning(pool.runQuery, "SELECT pg_sleep(600)")
reactor.run()
"""


class KilledTests(TestCase):
    """Two killed programs that wait for a query, one of them with the setting."""

    timeout = 60

    def setUp(self) -> None:
        self.database = postgres()

    async def begin(self, name: str, setting: str) -> tuple[Any, Session]:
        """A program whose query is running."""
        process: Any = LoggedProcess()
        arguments = [sys.executable, "-c", PROGRAM, self.database.dsn_of(name), setting]
        reactor.spawnProcess(process, sys.executable, arguments, env=None)
        self.addCleanup(process.stop)
        [session] = await self.database.running(name)
        return process, session

    async def test_query_goes_on_unless_told_to_look(self) -> None:
        """PostgreSQL stops the query of a killed program only with the setting."""
        names = [f"{self.id()[-40:]}-{each}" for each in ("plain", "told")]
        begun = [
            await self.begin(name, setting)
            for name, setting in zip(names, ("", SETTING), strict=True)
        ]
        for process, session in begun:
            self.addCleanup(self.database.execute, f"SELECT pg_terminate_backend({session.pid})")
            process.transport.signalProcess("KILL")
        plain, told = names
        await self.database.gone(told)
        self.assertEqual(self.database.states(plain), ["active"])

    def test_the_docs_have_the_setting(self) -> None:
        """The how-to shows the setting that is tested."""
        self.assertIn(f"``{SETTING}``", (DOCS / "howto" / "database.rst").read_text())
