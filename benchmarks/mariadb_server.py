"""A MariaDB of a program's own, on a socket in a directory that the program makes.

Does not know what the program asks it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pymysql
from attrs import frozen

INSTALL = ("--auth-root-authentication-method=normal", "--skip-test-db")
SERVE = ("--skip-networking", "--innodb-flush-log-at-trx-commit=0")
LONGEST_START = 30


@frozen
class Server:
    """A server that runs.

    Attributes:
        options: how to connect to its only database, as a driver takes them.
    """

    options: dict[str, Any]
    _process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, directory: Path) -> Server:
        """Start a server, and make a database.

        Raises:
            SystemExit: MariaDB is not installed.
        """
        run = ["--no-defaults", f"--datadir={directory / 'data'}"]
        if os.getuid() == 0:
            run.append("--user=root")
        install = [_program("mariadb-install-db"), *run, *INSTALL]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
        options = {"unix_socket": str(directory / "socket"), "user": "root"}
        serve = [_program("mariadbd"), *run, *SERVE, f"--socket={options['unix_socket']}"]
        with (directory / "log").open("w") as log:
            process = subprocess.Popen(serve, stdout=log, stderr=log)
        started = cls({**options, "database": "benchmark"}, process)
        started._make_database(options)
        return started

    def stop(self) -> None:
        """Stop the server."""
        self._process.terminate()
        self._process.wait()

    def _make_database(self, options: dict[str, Any]) -> None:
        latest = time.monotonic() + LONGEST_START
        while True:
            try:
                with pymysql.connect(**options) as connection, connection.cursor() as cursor:
                    cursor.execute("CREATE DATABASE benchmark")
                return
            except pymysql.OperationalError:
                if self._process.poll() is not None or time.monotonic() > latest:
                    self.stop()
                    raise
                time.sleep(0.05)


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    return found or sys.exit(
        f"{name} is not installed: apt-get install mariadb-server-core mariadb-client-core"
    )
