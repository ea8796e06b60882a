"""`twist cancelweb` as a process: what it serves, how it starts, and how it stops.

Real signals, real clients. The options are for `test_tap`.
"""

import re
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionRefusedError, ProcessDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from ._http1 import Visit
from ._http2 import HTTP2Client
from ._servers import (
    LOOPBACK,
    TWIST_CANCELWEB,
    TWISTD_CANCELWEB,
    LoggedProcess,
    SelfSigned,
    Server,
    launch,
    reactor,
)

PAGES = ("--class", "tests._served.Pages")

# Far less than what is not to be waited for.
AT_ONCE = 2.5

STOPPING = r"stopping: \d+ requests in flight have [\d.]+ s to finish; SIGINT stops at once"

ALARMING = r"#(warn|error|critical)\]|Traceback|[Uu]nhandled|ReactorNotRunning"


class Lasting(Protocol):
    """A connection that stays open, for one request after the other."""

    def __init__(self) -> None:
        self.received = b""

    def ask(self, path: str) -> None:
        """Send a request."""
        assert self.transport is not None
        self.transport.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def dataReceived(self, data: bytes) -> None:
        """Keep what comes."""
        self.received += data


class Keen(Lasting):
    """Asks again as soon as it was answered, for as long as the connection is left open.

    Attributes:
        lost: Fires when it is closed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.answered_often: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """Begin."""
        self._ask_again()

    def dataReceived(self, data: bytes) -> None:
        """Ask again."""
        super().dataReceived(data)
        if self.received.endswith(b"quick"):
            self._ask_again()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell."""
        self.lost.callback(None)

    def _ask_again(self) -> None:
        self.asked += 1
        self.ask("/quick")
        if self.asked == 10:
            self.answered_often.callback(None)


class _ServerTestCase(TestCase):
    """What the tests below share."""

    timeout = 60

    async def start(self, *options: str, **settings: Any) -> tuple[LoggedProcess, Server]:
        """Run `twist cancelweb`."""
        return await launch(self, (*TWIST_CANCELWEB, *options), **settings)

    async def visit(self, server: Server, path: str) -> Visit:
        """Ask for a page; returns when the log tells that it is being made."""
        visit = await server.connect(Visit(path))
        await server.log.expect(f"at {re.escape(path)}$")
        return visit

    def assert_quiet(self, process: LoggedProcess) -> None:
        """Nothing has gone wrong."""
        self.assertEqual(process.log.matching(ALARMING), [])


