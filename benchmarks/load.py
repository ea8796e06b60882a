"""The clients, in a process of their own: `python benchmarks/load.py`.

Plain sockets and raw bytes, so that it is the server that is measured. A line of JSON comes in from
the parent, `[command, arguments...]`, a line of JSON goes out.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from attrs import define

STDIN = 0
SOON = b"GET /soon HTTP/1.1\r\nHost: localhost\r\n\r\n"
NEVER = SOON.replace(b"soon", b"never")
OK = b"HTTP/1.1 200"
BATCH = 50
"""Connections that are opened at a time; the server is waited for in between."""

IP_BIND_ADDRESS_NO_PORT = 24
"""From Linux's `in.h`: the port is chosen when the address of the server is known."""


def connect(port: int, address: str = "127.0.0.1") -> socket.socket:
    """Connect to a server on this machine, from an address of this machine."""
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    client.bind((address, 0))
    client.connect(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def exchange(client: socket.socket) -> bytes:
    """Ask for the page that comes soon; returns all of its response."""
    client.sendall(SOON)
    return receive(client)


def receive(client: socket.socket) -> bytes:
    """Wait for a response; returns all of it."""
    received = b""
    while not is_complete(received):
        more = client.recv(65536)
        if not more:
            raise ConnectionError(f"the server left after {received!r}")
        received += more
    if not received.startswith(OK):
        raise ValueError(f"the server answered {received!r}")
    return received


def is_complete(received: bytes) -> bool:
    """Whether this is a whole response."""
    head, separator, body = received.partition(b"\r\n\r\n")
    if b"chunked" in head:
        return body.endswith(b"\r\n0\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(separator) and len(body) >= int(lengths[0].partition(b":")[2])


@define(eq=False)
class Load:
    """Connections on which a request follows each response.

    Attributes:
        clients: the connections, by file descriptor.
        size: the length of a response; the server's headers are the same each time.
    """

    clients: dict[int, socket.socket]
    size: int

    @classmethod
    def to(cls, port: int, connections: int) -> Load:
        """Open the connections."""
        clients = [connect(port) for _ in range(connections)]
        sizes = {len(exchange(client)) for client in clients}
        if len(sizes) != 1:
            raise ValueError(f"the responses differ in length: {sizes}")
        return cls({client.fileno(): client for client in clients}, sizes.pop())

    def run(self) -> dict[str, float]:
        """Go on until the parent writes a line; returns what was answered, in which time.

        The responses that come after that are counted apart, so that all add up.
        """
        start, cpu = time.monotonic(), time.process_time()
        responses = self._ask_until_told()
        seconds = time.monotonic() - start
        share = (time.process_time() - cpu) / seconds
        late = sum(self._read(client) for client in self.clients.values())
        for client in self.clients.values():
            client.close()
        return {"responses": responses, "seconds": seconds, "late": late, "share": share}

    def _ask_until_told(self) -> int:
        poller = select.epoll()
        for fd, client in self.clients.items():
            poller.register(fd, select.EPOLLIN)
            client.send(SOON)
        poller.register(STDIN, select.EPOLLIN)
        responses = 0
        while True:
            for fd, _ in poller.poll():
                if fd == STDIN:
                    sys.stdin.readline()
                    poller.close()
                    return responses
                client = self.clients[fd]
                responses += self._read(client)
                client.send(SOON)

    def _read(self, client: socket.socket) -> int:
        data = client.recv(65536)
        while len(data) < self.size:
            more = client.recv(65536)
            if not more:
                raise ConnectionError(f"the server left after {data!r}")
            data += more
        if len(data) != self.size or not data.startswith(OK):
            raise ValueError(f"not what was asked for: {data!r}")
        return 1


@define(eq=False)
class Clients:
    """Those who wait; they leave when their process is killed."""

    waiting: list[socket.socket]

    def open(self, port: int, number: int, address: str) -> int:
        """Open connections, each with one page had already; returns how many."""
        for batch in batches(range(number)):
            fresh = [connect(port, address) for _ in batch]
            for client in fresh:
                client.sendall(SOON)
            for client in fresh:
                receive(client)
            self.waiting += fresh
        return len(self.waiting)

    def wait(self) -> int:
        """Ask on each for what never comes; returns how many do."""
        for client in self.waiting:
            client.send(NEVER)
        return len(self.waiting)


def batches(items: Iterable[int]) -> Iterator[list[int]]:
    """Some at a time."""
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def say(what: object) -> None:
    """Send a line to the parent."""
    print(json.dumps(what), flush=True)


def load(port: int, connections: int) -> dict[str, float]:
    """Open connections, say so, and send requests until told to stop."""
    clients = Load.to(port, connections)
    say(connections)
    return clients.run()


def main() -> None:
    """Obey until the parent is gone."""
    clients = Clients([])
    commands: dict[str, Callable[..., Any]] = {
        "load": load,
        "open": clients.open,
        "wait": clients.wait,
    }
    for line in iter(sys.stdin.readline, ""):
        command, *arguments = json.loads(line)
        say(commands[command](*arguments))


if __name__ == "__main__":
    main()
