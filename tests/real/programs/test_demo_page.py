"""The demonstration that `python -m cancelweb --serve` serves, by sockets.

The page in a browser is for `real.browsers.test_demo`.
"""

import ast
import json
import re
import signal
import sys
import tomllib
from importlib.resources import files
from inspect import getsource
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from cancelweb import Cause, Disconnected, Ended, Outcome, TimedOut
from cancelweb.__main__ import parse
from cancelweb.demo import DOCS, work
from cancelweb.demo.site import Demonstration, Root
from cancelweb.demo.tally import ending

from ..._loopback import connect, listen, request
from ..._servers import LOOPBACK, REPOSITORY, reactor
from ..._sockets import SocketConnection
from ..._visits import connect as connect_in_memory
from ..._visits import response_of
from .._demo import serve_demo, serve_here, start_demo

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
        for number, (kind, *more) in enumerate(
            (["report"], ["process"], ["stream"], ["deadline"], ["chain", "chain", "report"])
        ):
            [connection] = await self.ask(f"/on/{kind}")
            state = await self.watcher.until_state(running=1, more=0)
            while len(state["rows"]) <= len(more):
                state = await self.watcher.until_state(running=1)
            rows = [(row["kind"], row["hop"], row["left"]) for row in state["rows"]]
            self.assertEqual(
                rows, [(each, hop + 1, False) for hop, each in enumerate([kind, *more])]
            )
            await connection.leave()
            await self.watcher.until_state(running=0, counts={"stopped": number + 1})

    async def test_computing_children_are_in_the_graph(self) -> None:
        """The CPU figure includes a child process while it computes."""
        await self.serve()
        await self.ask("/on/process")
        state = await self.watcher.until_state(running=1)
        while state["cpu"] < 0.2:
            state = await self.watcher.until_state(running=1)

    async def test_strange_paths(self) -> None:
        """Work with strange paths behind its name is listed by its kind, and the list goes on."""
        await self.serve()
        await self.ask("/on/stream/%ff/x", "/off/stream/2", "/on/%ff", "/on/stream/-100")
        state = await self.watcher.until_state(running=2)
        while len(state["rows"]) < 3:
            state = await self.watcher.until_state(running=2)
        self.assertEqual(sorted(row["hop"] for row in state["rows"]), [1, 1, 2])

    async def test_ends_while_uncancelled_queries_run(self) -> None:
        """Both signals end the server, though abandoned queries run on with cancellation off."""
        for name in "INT", "TERM":
            process, self.port = await start_demo(self)
            for connection in await self.ask(*[f"/off/report?{n}" for n in range(20)]):
                await connection.leave()
            process.signal(name)
            reason = await process.end(within=10)
            self.assertEqual(reason.signal, getattr(signal, f"SIG{name}"))
        self.assertNotEqual(process.log.matching("still running: GET /off/report: thread"), [])

    async def test_further_ports_serve_the_same(self) -> None:
        """Further ports serve the page as well, for browsers that limit connections to one."""
        await self.serve()
        state = await self.watcher.until_state(running=0)
        for self.port in (state["ports"][0], state["ports"][-1]):
            [connection] = await self.ask("/")
            page = await connection.closed
            self.assertIn(b"<!doctype html>", page)
            self.assertIn(DOCS.encode(), page)
            self.assertIn(b"Content-Security-Policy: default-src 'none'", page)


class NoNames:
    """A resolver that knows no names."""

    def resolveHostName(self, receiver: Any, name: str, *_: object, **__: object) -> Any:
        """There is no such name."""
        receiver.resolutionBegan(self)
        receiver.resolutionComplete()
        return self


class Dropping(Protocol):
    """A server that closes each connection once it has received something."""

    def dataReceived(self, data: bytes) -> None:
        """Close the connection."""
        assert self.transport is not None
        self.transport.loseConnection()


