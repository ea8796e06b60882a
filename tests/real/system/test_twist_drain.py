"""`twist cancelweb` as a process that is stopped while it works.

What belongs here: signals, and what clients get. What does not: drains by themselves
(`operating.test_drain`).
"""

import signal
from pathlib import Path
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError, ConnectionRefusedError, ProcessDone
from twisted.internet.protocol import Factory, Protocol

from ..._http2 import HTTP2Client
from ..._servers import (
    LOOPBACK,
    TWIST_CANCELWEB,
    TWISTD_CANCELWEB,
    SelfSigned,
    Server,
    launch,
    reactor,
)
from ..._sockets import SocketVisit
from ._tapped import AT_ONCE, PAGES, STOPPING, Keen, Lasting, ServerTestCase


class DrainTests(ServerTestCase):
    """Servers that are stopped while they work."""

    async def test_in_flight_is_finished(self) -> None:
        """A server that is stopped answers all requests in flight, and then ends."""
        for name in "TERM", "INT":
            process, server = await self.start(*PAGES, "--drain", "20")
            visits = [await self.visit(server, f"/soon/1/3000000?{n}") for n in range(20)]
            process.signal(name)
            for answer in await gatherResults([each.closed for each in visits]):
                self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer[:100])
                self.assertTrue(answer.endswith(b"\r\n\r\n" + b"." * 3_000_000))
            reason = await process.end(within=AT_ONCE)
            self.assertEqual(reason.signal, getattr(signal, f"SIG{name}"))
            self.assert_quiet(process)

    async def test_access_log_goes_on(self) -> None:
        """A response that is sent while the server stops is in the access log."""
        process, server = await self.start(*PAGES)
        visit = await self.visit(server, "/soon/1/3")
        process.signal("TERM")
        await visit.closed
        await process.end()
        self.assertEqual(len(process.log.matching('"GET /soon/1/3 HTTP/1.1" 200')), 1)

    async def test_the_rest_is_cancelled(self) -> None:
        """A request that outlasts the drain is answered 503, and its hook is waited for."""
        options = (
            "--drain",
            "0.5",
            "--on-cancel",
            "tests.operating._served.hook",
            "--methods",
            "PUT",
        )
        process, server = await self.start(*PAGES, *options)
        visits = [await self.visit(server, f"/waiting?{n}") for n in range(20)]
        process.signal("TERM")
        for answer in await gatherResults([each.closed for each in visits]):
            self.assertTrue(answer.startswith(b"HTTP/1.1 503 "), answer)
            self.assertIn(b"\r\nRetry-After: ", answer)
            self.assertIn(b"</html>", answer)
        await process.end()
        for line in "no longer waiting", "the hook has run: the server is shutting down":
            self.assertEqual(len(process.log.matching(line)), 20, line)
        self.assert_quiet(process)

    async def test_no_client_is_left_without_an_answer(self) -> None:
        """Clients that ask without end are all answered until the server closes them."""
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
                self.assertTrue((await visit.closed).endswith(b"\r\n\r\n..."))
            await process.end()
            self.assert_quiet(process)

    async def test_detached_work_is_waited_for(self) -> None:
        """Detached work is over before the server ends."""
        process, server = await self.start(*PAGES)
        await (await server.connect(SocketVisit("/detaching"))).closed
        process.signal("TERM")
        await process.end()
        self.assertEqual(len(process.log.matching("the detached work is done")), 1)

    async def test_new_clients_are_refused(self) -> None:
        """A server that drains refuses connections, and answers 503 on those that are open."""
        process, server = await self.start(*PAGES, "--drain", "20")
        lasting = await server.connect(Lasting())
        visit = await self.visit(server, "/soon/2/3")
        process.signal("TERM")
        await server.log.expect(r"Port \d+ Closed")
        await self.until_refused(server)
        lasting.ask("/quick")
        answer = await visit.closed
        self.assertTrue(answer.endswith(b"\r\n\r\n..."), answer)
        self.assertTrue(lasting.received.startswith(b"HTTP/1.1 503 "), lasting.received)
        self.assertIn(b"\r\nConnection: close\r\n", lasting.received)
        self.assertIn(b"\r\nRetry-After: ", lasting.received)
        await process.end()
        self.assert_quiet(process)

    async def until_refused(self, server: Server) -> None:
        """Wait until connections are refused: the line in the log comes a moment before."""
        endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, server.port)
        while True:
            try:
                connection: Any = await endpoint.connect(Factory.forProtocol(Protocol))
            except ConnectionRefusedError:
                return
            except ConnectError:
                # Reset, by a port that closes while it connects: ask again.
                continue
            connection.transport.abortConnection()

    async def test_http2(self) -> None:
        """Over HTTP/2, a stream in flight is answered in full, or cancelled with a 503."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        process, server = await self.start(*PAGES, "--drain", "2", certificate=certificate)
        connection = await server.connect(HTTP2Client(), b"h2")
        soon, waiting = connection.get("/soon/1/3000"), connection.get("/waiting")
        await connection.ping()
        process.signal("TERM")
        await soon.until(lambda stream: stream.ended)
        self.assertEqual((soon.headers[b":status"], len(soon.body)), (b"200", 3000))
        await waiting.until(lambda stream: stream.ended)
        self.assertEqual(waiting.headers[b":status"], b"503")
        await process.end()
        self.assert_quiet(process)

    async def test_large_answers_at_the_end_over_http2(self) -> None:
        """Over HTTP/2, large responses are sent in full before the server ends."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        process, server = await self.start(*PAGES, "--drain", "20", certificate=certificate)
        connection = await server.connect(HTTP2Client(), b"h2")
        streams = [connection.get("/soon/1/3000000") for _ in range(5)]
        await connection.ping()
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
        """A SIGINT ends the process at once, even if a thread cannot be stopped."""
        process, server = await self.start(
            "--wsgi", "tests.operating._served.stuck", "--drain", "0"
        )
        await self.visit(server, "/")
        process.signal("TERM")
        await server.log.expect("GET /: .*: the server is shutting down")
        process.signal("INT")
        reason = await process.end(within=AT_ONCE)
        self.assertEqual(reason.signal, signal.SIGINT)

    async def test_terminated_again(self) -> None:
        """A second SIGTERM during the drain changes nothing."""
        process, server = await self.start(*PAGES, "--drain", "20")
        visit = await self.visit(server, "/soon/1/3")
        process.signal("TERM")
        await server.log.expect(STOPPING)
        process.signal("TERM")
        self.assertTrue((await visit.closed).endswith(b"..."))
        await process.end()
        self.assert_quiet(process)

    async def test_idle(self) -> None:
        """A server with nothing to do ends at once, however long it may drain."""
        process, server = await self.start(*PAGES, "--drain", "50")
        lasting = await server.connect(Lasting())
        lasting.ask("/quick")
        await server.log.expect('"GET /quick')
        process.signal("TERM")
        reason = await process.end(within=AT_ONCE)
        self.assertNotIsInstance(reason, ProcessDone)
        self.assertEqual(reason.signal, signal.SIGTERM)
        self.assert_quiet(process)


