"""What the log names when a process does not end: requests, work, threads, children, connections.

What belongs here: what is found, in memory and in threads of the test. What does not: the end of
the process (`test_exiting`, `real.system.test_exit`).
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import Any

from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from cancelweb import CancellingResource, Scope, detach
from cancelweb._operating.holding_up import PEERS, _address_of, _read, holders_of
from cancelweb._operating.in_flight import InFlight
from cancelweb.monitor import Monitor
from cancelweb.threads import defer_to_thread_pool

from .._loopback import listen
from .._pages import Page, waiting
from .._servers import LOOPBACK, reactor
from .._sockets import SocketConnection
from .._work import Errand
from ._drains import DrainTestCase


def found(monitor: Monitor, clock: IReactorTime) -> dict[str, str]:
    """What holds the process up, apart from the threads of the test's own process."""
    holders = holders_of(monitor.in_flight, clock)
    return {each.what: each.where for each in holders if not each.what.startswith("thread ")}


class RequestsTests(DrainTestCase):
    """Requests, and the work that they left."""

    def found(self) -> dict[str, str]:
        """What holds the process up."""
        told = found(self.monitor, self.clock)
        return {what: where for what, where in told.items() if not what.startswith("process ")}

    def test_an_open_request(self) -> None:
        """An open request is named with the line at which its handler waits."""

        async def handler(request: Any) -> bytes:
            return await Deferred[bytes]()

        self.connection(handler).get(path=b"/report?query")
        self.assertRegex(self.found()["GET /report"], r"test_holding_up.py:\d+ in .*handler$")

    def test_a_hook(self) -> None:
        """A request whose cleanup hook runs is named with the line at which the hook waits."""

        async def slow(scope: Scope) -> None:
            await Deferred[None]()

        async def handler(request: Any) -> bytes:
            return await Deferred[bytes]()

        connection = self.connection(handler, on_exit=slow)
        connection.get()
        connection.disconnect()
        ((what, where),) = self.found().items()
        self.assertRegex(what, r"^GET / in its hook \S+slow at \S+test_holding_up.py:\d+$")
        self.assertRegex(where, r"test_holding_up.py:\d+ in .*slow$")

    def test_a_hook_that_has_ended(self) -> None:
        """When a cleanup hook has ended, the next one is named."""
        first: Deferred[None] = Deferred()

        async def second(scope: Scope) -> None:
            await Deferred[None]()

        connection = self.connection(waiting, on_exit=[second, lambda _: first])
        connection.get()
        connection.disconnect()
        first.callback(None)
        ((what, where),) = self.found().items()
        self.assertRegex(what, r"^GET / in its hook \S+second at ")
        self.assertRegex(where, r"in .*second$")

    def test_a_request_without_work(self) -> None:
        """A request that waits for nothing that cancelweb knows is named, too."""
        self.connection(lambda _: 1).get()
        self.assertEqual(self.found(), {"GET /": "nothing that cancelweb knows"})

    def test_what_requests_left(self) -> None:
        """Survivors, work that was let go, and detached work are named."""

        def detaching(request: Any) -> bytes:
            detach(Errand())
            return b"page"

        surviving = self.connection(lambda _: Errand(obedient=False), survivor_after=1)
        surviving.get(path=b"/a")
        surviving.disconnect()
        letting_go = self.connection(lambda _: Deferred())
        letting_go.get(path=b"/b")
        letting_go.disconnect()
        self.connection(detaching).get(path=b"/c")
        self.advance(1)
        (detached,) = (each for each in self.found() if "detached" in each)
        self.assertRegex(detached, r"^tests._work.Errand, detached at \S+test_holding_up.py:\d+")
        self.assertIn("a survivor of GET /a", self.found())

    def test_a_request_that_is_gone(self) -> None:
        """A scope that has dropped its request is shown as it shows itself."""

        self.connection(waiting).get()
        (scope,) = self.monitor.scopes
        bare: Any = scope
        bare._request = None
        self.assertEqual([*self.found()], [repr(scope)])