class ShortWorkTests(TestCase):
    """The demonstration's work in the test's own process, done in a moment."""

    timeout = 60

    def setUp(self) -> None:
        """Serve work that takes half a second."""
        self.demonstration, self.port = serve_here(self, seconds=0.5)

    def counts(self, page: bytes = b"") -> dict[str, int]:
        """How many requests of a page have ended, by how."""
        return self.demonstration.tallies[page].counts

    async def until_idle(self) -> None:
        """Wait until no request is running."""
        while self.demonstration.monitor.scopes:
            await deferLater(reactor, 0.05)

    async def test_clients_that_wait_are_answered(self) -> None:
        """A client that waits gets a whole answer, whatever the work."""
        for kind in ("report", "process", "stream", "chain"):
            connection = await connect(self, self.port)
            connection.send(request(f"/on/{kind}".encode()))
            answer = await connection.closed
            self.assertIn(b" 200 OK\r\n", answer)
            if kind in ("report", "chain"):
                self.assertTrue(answer.endswith(b"\r\n4500001500000\n"), answer)
        await self.until_idle()
        self.assertEqual(self.counts(), {"answered": 4})

    async def test_deadline(self) -> None:
        """A client that waits for too long a query gets status 503 after three seconds."""
        began = reactor.seconds()
        connection = await connect(self, self.port)
        connection.send(request(b"/on/deadline"))
        self.assertIn(b" 503 Service Unavailable\r\n", await connection.closed)
        self.assertGreater(reactor.seconds() - began, 2.9)
        await self.until_idle()
        self.assertEqual(self.counts(), {"timed_out": 1})
        # The query stopped, but not because its client had left.
        self.assertEqual(self.demonstration.tallies[b""].slowest, 0)

    async def test_deadline_that_is_met(self) -> None:
        """A query that takes less time than its limit is answered."""
        self.patch(work, "LONG_SQL", "SELECT 7")
        connection = await connect(self, self.port)
        connection.send(request(b"/on/deadline"))
        self.assertTrue((await connection.closed).endswith(b"\r\n7\n"))
        await self.until_idle()

    async def test_chains_look_up_no_names(self) -> None:
        """A chain connects to its next server without looking up a name."""
        resolver = reactor.installNameResolver(NoNames())
        self.addCleanup(reactor.installNameResolver, resolver)
        connection = await connect(self, self.port)
        connection.send(request(b"/on/chain"))
        self.assertIn(b" 200 OK\r\n", await connection.closed)
        await self.until_idle()

    async def test_chain_whose_next_server_has_gone(self) -> None:
        """A chain whose next server drops the connection is answered with status 502."""
        gone = TCP4ClientEndpoint(reactor, LOOPBACK, listen(self, Factory.forProtocol(Dropping)))
        self.patch(work.Loopback, "endpointForURI", lambda *_: gone)
        connection = await connect(self, self.port)
        connection.send(request(b"/on/chain"))
        self.assertIn(b" 502 Bad Gateway\r\n", await connection.closed)
        await self.until_idle()

    async def test_page_counts_its_own(self) -> None:
        """A page's numbers are those of its own requests, and add up while some still run."""
        for kind in (b"/on/chain/page-a", b"/off/stream/page-a", b"/off/stream/page-b"):
            connection = await connect(self, self.port)
            connection.send(request(kind))
            await deferLater(reactor, 0.1)
            await connection.leave()
        while "stopped" not in self.counts(b"page-a"):
            await deferLater(reactor, 0)
        state = self.demonstration.state(b"page-a")
        self.assertEqual((state["left"], state["still"], state["running"]), (2, 1, 2))
        await self.until_idle()
        self.assertEqual(self.counts(b"page-a"), {"stopped": 1, "wasted": 1})
        self.assertEqual(self.counts(b"page-b"), {"wasted": 1})

    async def test_without_cancellation(self) -> None:
        """Without cancellation, work whose client left is marked in the list, and is wasted."""
        connection = await connect(self, self.port)
        connection.send(request(b"/off/stream"))
        await connection.until(b"\r\n\r\n")
        await connection.leave()
        while not rows_of(self.demonstration)[0]["left"]:
            await deferLater(reactor, 0.05)
        await self.until_idle()
        self.assertEqual(self.counts(), {"wasted": 1})


