"""What a second server process gains: requests per second of two on one socket, relative to one.

Run it with `python benchmarks/processes.py`; it prints the table, and writes it for
`docs/explanation/second-process.rst`. `--help` lists its options. It needs Linux.

The servers are `twist cancelweb --listen systemd:...`, with one listening socket that this program
hands down to them, as a supervisor does. `processes_site` has the page, `processes_load` the
clients. The clients need a processor, too, and so may other programs. So the figure leaves out the
time in which a server waited for a processor: what a server answers in a second of a processor,
times the part of the time in which it had work, is what it serves with a processor to itself. The
figure is the sum of the servers. A server that has to wait for clients lowers it.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen
from processes_load import Crowd
from report import Spread, heading, spread, table, write

PROGRAM = "processes.py"
PLACE = Path(__file__).parents[1] / "docs" / "explanation" / "processes"
AT_LEAST = 1.7
"""How many times the requests of one process two must serve."""

EVERY = 0.02
"""Seconds between the arrivals of two clients."""

PATIENCE = 60.0
"""Seconds in which the servers must listen."""

HAND_DOWN = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.closerange(4, 256)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="web")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
"""Begins a server as systemd does: only the process itself knows its id."""

SERVER = (
    *("-m", "twisted", "--log-format=text", "cancelweb"),
    *("--listen", "systemd:domain=INET:name=web", "--class", "processes_site.Page"),
)

HEADER = (
    *("connections", "processes", "requests", "requests/s", "servers, CPU s", "clients, CPU s"),
    *("requests/s with a processor each", "relative to one", "answered by each", "busy"),
)


@frozen
class Used:
    """How a process has spent its time so far, in seconds (Documentation/scheduler/sched-stats).

    Attributes:
        computing: on a processor.
        waiting: for one, with something to do.
    """

    computing: float
    waiting: float

    @classmethod
    def of(cls, pid: int) -> Used:
        """What the kernel says about a process with one busy thread, the first."""
        computing, waiting, _ = map(int, Path(f"/proc/{pid}/schedstat").read_text().split())
        return cls(computing / 1e9, waiting / 1e9)


@frozen
class Share:
    """What one server has done in a measurement.

    Attributes:
        answered: how many requests it has answered.
        computing: its seconds on a processor.
        busy: the part of the time in which it computed or waited for a processor.
    """

    answered: int
    computing: float
    busy: float

    @classmethod
    def of(cls, answered: int, before: Used, after: Used, seconds: float) -> Share:
        """From how it has spent its time before and after."""
        computing = after.computing - before.computing
        busy = computing + after.waiting - before.waiting
        return cls(answered, computing, min(1, busy / seconds))

    @property
    def rate(self) -> float:
        """How many requests a second it serves with a processor to itself."""
        return self.busy * self.answered / self.computing if self.answered else 0.0


@frozen
class Run:
    """What was measured with some servers.

    Attributes:
        seconds: how long.
        shares: what each server has done.
        clients: the seconds of processors that the clients have used.
    """

    seconds: float
    shares: Sequence[Share]
    clients: float

    @property
    def requests(self) -> int:
        """How many requests were answered."""
        return sum(share.answered for share in self.shares)

    @property
    def rate(self) -> float:
        """How many requests a second they serve if each has a processor to itself."""
        return sum(share.rate for share in self.shares)


def main(arguments: Sequence[str]) -> None:
    """Measure, and print and write the table."""
    options = parse(arguments)
    options.directory.mkdir(exist_ok=True)
    rows, faults = [], []
    for name, keeps in ("kept", True), ("one for each request", False):
        rounds = [
            (measure(1, keeps, options), measure(2, keeps, options)) for _ in range(options.rounds)
        ]
        gain = Spread.of(two.rate / one.rate for one, two in rounds)
        rows += [row(name, "", [one for one, _ in rounds])]
        rows += [row(name, spread(gain, ".2f"), [two for _, two in rounds])]
        if gain.median < options.at_least:
            faults.append(f"{name}: two serve {gain.median:.2f} times as many as one")
    print(table(HEADER, rows))
    if faults:
        sys.exit("Not written, because of:\n" + "\n".join(faults))
    write(options.directory / "processes.csv", [HEADER, *rows])
    made = heading(PROGRAM, arguments).replace("`", "``")
    (options.directory / "made.txt").write_text(f"{made}\n")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])

    def add(option: str, default: object, help: str, **more: object) -> None:
        help += "; default: %(default)s"
        parser.add_argument(option, default=default, help=help, **more)  # type: ignore[arg-type]

    add("--clients", 32, "how many ask at once", type=int, metavar="N")
    add("--seconds", 4.0, "how long each measurement takes", type=float, metavar="S")
    add("--rounds", 5, "how often", type=int, metavar="N")
    add("--at-least", AT_LEAST, "what two must serve, by one", type=float, metavar="X")
    add("--directory", PLACE, "where to write", type=Path)
    return parser.parse_args(arguments)


def measure(processes: int, keeps: bool, options: argparse.Namespace) -> Run:
    """Have some processes serve a crowd."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=1024) as listening,
        servers(processes, listening) as pids,
    ):
        crowd = Crowd(listening.getsockname()[1], keeps)
        crowd.arrive(options.clients, EVERY)
        crowd.answered.clear()
        began, own, before = time.monotonic(), time.process_time(), [*map(Used.of, pids)]
        crowd.run(options.seconds)
        seconds, clients = time.monotonic() - began, time.process_time() - own
        after = [*map(Used.of, pids)]
        crowd.leave()
    shares = [
        Share.of(crowd.answered[pid], early, late, seconds)
        for pid, early, late in zip(pids, before, after, strict=True)
    ]
    return Run(seconds, shares, clients)