class ThreadsTests(TestCase):
    """Threads: where they are, and which are left out."""

    def setUp(self) -> None:
        """A pool with one thread, which each test occupies."""
        self.goes_on, self.is_there = Event(), Event()
        self.pool = ThreadPool(0, 1, "busy")
        self.pool.start()

    def tearDown(self) -> None:
        """Free the threads."""
        self.goes_on.set()
        self.pool.stop()

    def occupy(self) -> None:
        """Wait in a thread."""
        self.is_there.set()
        self.goes_on.wait()

    def places(self) -> dict[str, str]:
        """The threads that hold the process up, by name."""
        holders = [each for each in holders_of(InFlight(), Clock()) if "thread " in each.what]
        return {each.what.partition("(")[2].rstrip(")"): each.where for each in holders}

    def place_of(self, pool: str) -> str:
        """Where the busy thread of a pool is."""
        (place,) = (place for name, place in self.places().items() if pool in name)
        return place

    async def test_of_the_users_code(self) -> None:
        """A thread is named with the innermost line outside Python's own waits, and its callers."""
        done = defer_to_thread_pool(reactor, self.pool, lambda: self.occupy())
        self.is_there.wait()
        place = self.place_of("busy")
        self.assertRegex(
            place, r"^\S+test_holding_up.py:\d+ in \S+occupy, called at \S+ in \S+<lambda>$"
        )
        self.goes_on.set()
        await done

    async def test_of_a_function_without_frames(self) -> None:
        """A function without frames is named by what calls it, in both ways to call in a thread."""
        for call in defer_to_thread_pool, deferToThreadPool:
            done = call(reactor, self.pool, self.goes_on.wait)
            until = time.monotonic() + 20
            while not self.is_named("Event.wait") and time.monotonic() < until:
                time.sleep(0.001)
            self.assertTrue(self.is_named("Event.wait"), self.places())
            self.goes_on.set()
            await done
            self.goes_on.clear()

    def is_named(self, name: str) -> bool:
        return any(place.startswith(name) for place in self.places().values())

    async def test_idle_threads(self) -> None:
        """Threads that wait for something to do, daemons and a reactor that waits are left out."""
        await deferToThreadPool(reactor, self.pool, lambda: None)
        executor = ThreadPoolExecutor(1)
        executor.submit(int).result()
        daemon = Thread(target=self.occupy, daemon=True)
        daemon.start()
        self.is_there.wait()
        until = time.monotonic() + 20
        while self.others() and time.monotonic() < until:
            # The threads may still be on their way back to their queues.
            time.sleep(0.001)
        self.assertEqual(self.others(), [])
        executor.shutdown()

    def others(self) -> list[str]:
        return [name for name in self.places() if name != "MainThread"]


class OutsideTests(TestCase):
    """Child processes and connections."""

    async def test_a_child_process(self) -> None:
        """A child process is named with its arguments, where the system shows them."""
        begun: Deferred[bytes] = Deferred()
        ended: Deferred[None] = Deferred()
        child: Any = ProcessProtocol()
        child.outReceived = begun.callback
        child.processEnded = lambda _: ended.callback(None)
        args = [sys.executable, "-uc", "print(); input()"]
        transport: Any = reactor.spawnProcess(child, sys.executable, args)
        # Before that, it may still be a copy of this process.
        await begun
        arguments = found(Monitor(), Clock())[f"process {transport.pid}"]
        self.assertIn("input()", arguments)
        transport.closeStdin()
        await ended

    def test_a_child_process_that_has_ended(self) -> None:
        """A child process that has ended is left out, whether its status was collected or not."""
        child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.read()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        self.assertNotIn(f"process {child.pid}", found(Monitor(), Clock()))
        child.communicate()
        gone = Path(f"/proc/{child.pid}/cmdline")
        self.assertEqual(_read(gone), b"")

    async def test_connections(self) -> None:
        """Open connections are counted, and the first few are named."""
        monitor = Monitor()
        port = listen(self, Site(CancellingResource(Page(waiting), monitor=monitor)))
        endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, port)
        count = PEERS + 1
        clients: list[Any] = []
        for _ in range(count):
            client = await connectProtocol(endpoint, SocketConnection())
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            clients.append(client)
        while len(monitor.scopes) < count:
            await Deferred.fromCoroutine(turn())
        peers = found(monitor, reactor)[f"open connections ({count})"]
        self.assertEqual(peers.count(f"{LOOPBACK} port "), PEERS)
        for client in clients:
            await client.leave()

    def test_addresses(self) -> None:
        """A client is named by its host and port, or else as Twisted writes its address."""
        for address, text in {
            IPv6Address("TCP", "::1", 80): "::1 port 80",
            UNIXAddress("/run/shop"): str(UNIXAddress("/run/shop")),
        }.items():
            self.assertEqual(_address_of(address), text)


async def turn() -> None:
    """Wait for the next turn of the reactor."""
    waiting: Deferred[None] = Deferred()
    reactor.callLater(0, waiting.callback, None)
    await waiting