def rows_of(demonstration: Demonstration) -> Any:
    """What the page lists."""
    return demonstration.state()["rows"]


class EndingTests(SynchronousTestCase):
    """The word for how a request ended."""

    def ending(self, ended: Ended, cause: Cause | None = None) -> str:
        """The word for a request that ended so."""
        return ending(Outcome(b"GET", b"/on/report", cause, ended, 0.0, 1.0, 2.0, 3.0))

    def test_trouble(self) -> None:
        """Work that failed, was let go or still runs is trouble, whatever the cause."""
        for ended in (Ended.FAILED, Ended.LET_GO, Ended.SURVIVED):
            self.assertEqual(self.ending(ended, TimedOut(3)), "trouble")

    def test_stopped_in_time(self) -> None:
        """Work that its client left is stopped, even if it had completed when it was asked to."""
        self.assertEqual(self.ending(Ended.COMPLETED, Disconnected()), "stopped")


class ForeignPageTests(SynchronousTestCase):
    """Requests that pages of other sites have a browser send."""

    def status(self, path: bytes, **headers: str) -> int:
        """The status of an answer to a request with these headers."""
        root = Root([80, 81])
        for child in (b"", b"live", b"report"):
            root.putChild(child, Data(b"", "text/plain"))
        sent = {
            name.replace("_", "-").title().encode(): value.encode()
            for name, value in headers.items()
        }
        self.response = response_of(connect_in_memory(root).get(path, sent))
        return self.response.code

    def readable_by(self) -> bytes | None:
        """The origin whose pages may read the answer."""
        return self.response.header(b"Access-Control-Allow-Origin")

    def test_own_page(self) -> None:
        """The page itself may start work, on each of its ports."""
        self.assertEqual(self.status(b"/report", sec_fetch_site="same-origin"), 200)
        for origin in ("http://127.0.0.1:80", "http://localhost:81"):
            status = self.status(b"/report", origin=origin, sec_fetch_site="same-site")
            self.assertEqual(status, 200)
            self.assertEqual(self.readable_by(), origin.encode())

    def test_no_page(self) -> None:
        """A client other than a browser may start work, and so may an address bar."""
        self.assertEqual(self.status(b"/report"), 200)
        self.assertEqual(self.status(b"/report", sec_fetch_site="none"), 200)

    def test_foreign_page(self) -> None:
        """A foreign page may neither start work nor read the answer."""
        for origin in ("https://evil.example", "null", "http://127.0.0.1:9999"):
            self.assertEqual(self.status(b"/report", origin=origin), 403)
            self.assertNotIn(self.readable_by(), (b"*", origin.encode()))
        # An image or a frame has no Origin.
        for site in ("cross-site", "same-site"):
            self.assertEqual(self.status(b"/report", sec_fetch_site=site), 403)

    def test_old_browser(self) -> None:
        """A browser that names no origin starts no work, but its page gets the events."""
        browser = "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/16.3 Safari/605.1.15"
        for path, status in ((b"/", 200), (b"/live", 200), (b"/report", 403)):
            self.assertEqual(self.status(path, user_agent=browser), status, path)
        origin = "http://localhost:81"
        self.assertEqual(self.status(b"/report", user_agent=browser, origin=origin), 200)
        self.assertEqual(self.status(b"/report", user_agent="curl/8.5.0"), 200)

    def test_link_to_the_page(self) -> None:
        """A link on a foreign page may lead to the page."""
        self.assertEqual(self.status(b"/", sec_fetch_site="cross-site"), 200)

    def test_foreign_name(self) -> None:
        """Another host's name that leads here gets nothing, not even the page."""
        for path in (b"/", b"/report"):
            self.assertEqual(self.status(path, host="evil.example:80"), 403)
            self.assertIn(b"Open this page as http://127.0.0.1:80/.", self.response.body)

    def test_several_names(self) -> None:
        """A request with several hosts gets nothing, whichever of them come last."""
        for hosts in (b"evil.example", b"127.0.0.1"), (b"127.0.0.1", b"evil.example"):
            connection = connect_in_memory(Root([80]))
            lines = [b"GET / HTTP/1.1", *(b"Host: " + each for each in hosts), b"", b""]
            connection.send(b"\r\n".join(lines))
            self.assertTrue(connection.received.startswith(b"HTTP/1.1 403 "), hosts)

    def test_frames(self) -> None:
        """No answer can be put into a frame: neither the page, the work, a refusal nor an error."""
        for path, headers, code in (
            *((b"/", {}, 200), (b"/report", {}, 200), (b"/none", {}, 404)),
            *((b"/report", {"origin": "null"}, 403), (b"/", {"host": "evil.example"}, 403)),
        ):
            self.assertEqual(self.status(path, **headers), code)
            policy = self.response.header(b"Content-Security-Policy") or b""
            self.assertIn(b"frame-ancestors 'none'", policy, path)


