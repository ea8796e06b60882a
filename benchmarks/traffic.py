"""How much a server gets through, and how soon it hears that a client has left.

Numbers only. What a contender has not done is an error here: nobody is credited with it.
"""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen
from children import Clients, Server
from load import NEVER, connect, exchange


@frozen
class Throughput:
    """What a server got through.

    Attributes:
        per_second: requests in a second.
        per_cpu_second: requests in a second of the server's own processor time.
        busy: which part of the time the server's processor time was.
        delayed: for which part of the time it could run, but others had all processors.
        share: which part of the time that of the clients was.
    """

    per_second: float
    per_cpu_second: float
    busy: float
    delayed: float
    share: float


@frozen
class Latency:
    """Microseconds from a client's close to its work's cancellation, at two percentiles."""

    p50: float
    p99: float

    @classmethod
    def of(cls, taken: list[float]) -> Latency:
        """The percentiles of two or more."""
        percentiles = statistics.quantiles(taken, n=100, method="inclusive")
        return cls(percentiles[49], percentiles[98])


def measure_throughput(
    server: Server, clients: Clients, connections: int, seconds: float
) -> Throughput:
    """Have all connections busy for some seconds."""
    with completing(server) as loads:
        clients.begin_load(server.port, connections)
        first = server.status()
        time.sleep(seconds)
        last = server.status()
        load = clients.end_load()
        loads.append(connections + load["responses"] + load["late"])
    used, took = (last[each] - first[each] for each in ("cpu", "now"))
    served = last["soon"]["completed"] - first["soon"]["completed"]
    return Throughput(
        per_second=load["responses"] / load["seconds"],
        per_cpu_second=served / used,
        busy=used / took,
        delayed=(last["delayed"] - first["delayed"]) / took,
        share=load["share"],
    )


def measure_idle(server: Server, probes: int) -> Latency:
    """Leave an idle server, again and again."""
    with completing(server) as loads:
        loads.append(probes)
        return leave(server, probes)


def measure_under_load(server: Server, clients: Clients, connections: int, probes: int) -> Latency:
    """Leave a server that is busy with others, again and again."""
    with completing(server) as loads:
        clients.begin_load(server.port, connections)
        latency = leave(server, probes)
        load = clients.end_load()
        loads.append(connections + load["responses"] + load["late"] + probes)
    return latency


def leave(server: Server, probes: int) -> Latency:
    """Leave again and again; returns how soon that is heard of."""
    before = server.status()["never"]
    server.ask("tell")
    with connect(server.port) as other:
        latency = Latency.of([probe(server, other) for _ in range(probes)])
    expect(server.name, server.status()["never"], before, "cancelled", probes)
    return latency


def probe(server: Server, other: socket.socket) -> float:
    """Ask, leave, and see how long the server's work runs on, in microseconds."""
    with connect(server.port) as client:
        client.send(NEVER)
        hear(server, "begun")
        # Whatever the server still had to do for the request, it has done after this.
        exchange(other)
        left = time.monotonic_ns()
    return (hear(server, "cancelled") - left) / 1000


def hear(server: Server, expected: str) -> int:
    """Wait until the server tells of an event; returns when that was."""
    event, at = server.answer()
    if event != expected:
        raise ChildProcessError(f"{server.name}: {event}, where {expected} was due")
    return int(at)


@contextmanager
def completing(server: Server) -> Iterator[list[int]]:
    """What the clients were answered, put in the list, is what the server has completed."""
    before, loads = server.status()["soon"], list[int]()
    yield loads
    expect(server.name, server.status()["soon"], before, "completed", sum(loads))


def expect(name: str, after: Any, before: Any, what: str, number: int) -> None:
    """Raise an error unless so much work was begun, and so much came to that end."""
    for each in ("begun", what):
        found = after[each] - before[each]
        if found != number:
            raise ChildProcessError(f"{name} is to have {each} {number}, and not {found}")
