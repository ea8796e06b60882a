"""A real MariaDB for tests: one server for the whole process, and a look at what it does.

What belongs here: starting the server, and its own list of sessions. What does not: pools and
anything that is tested.
"""

import atexit
import os
import shutil
import subprocess
import tempfile
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attrs import define, frozen
from twisted.internet import reactor as _installed_reactor
from twisted.internet.task import deferLater

from .._programs import find_program, refusal

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

REMEDY = "apt-get install mariadb-server-core mariadb-client-core"
INSTALL = ("--auth-root-authentication-method=normal", "--skip-test-db")
SERVE = ("--skip-networking", "--innodb-flush-log-at-trx-commit=0", "--max-connections=60")
"""On a socket alone, and fast: nothing must survive a crash."""
LONGEST_START = 30


INSTALLS = {
    "pymysql": "pip install PyMySQL",
    "MySQLdb": "apt-get install gcc libmariadb-dev pkg-config, then pip install mysqlclient",
}


def need_mariadb(driver: str) -> None:
    """Skip a test, or fail in CI, unless the server and a driver's module are installed."""
    find_program("mariadbd", REMEDY, elsewhere="/usr/sbin")
    if find_spec(driver) is None:
        raise refusal(f"{driver} is not installed: {INSTALLS[driver]}")


@frozen
class Session:
    """A connection to the server, in its own words.

    Attributes:
        number: its number on the server.
        statement: what it runs; None if it is idle.
    """

    number: int
    statement: str | None


@define
class MariaDB:
    """A running server, on a socket in a directory of its own."""

    socket: Path
    _admin: Any

    @classmethod
    def start(cls) -> "MariaDB":
        """Start a server, which is stopped and deleted when this process exits."""
        directory = Path(tempfile.mkdtemp(prefix="cancelweb-mariadb-"))
        atexit.register(shutil.rmtree, directory)
        run = ["--no-defaults", f"--datadir={directory / 'data'}"]
        if os.getuid() == 0:
            run.append("--user=root")
        install = find_program("mariadb-install-db", REMEDY)
        subprocess.run([install, *run, *INSTALL], check=True, stdout=subprocess.DEVNULL)
        socket = directory / "socket"
        server = find_program("mariadbd", REMEDY, elsewhere="/usr/sbin")
        with (directory / "log").open("w") as log:
            serve = [server, *run, *SERVE, f"--socket={socket}"]
            process = subprocess.Popen([*_with_this_process(), *serve], stdout=log, stderr=log)
        atexit.register(_stop, process)
        return cls(socket, _connected(socket, process, directory / "log"))

    def options(self, name: str) -> dict[str, Any]:
        """What a driver needs to connect as an application of this name, with any port it likes."""
        self.execute(f"CREATE OR REPLACE USER '{name}'")
        self.execute(f"GRANT ALL ON test.* TO '{name}'")
        return {"unix_socket": str(self.socket), "user": name, "database": "test"}

    def sessions(self, name: str) -> list[Session]:
        """The sessions of this application, in the order of their numbers."""
        rows = self.execute(
            "SELECT id, IF(command = 'Sleep', NULL, info) FROM information_schema.processlist"
            f" WHERE user = '{name}' ORDER BY id"
        )
        return [Session(*row) for row in rows]

    async def running(self, name: str, text: str, number: int = 1) -> list[Session]:
        """Wait until so many sessions of this application run a statement with this text."""
        while True:
            active = [each for each in self.sessions(name) if text in (each.statement or "")]
            if len(active) >= number:
                return active
            await deferLater(reactor, 0.002)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement of the test itself, and return its rows, committed or not."""
        with self._admin.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


def _connected(socket: Path, process: subprocess.Popen[bytes], log: Path) -> Any:
    # Here, so that the modules of tests can be imported where the group of packages is missing.
    import pymysql

    latest = time.monotonic() + LONGEST_START
    while True:
        try:
            admin = pymysql.connect(unix_socket=str(socket), user="root", autocommit=True)
            break
        except pymysql.OperationalError:
            if process.poll() is not None or time.monotonic() > latest:
                raise AssertionError(f"MariaDB has not started:\n{log.read_text()}") from None
            time.sleep(0.05)
    atexit.register(admin.close)
    with admin.cursor() as cursor:
        cursor.execute("CREATE DATABASE test")
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
    return admin


def _with_this_process() -> list[str]:
    # `atexit` calls nothing in a process that is killed.
    return [find_program("setpriv", "apt-get install util-linux"), "--pdeathsig", "KILL"]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()


@cache
def mariadb() -> MariaDB:
    """The server of this process."""
    return MariaDB.start()