class CommandTests(TestCase):
    """The command line of the demonstration."""

    timeout = 60

    async def test_stops_quietly(self) -> None:
        """The server that is told to stop while chains run writes only what it cannot stop."""
        process, port = await start_demo(self)
        for way in (b"on", b"off"):
            (await connect(self, port)).send(request(b"/%b/chain" % way))
        await deferLater(reactor, 1)
        await process.stop()
        _, *lines = process.log.lines
        told = r"\[cancelweb#warn\] (the process has not ended in time|still running: )"
        self.assertEqual(lines, process.log.matching(told))

    async def test_port_that_is_taken(self) -> None:
        """A port that is in use is named in one line, with status 1."""
        port = listen(self, Site(Resource()))
        command = ["-m", "cancelweb", "--serve", "--port", str(port)]
        output, errors, status = await getProcessOutputAndValue(sys.executable, command, env=None)
        self.assertEqual((output, status), (b"", 1))
        self.assertEqual(errors.decode().count("\n"), 1, errors)
        self.assertIn(f"Cannot listen on port {port}", errors.decode())

    async def test_port_that_is_none(self) -> None:
        """A port number that is out of range is refused, with status 2."""
        command = ["-m", "cancelweb", "--serve", "--port", "65536"]
        output, errors, status = await getProcessOutputAndValue(sys.executable, command, env=None)
        self.assertEqual((output, status), (b"", 2))
        self.assertIn("from 0 to 65535, not 65536", errors.decode().splitlines()[-1])


class ParseTests(SynchronousTestCase):
    """The options of the command line."""

    def test_port(self) -> None:
        """The page is on port 8080, which the README names, unless the command says another."""
        self.assertEqual(parse(["--serve"]).port, 8080)
        self.assertEqual(parse(["--serve", "--port", "0"]).port, 0)


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

    def test_documentation_is_the_projects(self) -> None:
        """The page and the command link to the documentation that the package's metadata name."""
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
        self.assertEqual(project["urls"]["Documentation"], DOCS)
        self.assertIn('<a href="{{docs}}">', PAGE)

    def test_shows_the_code_that_runs(self) -> None:
        """The code on the page is the code of the work with a deadline."""
        shown = re.sub("</?mark>", "", PAGE.partition('<pre tabindex="0"><code>')[2])
        self.assertEqual(bare(shown.partition("</code>")[0]), bare(getsource(work.Deadline)))


def bare(source: str) -> str:
    """The only coroutine of a class, without its docstring and annotations."""
    kind = ast.parse(source).body[0]
    assert isinstance(kind, ast.ClassDef)
    [function] = [each for each in kind.body if isinstance(each, ast.AsyncFunctionDef)]
    function.returns = None
    for argument in function.args.args:
        argument.annotation = None
    if ast.get_docstring(function):
        del function.body[0]
    return ast.unparse(function)