@contextmanager
def servers(processes: int, listening: socket.socket) -> Iterator[list[int]]:
    """Servers that share a socket, and are killed in the end; yields their ids."""
    started: list[subprocess.Popen[bytes]] = []
    with TemporaryDirectory(prefix="cancelweb-processes-") as directory:
        logs = [Path(directory, f"{number}.log") for number in range(processes)]
        try:
            started += [start(listening, log) for log in logs]
            for process, log in zip(started, logs, strict=True):
                await_readiness(process, log)
            yield [process.pid for process in started]
        finally:
            for process in started:
                process.kill()
                process.wait()


def start(listening: socket.socket, log: Path) -> subprocess.Popen[bytes]:
    """Start a server and hand the socket down to it."""
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-c", HAND_DOWN, f"{listening.fileno()}", *SERVER],
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[listening.fileno()],
            cwd=Path(__file__).parent,
        )


def await_readiness(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server takes connections."""
    end = time.monotonic() + PATIENCE
    while "Starting reactor" not in (text := log.read_text()):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"a server has not started:\n{text}")
        time.sleep(0.05)


def row(name: str, gain: str, runs: Sequence[Run]) -> Sequence[str]:
    """A row of the table: the sums or medians of some measurements."""
    requests, seconds = sum(run.requests for run in runs), sum(run.seconds for run in runs)
    shares = [sorted(run.shares, key=lambda share: -share.answered) for run in runs]
    of_each = [*zip(*shares, strict=True)]
    computing = sum(share.computing for each in of_each for share in each)
    return (
        name,
        f"{len(of_each)}",
        f"{requests:,}",
        f"{requests / seconds:,.0f}",
        f"{computing:.1f}",
        f"{sum(run.clients for run in runs):.1f}",
        f"{Spread.of(run.rate for run in runs).median:,.0f}",
        gain or "1",
        " and ".join(f"{sum(s.answered for s in each) / requests:.0%}" for each in of_each),
        " and ".join(f"{sum(s.busy for s in each) / len(each):.0%}" for each in of_each),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