class ServingTests(_ServerTestCase):
    """What is served, and by what."""

    async def assert_stops_work(self, server: Server) -> None:
        """A page is served, and the work of who leaves is stopped."""
        quick = await server.connect(Visit("/quick"))
        self.assertTrue((await quick.answer).endswith(b"\r\n\r\nquick"))
        (await self.visit(server, "/waiting")).leave()
        await server.log.expect("GET /waiting: stopped after .*disconnected", within=AT_ONCE)

    async def test_twist(self) -> None:
        """`twist cancelweb` stops the work of who leaves."""
        process, server = await self.start(*PAGES)
        await self.assert_stops_work(server)
        self.assert_quiet(process)

    async def test_twistd(self) -> None:
        """`twistd cancelweb` does so, too, and drains."""
        process, server = await launch(self, (*TWISTD_CANCELWEB, *PAGES, "--drain", "20"))
        await self.assert_stops_work(server)
        visit = await self.visit(server, "/soon/1/3")
        process.signal("TERM")
        self.assertTrue((await visit.answer).endswith(b"\r\n\r\n..."))
        await process.end()
        self.assert_quiet(process)

    async def test_directory(self) -> None:
        """`--path` serves a directory, with its scripts."""
        _, server = await self.start("--path", "examples", "--timeout", "0.5")
        visit = await server.connect(Visit("/interrupted.rpy"))
        self.assertIn(b"HTTP/1.1 503 ", await visit.answer)
        await server.log.expect("timed out after 0.5 s")

    async def test_script(self) -> None:
        """`--resource-script` serves a script."""
        script = Path(self.mktemp()).resolve()
        script.write_text("from tests._served import Pages\nresource = Pages()\n")
        _, server = await self.start("--resource-script", str(script))
        await self.assert_stops_work(server)

    async def test_wsgi(self) -> None:
        """`--wsgi` serves an application, which a drain waits for."""
        process, server = await self.start("--wsgi", "tests._served.application")
        visit = await self.visit(server, "/")
        process.signal("TERM")
        answer = await visit.answer
        self.assertIn(b"from a thread", answer)
        await process.end()
        self.assert_quiet(process)

    async def test_tls(self) -> None:
        """`--listen ssl:…` serves over HTTPS, also with `--keepalive`."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        _, server = await self.start(*PAGES, "--keepalive", "30", certificate=certificate)
        await self.assert_stops_work(server)


class StartTests(_ServerTestCase):
    """Servers that do not start."""

    async def fails(self, *command: str) -> list[str]:
        """Run a command that fails; returns what it wrote."""
        process = LoggedProcess()
        reactor.spawnProcess(process, sys.executable, [sys.executable, *command], env=None)
        self.addCleanup(process.stop)
        reason = await process.end()
        self.assertEqual(reason.exitCode, 1)
        return process.log.lines

    async def test_wrong_option(self) -> None:
        """A wrong option is one line and exit status 1, under twist and twistd."""
        for command in TWIST_CANCELWEB, TWISTD_CANCELWEB:
            lines = await self.fails(*command, "--timeout", "soon")
            self.assertEqual(lines, ["cancelweb: --timeout soon: must be a number of seconds"])

    async def test_port_in_use(self) -> None:
        """So is a port that another server has."""
        _, server = await self.start(*PAGES)
        lines = await self.fails(*TWIST_CANCELWEB, "--listen", f"tcp:{server.port}")
        (line,) = lines
        self.assertRegex(line, "^cancelweb: cannot start: Couldn't listen on any:.* in use")


class DrainTests(_ServerTestCase):
    """Servers that are stopped while they work."""

    async def test_in_flight_is_finished(self) -> None:
        """Requests in flight are answered in full, and the server ends after the last of them."""
        for name in "TERM", "INT":
            process, server = await self.start(*PAGES, "--drain", "20")
            visits = [await self.visit(server, f"/soon/1/3000000?{n}") for n in range(20)]
            process.signal(name)
            for answer in await gatherResults([each.answer for each in visits]):
                self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer[:100])
                self.assertTrue(answer.endswith(b"\r\n\r\n" + b"." * 3_000_000))
            reason = await process.end(within=AT_ONCE)
            self.assertEqual(reason.signal, getattr(signal, f"SIG{name}"))
            self.assert_quiet(process)

    async def test_access_log_goes_on(self) -> None:
        """What is answered while the server stops is in the access log."""
        process, server = await self.start(*PAGES)
        visit = await self.visit(server, "/soon/1/3")
        process.signal("TERM")
        await visit.answer
        await process.end()
        self.assertEqual(len(process.log.matching('"GET /soon/1/3 HTTP/1.1" 200')), 1)

    async def test_the_rest_is_cancelled(self) -> None:
        """What takes longer is cancelled, answered 503, and its hook is waited for."""
        options = ("--drain", "0.5", "--on-cancel", "tests._served.hook", "--methods", "PUT")
        process, server = await self.start(*PAGES, *options)
        visits = [await self.visit(server, f"/waiting?{n}") for n in range(20)]
        process.signal("TERM")
        for answer in await gatherResults([each.answer for each in visits]):
            self.assertTrue(answer.startswith(b"HTTP/1.1 503 "), answer)
            self.assertIn(b"\r\nRetry-After: ", answer)
            self.assertIn(b"</html>", answer)
        await process.end()
        for line in "no longer waiting", "the hook has run: the server is shutting down":
            self.assertEqual(len(process.log.matching(line)), 20, line)
        self.assert_quiet(process)

    async def test_nobody_is_left_without_an_answer(self) -> None:
        """Clients who ask without end are all answered until they are told to go."""
        for slow in (), ("/soon/3/3",):
            process, server = await self.start(*PAGES, "--drain", "20")
            keen = [await server.connect(Keen()) for _ in range(30)]
            await gatherResults([each.answered_often for each in keen])
            visits = [await self.visit(server, path) for path in slow]
            process.signal("TERM")
            await gatherResults([each.lost for each in keen])
            for each in keen:
                self.assertEqual(each.received.count(b"HTTP/1.1 200 "), each.asked - 1)
                self.assertEqual(each.received.count(b"HTTP/1.1 503 "), 1)
            for visit in visits:
                self.assertTrue((await visit.answer).endswith(b"\r\n\r\n..."))
            await process.end()
            self.assert_quiet(process)

    async def test_detached_work_is_waited_for(self) -> None:
        """Work that goes on without its request is over before the server ends."""
        process, server = await self.start(*PAGES)
        await (await server.connect(Visit("/detaching"))).answer
        process.signal("TERM")
        await process.end()
        self.assertEqual(len(process.log.matching("the detached work is done")), 1)

    async def test_new_clients_are_refused(self) -> None:
        """Nobody can connect any more; on open connections requests are answered 503."""
        process, server = await self.start(*PAGES, "--drain", "20")
        lasting = await server.connect(Lasting())
        visit = await self.visit(server, "/soon/2/3")
        process.signal("TERM")
        await server.log.expect(r"Port \d+ Closed")
        await self.until_refused(server)
        lasting.ask("/quick")
        answer = await visit.answer
        self.assertTrue(answer.endswith(b"\r\n\r\n..."), answer)
        self.assertTrue(lasting.received.startswith(b"HTTP/1.1 503 "), lasting.received)
        self.assertIn(b"\r\nConnection: close\r\n", lasting.received)
        self.assertIn(b"\r\nRetry-After: ", lasting.received)
        await process.end()
        self.assert_quiet(process)

    async def until_refused(self, server: Server) -> None:
        """Wait until nobody can connect: the line in the log comes a moment before."""
        endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, server.port)
        while True:
            try:
                client: Any = await endpoint.connect(Factory.forProtocol(Protocol))
            except ConnectionRefusedError:
                return
            client.transport.abortConnection()

    async def test_http2(self) -> None:
        """Streams in flight are answered in full, or cancelled, too."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        process, server = await self.start(*PAGES, "--drain", "2", certificate=certificate)
        client = await server.connect(HTTP2Client(), b"h2")
        soon, waiting = client.get("/soon/1/3000"), client.get("/waiting")
        await client.ping()
        process.signal("TERM")
        await soon.until(lambda stream: stream.ended)
        self.assertEqual((soon.headers[b":status"], len(soon.body)), (b"200", 3000))
        await waiting.until(lambda stream: stream.ended)
        self.assertEqual(waiting.headers[b":status"], b"503")
        await process.end()
        self.assert_quiet(process)

    async def test_large_answers_at_the_end_over_http2(self) -> None:
        """The last answer is sent in full before the server ends."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        process, server = await self.start(*PAGES, "--drain", "20", certificate=certificate)
        client = await server.connect(HTTP2Client(), b"h2")
        streams = [client.get("/soon/1/3000000") for _ in range(5)]
        await client.ping()
        process.signal("TERM")
        for stream in streams:
            await stream.until(lambda stream: stream.ended)
            self.assertEqual(len(stream.body), 3_000_000)
        await process.end()
        self.assert_quiet(process)

    async def test_interrupted_again(self) -> None:
        """A SIGINT during the drain ends the process at once, by that signal."""
        process, server = await self.start(*PAGES, "--drain", "50")
        await self.visit(server, "/waiting")
        process.signal("INT")
        await server.log.expect(STOPPING)
        process.signal("INT")
        reason = await process.end(within=AT_ONCE)
        self.assertEqual(reason.signal, signal.SIGINT)
        self.assertEqual(process.log.matching("no longer waiting"), [])

    async def test_interrupted_behind_a_stuck_thread(self) -> None:
        """Also when the drain is over, and a thread is left that cannot be stopped."""
        process, server = await self.start("--wsgi", "tests._served.stuck", "--drain", "0")
        await self.visit(server, "/")
        process.signal("TERM")
        await server.log.expect("GET /: .*: the server is shutting down")
        process.signal("INT")
        reason = await process.end(within=AT_ONCE)
        self.assertEqual(reason.signal, signal.SIGINT)

    async def test_terminated_again(self) -> None:
        """A second SIGTERM changes nothing."""
        process, server = await self.start(*PAGES, "--drain", "20")
        visit = await self.visit(server, "/soon/1/3")
        process.signal("TERM")
        await server.log.expect(STOPPING)
        process.signal("TERM")
        self.assertTrue((await visit.answer).endswith(b"..."))
        await process.end()
        self.assert_quiet(process)

    async def test_idle(self) -> None:
        """A server with nothing to do ends at once, whatever it would wait."""
        process, server = await self.start(*PAGES, "--drain", "50")
        lasting = await server.connect(Lasting())
        lasting.ask("/quick")
        await server.log.expect('"GET /quick')
        process.signal("TERM")
        reason = await process.end(within=AT_ONCE)
        self.assertNotIsInstance(reason, ProcessDone)
        self.assertEqual(reason.signal, signal.SIGTERM)
        self.assert_quiet(process)