class LameDuckTests(ServerTestCase):
    """Servers that serve for a while after the signal, until load balancers know."""

    async def start_with_status(self, command: tuple[str, ...], delay: str) -> Any:
        """Run a server with a status page; returns process, server, and the page's server."""
        status = ("--status", f"tcp:0:interface={LOOPBACK}", "--drain-delay", delay)
        process, server = await launch(self, (*command, *PAGES, *status))
        line = await process.log.expect("status page at ")
        port = int(line.rstrip("/").rpartition(":")[2])
        return process, server, Server(port, process.log)

    async def ask(self, server: Server, path: str) -> bytes:
        """The answer to a new client."""
        return await (await server.connect(SocketVisit(path))).closed

    async def test_serves(self) -> None:
        """In the delay a new client is served while probes are told; then the port closes."""
        for command in TWIST_CANCELWEB, TWISTD_CANCELWEB:
            process, server, status = await self.start_with_status(command, "2")
            self.assertIn(b" 200 OK\r\n", await self.ask(status, "/readyz"))
            process.signal("TERM")
            await server.log.expect(STOPPING)
            process.signal("TERM")
            lasting = await server.connect(Lasting())
            lasting.ask("/quick")
            await server.log.expect('"GET /quick')
            self.assertIn(b" 503 Service Unavailable\r\n", await self.ask(status, "/readyz"))
            self.assertIn(b" 200 OK\r\n", await self.ask(status, "/livez"))
            self.assertEqual(process.log.matching(r"Port \d+ Closed"), [])
            reason = await process.end(within=20)
            self.assertEqual(reason.signal, signal.SIGTERM)
            self.assertIn(b"HTTP/1.1 200 OK\r\n", lasting.received)
            self.assertIn(b"Connection: close", lasting.received)
            self.assert_quiet(process)

    async def test_interrupted(self) -> None:
        """A SIGINT in the delay ends the process at once, by that signal."""
        process, server, _ = await self.start_with_status(TWIST_CANCELWEB, "50")
        await self.ask(server, "/quick")
        process.signal("INT")
        await server.log.expect(STOPPING)
        process.signal("INT")
        reason = await process.end(within=AT_ONCE)
        self.assertEqual(reason.signal, signal.SIGINT)
