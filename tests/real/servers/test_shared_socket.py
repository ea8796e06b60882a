"""Server processes that share one listening socket, restarted under load and scraped.

What belongs here: what is so with any supervisor. What does not: supervisors (`test_systemd`,
`test_supervisord`), and wrong sockets (`operating.test_tap_handed_down`).
"""

import socket
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ..._loopback import reserve_port
from ..._programs import find_program, refusal
from ..._servers import (
    ALARMING,
    LOOPBACK,
    TWIST_CANCELWEB,
    TWISTD_CANCELWEB,
    LoggedProcess,
    Server,
)
from ..._sockets import SocketVisit
from ._handed_down import CLIENTS, Load, listening, start
from ._prometheus import REMEDY, Prometheus

ANSWERED = '"GET /quick HTTP/1.1" 200'
REQUESTS = "last_over_time(cancelweb_requests_total[1m])"
CPU_SECONDS = "last_over_time(process_cpu_seconds_total[1m])"
"""As of the last scrape that went well: on a busy machine, one may take too long."""


async def at_once(*starting: Coroutine[Any, Any, Any]) -> list[Any]:
    """Start some programs at the same time."""
    return await gatherResults([Deferred.fromCoroutine(each) for each in starting])


class StopTests(TestCase):
    """Processes on one socket, one of which stops."""

    timeout = 120

    async def test_without_a_delay(self) -> None:
        """Without a delay no request is lost either, but those on open connections get a 503."""
        shared = listening(self)
        processes = await at_once(start(self, shared), start(self, shared))
        load = Load(shared.getsockname()[1])
        load.begin(CLIENTS)
        for process in processes:
            await process.log.expect(ANSWERED, within=None)
        stopped, _ = processes
        stopped.signal("TERM")
        await stopped.end(within=30)
        self.assertNotRegex("\n".join(stopped.log.lines), ALARMING)
        await load.more(CLIENTS)
        await load.end()
        self.assertEqual(load.lost, [])
        self.assertLessEqual({*load.statuses}, {200, 503})

    async def test_waiting_clients_are_left_to_the_next(self) -> None:
        """A process that stops accepts no waiting client: the next process accepts it."""
        shared = listening(self)
        waiting = await self.visit(shared)
        for command in TWIST_CANCELWEB, TWISTD_CANCELWEB:
            process = await start(self, shared, "--drain-delay", "1", command=command)
            # From its first answer on, it handles signals.
            self.assertTrue((await waiting.closed).endswith(b"quick"))
            process.signal("TERM")
            await process.log.expect("stopping in 1 s")
            waiting = await self.visit(shared)
            await process.end()
            self.assertEqual(len(process.log.matching(ANSWERED)), 1)
        # The second process has left it to this one. Twisted has made the socket non-blocking.
        accepted, _ = shared.accept()
        accepted.close()
        await waiting.closed

    async def visit(self, shared: socket.socket) -> SocketVisit:
        """Connect a client that asks once."""
        server = Server(shared.getsockname()[1], LoggedProcess().log)
        return await server.connect(SocketVisit("/quick"))


class MetricsTests(TestCase):
    """Two processes on one socket, and a Prometheus that scrapes both."""

    timeout = 60

    async def test_of_each_and_their_sum(self) -> None:
        """Prometheus has the requests of each process by its instance, and their sum is of all."""
        find_program("prometheus", REMEDY)
        shared = listening(self)
        ports = [reserve_port(self) for _ in range(2)]
        # Prometheus does nothing for its first five seconds.
        *processes, prometheus = await at_once(
            *(start(self, shared, "--status", f"{port}") for port in ports),
            Prometheus.start(self, *ports),
        )
        load = Load(shared.getsockname()[1])
        load.begin(CLIENTS)
        await gatherResults([each.log.expect(ANSWERED) for each in processes])
        await load.end()
        await prometheus.until(f"sum({REQUESTS}) == {load.count}")
        expected = {
            f"{LOOPBACK}:{port}": len(process.log.matching(ANSWERED))
            for port, process in zip(ports, processes, strict=True)
        }
        self.assertEqual(sum(expected.values()), load.count)
        for query, found in {
            f"sum by (instance) ({REQUESTS})": expected,
            f"count by (instance) ({CPU_SECONDS} > 0)": dict.fromkeys(expected, 1),
        }.items():
            told = await prometheus.ask(query)
            self.assertEqual({labels["instance"]: value for labels, value in told}, found)


def clients_of(port: int) -> Iterator[socket.socket]:
    """Clients that are connected, and not accepted: so many that each of two sockets has some."""
    for _ in range(64):
        yield socket.create_connection((LOOPBACK, port))


class QueueTests(SynchronousTestCase):
    """The clients that wait to be accepted when one of two processes closes its descriptor."""

    def resets(self, first: socket.socket, second: socket.socket) -> int:
        """How many clients are reset when the first of two sockets is closed."""
        with ExitStack() as stack, second:
            clients = [stack.enter_context(each) for each in clients_of(first.getsockname()[1])]
            first.close()
            return sum(map(is_reset, clients))

    def test_of_one_socket(self) -> None:
        """If both have the same socket, no client is reset."""
        shared = socket.create_server((LOOPBACK, 0), backlog=100)
        self.assertEqual(self.resets(shared.dup(), shared), 0)

    def test_of_two_sockets(self) -> None:
        """With SO_REUSEPORT, the clients in the queue of the socket that closes are reset."""
        migrate = Path("/proc/sys/net/ipv4/tcp_migrate_req")
        if migrate.exists() and migrate.read_text().strip() != "0":
            raise refusal("this kernel gives the clients to the other socket: tcp_migrate_req is 1")
        first = socket.create_server((LOOPBACK, 0), backlog=100, reuse_port=True)
        second = socket.create_server(first.getsockname(), backlog=100, reuse_port=True)
        self.assertIn(self.resets(first, second), range(1, 64))


def is_reset(client: socket.socket) -> bool:
    """Whether the other side has reset the connection."""
    client.setblocking(False)
    try:
        client.recv(1)
    except ConnectionResetError:
        return True
    except BlockingIOError:
        return False
    raise AssertionError("the connection was closed")
