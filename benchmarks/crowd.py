"""What many clients who wait cost a server, and what happens when they all leave at once.

Numbers only. Each measurement has a server of its own, which has served nobody before. What a
contender has not done is an error here: nobody is credited with it.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

from attrs import frozen
from children import Clients, Server
from roster import ROSTER

A_PROCESS = 10_000
"""How many clients a process is filled with."""

SPARE = 100
"""File descriptors that a server needs for other things than clients."""


@frozen
class Memory:
    """What clients cost.

    Attributes:
        request: traced bytes that a waiting request takes, its connection not counted.
        connection: traced bytes that its connection takes, which has had one page before.
        stopped: how many were stopped when they left.
    """

    request: float
    connection: float
    stopped: int


@frozen
class Storm:
    """What came of it when all left at once.

    Attributes:
        seconds: until all their work was stopped.
        stall: seconds for which the event loop did nothing else.
        cpu: seconds of processor time that the server took until then.
        garbage: objects that only the garbage collector could free.
        resident: bytes of resident memory that a client took, all counted, before.
        stopped: how many were stopped.
    """

    seconds: float
    stall: float
    cpu: float
    garbage: int
    resident: float
    stopped: int


def measure_memory(name: str, clients: int) -> Memory:
    """See how much memory grows with the connections, and then with the requests."""
    with Server(name) as server:
        server.ask("trace")
        base = server.ask("traced")
        with crowd(server, clients) as processes:
            idle = server.ask("traced")
            wait(server, processes, clients)
            waiting = server.ask("traced")
        stopped = see_off(server, clients)
    return Memory(
        request=(waiting - idle) / clients,
        connection=(idle - base) / clients,
        stopped=stopped,
    )


def measure_storm(name: str, clients: int) -> Storm:
    """Keep the server from noticing until all have left."""
    with Server(name) as server:
        base = server.status()
        with crowd(server, clients) as processes:
            wait(server, processes, clients)
            full = server.status()
            server.ask("hold")
        start: int = server.ask("go")["at"]
        after = server.wait_for(lambda status: status["never"]["running"] == 0)
        garbage: int = server.ask("collect")
    return Storm(
        seconds=(after["never"]["last"] - start) / 1e9,
        stall=after["stall"] / 1e9,
        cpu=after["cpu"] - full["cpu"],
        garbage=garbage,
        resident=(full["resident"] - base["resident"]) / clients,
        stopped=after["never"]["cancelled"],
    )


@contextmanager
def crowd(server: Server, clients: int) -> Iterator[list[Clients]]:
    """Fill some processes with clients, who have one page each; they leave in the end."""
    with ExitStack() as stack:
        processes = []
        for size, number in zip(sizes(clients), count(1)):
            process = stack.enter_context(Clients())
            # An address for each, so that there are ports enough.
            process.begin("open", server.port, size, f"127.0.0.{number}")
            processes.append(process)
        for process in processes:
            process.answer()
        yield processes


def sizes(clients: int) -> list[int]:
    """How many clients each process gets."""
    full, rest = divmod(clients, A_PROCESS)
    return [A_PROCESS] * full + [rest] * bool(rest)


def wait(server: Server, processes: list[Clients], clients: int) -> None:
    """Have all wait for what never comes, and see that they do."""
    for process in processes:
        process.ask("wait")
    status = server.wait_for(lambda status: status["never"]["running"] >= clients)
    found = (status["soon"]["completed"], status["never"]["begun"])
    if found != (clients, clients):
        raise ChildProcessError(f"{server.name} has completed and begun {found}")


def see_off(server: Server, clients: int) -> int:
    """See all their work stopped, where the contender does that; returns how many were."""
    if ROSTER[server.contender].cancels:
        server.wait_for(lambda status: status["never"]["cancelled"] == clients)
    stopped: int = server.status()["never"]["cancelled"]
    return stopped


def possible(clients: int) -> int:
    """As many of these as the limit of file descriptors allows a server."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return clients if hard == resource.RLIM_INFINITY else min(clients, hard - SPARE)
