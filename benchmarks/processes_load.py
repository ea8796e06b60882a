"""Clients that keep servers busy: each has one request open all the time.

What belongs here: connections, and counting who has answered. What does not: servers, and figures.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter

from attrs import define, field

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
KEPT, CLOSED = REQUEST % b"", REQUEST % b"Connection: close\r\n"
END = b"\r\n\r\n"


@define(eq=False)
class Crowd:
    """As many clients as are wanted, in one thread.

    Attributes:
        port: where they ask.
        keeps: whether a connection is used again, or a new one is made for each request.
        answered: how many requests each process has answered, by its id.
    """

    port: int
    keeps: bool
    answered: Counter[int] = field(factory=Counter, init=False)
    _selector: selectors.BaseSelector = field(factory=selectors.DefaultSelector, init=False)

    def arrive(self, clients: int, every: float) -> None:
        """Have clients ask, the next one each time that some seconds have passed.

        Of clients that connect at the same moment, one process may accept all: Twisted accepts up
        to a hundred in one turn.
        """
        for _ in range(clients):
            self._connect()
            self.run(every)

    def run(self, seconds: float) -> None:
        """Keep asking for this long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                self._read(*key.data)

    def leave(self) -> None:
        """Close all connections."""
        for key in list(self._selector.get_map().values()):
            connection, _ = key.data
            self._close(connection)

    def _connect(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.sendall(KEPT if self.keeps else CLOSED)
        self._selector.register(connection, selectors.EVENT_READ, (connection, Answer()))

    def _close(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.close()

    def _read(self, connection: socket.socket, answer: Answer) -> None:
        data = connection.recv(65536)
        if not data:
            raise ConnectionError(f"a server has hung up after {answer.received!r}")
        answer.received += data
        if not answer.is_whole():
            return
        self.answered[answer.process()] += 1
        if self.keeps:
            answer.received = b""
            connection.sendall(KEPT)
        else:
            self._close(connection)
            self._connect()


@define(eq=False)
class Answer:
    """What has come of an answer.

    Attributes:
        received: its bytes.
    """

    received: bytes = b""

    def is_whole(self) -> bool:
        """Whether all has come; raises if it is no good answer."""
        head, end, body = self.received.partition(END)
        if end and not head.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"a server has answered {self.received!r}")
        return bool(end) and len(body) == int(header(head, b"content-length"))

    def process(self) -> int:
        """The process that has answered."""
        return int(header(self.received, b"x-process"))


def header(head: bytes, name: bytes) -> bytes:
    """The value of a header that must be there."""
    _, found, rest = head.lower().partition(b"\r\n" + name + b": ")
    if not found:
        raise ConnectionError(f"an answer without {name!r}: {head!r}")
    return rest.partition(b"\r\n")[0]
