"""The demonstration that `python -m cancelweb --serve` serves, by sockets.

The page in a browser is for `real.browsers.test_demo`.
"""

import json
import re
import sys
from importlib.resources import files
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb.demo.jobs import SECONDS, ticks

from ..._loopback import connect, listen, request
from ..._servers import LOOPBACK, reactor
from ..._sockets import SocketConnection
from .._demo import serve_demo

PAGE = files("cancelweb.demo").joinpath("page.html").read_text()

State = dict[str, Any]


class Watcher(SocketConnection):
    """A reader of the page's messages."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted: dict[str, object] = {}
        self._found: Deferred[State] = Deferred()

    def until_state(self, **wanted: object) -> Deferred[State]:
        """Wait for a message, from now on, that has these values."""
        self._wanted, self._found = wanted, Deferred()
        return self._found

    def dataReceived(self, data: bytes) -> None:
        """Look at each message once, and report the message that is waited for."""
        super().dataReceived(data)
        *messages, self.received = self.received.split(b"\n\n")
        for state in (json.loads(each[6:]) for each in messages if each.startswith(b"data: ")):
            if self._wanted.items() <= state.items() and not self._found.called:
                self._found.callback(state)


class WorkTests(TestCase):
    """The demonstration's work, for clients that are not a browser."""

    timeout = 60

    async def serve(self) -> None:
        """Serve the demonstration, and watch its messages."""
        self.port = await serve_demo(self)
        endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, self.port)
        self.watcher = Watcher()
        await endpoint.connect(Factory.forProtocol(lambda: self.watcher))
        self.addCleanup(self.watcher.leave)
        self.watcher.send(b"GET /live HTTP/1.0\r\n\r\n")

    async def ask(self, *paths: str) -> list[SocketConnection]:
        """Have a client ask for each of these paths."""
        connections = [await connect(self, self.port) for _ in paths]
        for connection, path in zip(connections, paths, strict=True):
            connection.send(request(path.encode()))
        return connections

    async def test_each_kind_stops(self) -> None:
        """Work of each kind runs while its client waits, and stops when the client leaves."""
        await self.serve()
        for stopped, (kind, hops) in enumerate(
            {"report": 1, "process": 1, "stream": 1, "chain": 3}.items()
        ):
            [connection] = await self.ask(f"/on/{kind}")
            state = await self.watcher.until_state(running=hops)
            rows = [(row["kind"], row["hop"], row["left"]) for row in state["rows"]]
            self.assertEqual(rows, [(kind, hop + 1, False) for hop in range(hops)])
            await connection.leave()
            await self.watcher.until_state(running=0, stopped=stopped + hops)

    async def test_computing_children_are_in_the_graph(self) -> None:
        """The CPU figure includes a child process while it computes."""
        await self.serve()
        await self.ask("/on/process")
        state = await self.watcher.until_state(running=1)
        while state["cpu"] < 0.2:
            state = await self.watcher.until_state(running=1)

    async def test_without_cancellation(self) -> None:
        """Without cancellation, work whose client left is marked in the list, and completes."""
        await self.serve()
        [connection] = await self.ask("/off/report")
        await self.watcher.until_state(running=1)
        await connection.leave()
        state = await self.watcher.until_state(running=1)
        while not state["rows"][0]["left"]:
            state = await self.watcher.until_state(running=1)
        await self.watcher.until_state(running=0, for_nobody=1, answered=0, stopped=0, trouble=0)

    async def test_a_client_that_waits_is_answered(self) -> None:
        """A client that waits gets the report, which pages of any origin may read."""
        await self.serve()
        [connection] = await self.ask("/on/report")
        answer = await connection.closed
        self.assertIn(b"Access-Control-Allow-Origin: *\r\n", answer)
        self.assertTrue(answer.endswith(b"\r\n72000006000000\n"), answer)
        await self.watcher.until_state(answered=1, running=0)

    async def test_strange_paths(self) -> None:
        """Work with strange paths behind its name is listed by its kind, and the list goes on."""
        await self.serve()
        await self.ask("/on/stream/%ff/x", "/off/stream/2", "/on/%ff", "/on/chain/-100")
        state = await self.watcher.until_state(running=5)
        kinds = sorted((row["kind"], row["hop"]) for row in state["rows"])
        chain = [("chain", 1), ("chain", 2), ("chain", 3)]
        self.assertEqual(kinds, [*chain, ("stream", 1), ("stream", 2)])

    async def test_further_ports_serve_the_same(self) -> None:
        """Further ports serve the page as well, for browsers that limit connections to one."""
        await self.serve()
        state = await self.watcher.until_state(running=0)
        for self.port in (state["ports"][0], state["ports"][-1]):
            [connection] = await self.ask("/")
            page = await connection.closed
            self.assertIn(b"<!doctype html>", page)
            self.assertIn(b"Content-Security-Policy: default-src 'none'", page)


class CommandTests(TestCase):
    """The command line of the demonstration."""

    timeout = 60

    async def test_port_that_is_taken(self) -> None:
        """A port that is in use is named in one line, with status 1."""
        port = listen(self, Site(Resource()))
        command = ["-m", "cancelweb", "--serve", "--port", str(port)]
        output, errors, status = await getProcessOutputAndValue(sys.executable, command, env=None)
        self.assertEqual((output, status), (b"", 1))
        self.assertEqual(errors.decode().count("\n"), 1, errors)
        self.assertIn(f"cannot listen on port {port}", errors.decode())

    async def test_port_that_is_none(self) -> None:
        """A port number that is out of range is refused, with status 2."""
        command = ["-m", "cancelweb", "--serve", "--port", "65536"]
        output, errors, status = await getProcessOutputAndValue(sys.executable, command, env=None)
        self.assertEqual((output, status), (b"", 2))
        self.assertIn("from 0 to 65535, not 65536", errors.decode().splitlines()[-1])


class PageTests(SynchronousTestCase):
    """The file of the demonstration's page."""

    def test_needs_nothing_from_elsewhere(self) -> None:
        """The page loads nothing from other hosts: its addresses are the server's own."""
        addresses = set(re.findall(r"https?://[^\s\"'`]*", PAGE))
        self.assertEqual(
            {each.partition("/${way}")[0] for each in addresses},
            {"http://${location.hostname}:${port}"},
        )
        self.assertNotRegex(PAGE, r"<(?:script|img|link|iframe)[^>]* (?:src|href)=\"(?!data:)")


class TicksTests(SynchronousTestCase):
    """The demonstration's stream, on a clock that the test moves."""

    def test_it_ends(self) -> None:
        """A client that waits to the end of the stream gets all ticks."""
        clock = Clock()

        async def read() -> list[bytes]:
            return [tick async for tick in ticks(clock)]

        reading = Deferred.fromCoroutine(read())
        clock.pump([0.1] * 10 * SECONDS)
        self.assertEqual(len(self.successResultOf(reading)), 10 * SECONDS)
