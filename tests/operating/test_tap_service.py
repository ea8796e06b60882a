"""What `twist cancelweb` makes of its options: services, and what they do in this process.

What belongs here: `makeService`. What does not: options (`test_tap`), and processes
(`real.system.test_twist`, `real.system.test_twist_drain`).
"""

import re
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cancelweb import tap
from cancelweb._operating.exiting import ExitLimit
from cancelweb.monitor import Monitor
from cancelweb.tap.announcing import url_of
from cancelweb.tap.making import LOOK_EVERY
from cancelweb.tap.service import _accept_waiting_clients, _ports_of

from .._http2 import HTTP2Client
from .._logs import log_events, of_cancelweb
from .._servers import Log, SelfSigned, Server, reactor
from .._sockets import SocketVisit
from .test_tap import ENDPOINT, parsed


class ServiceTests(SynchronousTestCase):
    """The services that are made of the options, before they run."""

    def factories(self, *arguments: str) -> list[Any]:
        """The factories that the ports serve."""
        web, _ = cast(Any, tap.makeService(parsed(*arguments)))
        return [port.factory for port in web]

    def test_what_is_served_is_wrapped(self) -> None:
        """The ports share one site, whose resource is a CancellingResource."""
        first, second = self.factories(
            "--class", "twisted.web.resource.Resource", "--listen", ENDPOINT, "--listen", ENDPOINT
        )
        self.assertIs(first, second)
        self.assertRegex(repr(first.resource), "^<CancellingResource of <twisted.web.resource")

    def test_keepalive(self) -> None:
        """With ``--keepalive``, each port's factory is wrapped to notice vanished clients."""
        for factory in self.factories("--keepalive", "30", "--listen", ENDPOINT):
            self.assertRegex(repr(factory), "^<notice_vanished <.*<twisted.web.server.Site")

    def test_http2(self) -> None:
        """What the client of an HTTP/2 connection can make the server keep is bounded."""
        for factory in self.factories("--listen", ENDPOINT):
            self.assertRegex(repr(factory), "^<bound_http2 <twisted.web.server.Site")

    def test_blind_spots(self) -> None:
        """A running service looks for blind spots at every interval."""
        looks: list[Monitor] = []
        self.patch(Monitor, "blind_spots", lambda monitor: looks.append(monitor))
        _, looking = cast(Any, tap.makeService(parsed()))
        looking.clock = Clock()
        looking.startService()
        looking.clock.pump([LOOK_EVERY] * 3)
        looking.stopService()
        self.assertEqual(len(looks), 4)

    def test_personal(self) -> None:
        """With ``--personal``, the resource that is served to another web server is wrapped."""
        (factory,) = self.factories("--personal", "--listen", ENDPOINT)
        self.assertRegex(repr(factory.root.site.resource), "^<CancellingResource of ")


class RunningTestCase(TestCase):
    """A test with a server that runs in its process."""

    timeout = 20

    def setUp(self) -> None:
        """Give Twisted its signal handlers back in the end, and leave this process running."""
        self.limits: list[float] = []
        self.patch(ExitLimit, "within", lambda _, seconds: self.limits.append(seconds))
        for each in signal.SIGINT, signal.SIGTERM:
            self.addCleanup(signal.signal, each, signal.getsignal(each))


class RunningTests(RunningTestCase):
    """A server that runs in the tests' process."""

    async def visit(self, path: str, page: str) -> SocketVisit:
        """Ask for a page at a UNIX socket."""
        visit = SocketVisit(page)
        await UNIXClientEndpoint(reactor, path).connect(Factory.forProtocol(lambda: visit))
        return visit

    async def test_stopping_drains(self) -> None:
        """A service that is stopped drains: it ends when the request in flight is answered."""
        web, status, events = self.mktemp(), self.mktemp(), log_events(self)
        server = tap.makeService(
            parsed(
                *("--class", "tests.operating._served.Pages", "--drain", "0.2"),
                *("--listen", f"unix:{web}", "--status", f"unix:{status}"),
            )
        )
        server.privilegedStartService()
        server.startService()
        waiter = await self.visit(web, "/waiting")
        page = await (await self.visit(status, "/")).closed
        self.assertIn(b"/waiting", page)
        stopped = server.stopService()
        self.assertIn(
            "stopping: 1 request in flight has 0.2 s to finish; SIGINT stops at once",
            [formatEvent(each) for each in events],
        )
        during = await (await self.visit(status, "/")).closed
        self.assertIn(b"/waiting", during)
        self.assertIn(b" 503 ", (await waiter.closed).splitlines()[0])
        await stopped
        self.assertFalse(Path(web).exists() or Path(status).exists())

    async def test_stopping_with_nothing_in_flight(self) -> None:
        """A service that is stopped while it is idle logs that no requests are in flight."""
        server, events = tap.makeService(parsed("--listen", ENDPOINT)), log_events(self)
        server.startService()
        await server.stopService()
        self.assertIn(
            "stopping: no requests in flight; SIGINT stops at once",
            [formatEvent(each) for each in events],
        )

    async def test_clients_that_are_not_accepted_yet(self) -> None:
        """A client that the kernel has accepted, and the server not yet, is answered 503."""
        path = self.mktemp()
        server = tap.makeService(
            parsed("--class", "tests.operating._served.Pages", "--listen", f"unix:{path}")
        )
        server.startService()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(b"GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await server.stopService()
            connection.settimeout(5)
            self.assertTrue(connection.recv(2000).startswith(b"HTTP/1.1 503 "))

    async def test_stopping_sends_what_http2_holds_back(self) -> None:
        """A service that is stopped ends after all of an answer over HTTP/2 was sent."""
        certificate, events = SelfSigned.make(Path(self.mktemp()).resolve()), log_events(self)
        command = ("--class", "tests.operating._served.Pages", "--listen", certificate.listen())
        server = tap.makeService(parsed(*command))
        server.startService()
        started = [re.search(r"starting on (\d+)", formatEvent(event)) for event in events]
        (port,) = [int(each[1]) for each in started if each]
        connection = await Server(port, Log(), certificate).connect(HTTP2Client(), b"h2")
        self.addCleanup(connection.close)
        stream = connection.get("/soon/0.1/3000000")
        await connection.ping()
        await server.stopService()
        # As the reactor does next.
        for each in reactor.getReaders():
            if isinstance(each, tcp.Server):
                each.loseConnection()
        await stream.until(lambda stream: stream.ended)
        self.assertEqual(len(stream.body), 3_000_000)

    async def test_signals_from_then_on(self) -> None:
        """Once a service is being stopped, SIGINT has its default, and SIGTERM does nothing."""
        server = tap.makeService(parsed("--listen", ENDPOINT))
        server.startService()
        self.assertNotEqual(signal.getsignal(signal.SIGINT), signal.SIG_DFL)
        stopped = server.stopService()
        self.assertEqual(signal.getsignal(signal.SIGINT), signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
        await stopped

    async def test_exit_is_limited(self) -> None:
        """A service that is stopped limits the exit of its process by its options."""
        server = tap.makeService(parsed("--listen", ENDPOINT, "--drain", "7", "--exit-after", "3"))
        server.startService()
        await server.stopService()
        self.assertAlmostEqual(self.limits[1], 7 + 3, places=1)
        self.assertEqual(self.limits[-1], 3)

    async def test_limit_of_the_drain(self) -> None:
        """The limit that began with the signal is withdrawn where that of the drain begins."""
        withdrawn: list[object] = []
        self.patch(ExitLimit, "withdraw", lambda limit: withdrawn.append(limit))
        server: Any = tap.makeService(parsed("--listen", ENDPOINT))
        server.startService()
        server._told_to_stop(reactor, lambda *_: None, signal.SIGTERM, None)
        await server.stopService()
        self.assertEqual(withdrawn, [server._exit_limit])

    async def test_a_delay(self) -> None:
        """The line about the stop says when it begins."""
        events = log_events(self)
        server = tap.makeService(parsed("--listen", ENDPOINT, "--drain-delay", "0.01"))
        server.startService()
        await server.stopService()
        self.assertIn(
            "stopping in 0.01 s: no requests in flight; SIGINT stops at once",
            [formatEvent(each) for each in events],
        )

    def test_signals_before(self) -> None:
        """The first signal has the reactor stop, within a limit; others' handlers are kept."""

        class Reactor:
            def __init__(self) -> None:
                self.told: list[object] = []

            def sigInt(self, *arguments: object) -> None:
                self.told.append(arguments[0])

            sigTerm = sigInt

        server: Any = tap.makeService(parsed("--drain", "10", "--exit-after", "20"))
        fake, others = Reactor(), lambda *_: None
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, others)
        server._handle_signals(fake)
        self.assertIs(signal.getsignal(signal.SIGTERM), others)
        signal.signal(signal.SIGTERM, fake.sigTerm)
        server._handle_signals(fake)
        signal.raise_signal(signal.SIGTERM)
        self.assertEqual((fake.told, self.limits), ([signal.SIGTERM], [30]))
        # From now on, the reactor may be blocked.
        signal.raise_signal(signal.SIGTERM)
        self.assertEqual((fake.told, self.limits), ([signal.SIGTERM], [30]))
        self.assertIs(signal.getsignal(signal.SIGINT), signal.SIG_DFL)

    def refused(self, *options: str) -> tuple[str, Any]:
        """Why a server cannot start, which ends the program; and the factory of its port."""
        server = tap.makeService(parsed(*options))
        line = str(self.assertRaises(SystemExit, server.startService).code)
        self.assertRegex(line, "^cancelweb: cannot start: .+$")
        web, *_ = cast(Any, server)
        (port,) = web
        return line.removeprefix("cancelweb: cannot start: "), port.factory

    def test_port_that_is_none(self) -> None:
        """A port that cannot be listened on ends the program with one line about its option."""
        line, factory = self.refused("--listen", "tcp:99999")
        self.assertEqual(line, "--listen tcp:99999: bind(): port must be 0-65535.")
        factory.doStop()

    async def test_status_port_that_is_none(self) -> None:
        """The line about a port of the status page names its option."""
        server = tap.makeService(parsed("--listen", ENDPOINT, "--status", "99999"))
        line = str(self.assertRaises(SystemExit, server.startService).code)
        self.assertRegex(line, r"^cancelweb: cannot start: --status tcp:99999:\S+: bind\(\): port")
        await server.stopService()

    def test_socket_that_cannot_be_made(self) -> None:
        """The line about a UNIX socket in a directory that does not exist has its path."""
        line, factory = self.refused("--listen", "unix:/no/such")
        self.assertEqual(line, "--listen unix:/no/such: No such file or directory")
        factory.doStop()

    def test_log_that_cannot_be_written(self) -> None:
        """An access log that cannot be written ends the program with one line."""
        line, factory = self.refused("--listen", ENDPOINT, "--logfile", "/no/such")
        self.assertEqual(line, "[Errno 2] No such file or directory: '/no/such'")
        factory.stopFactory()


class AnnouncingTests(RunningTestCase):
    """The URLs that the log has when a server starts."""

    async def lines(self, *options: str) -> list[str]:
        """The lines of cancelweb's own that a server logs when it starts, with # for each port."""
        events = log_events(self)
        server = tap.makeService(parsed("--class", "tests.operating._served.Pages", *options))
        server.privilegedStartService()
        server.startService()
        lines = [formatEvent(event) for event in of_cancelweb(events)]
        await server.stopService()
        return [re.sub(r":\d+/$", ":#/", line) for line in lines]

    async def test_site_and_status_page(self) -> None:
        """The log has the URLs of the site and of the status page, with the real ports."""
        lines = await self.lines("--listen", "tcp:0", "--status", "0")
        self.assertEqual(
            lines, ["serving at http://localhost:#/", "status page at http://127.0.0.1:#/"]
        )

    async def test_port_is_real(self) -> None:
        """For a port 0 the URL has the port that the system has chosen."""
        events = log_events(self)
        server = tap.makeService(parsed("--listen", "tcp:0:interface=127.0.0.1"))
        server.startService()
        (line,) = [formatEvent(event) for event in of_cancelweb(events)]
        port = line.removeprefix("serving at http://127.0.0.1:").removesuffix("/")
        visit = SocketVisit("/")
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", int(port))
        await endpoint.connect(Factory.forProtocol(lambda: visit))
        self.assertIn(b"HTTP/1.1 ", await visit.closed)
        await server.stopService()

    async def test_interfaces(self) -> None:
        """A URL has the interface that a port listens on; an IPv6 address is in brackets."""
        for endpoint, url in {
            r"tcp6:0:interface=\:\:1": "http://[::1]:#/",
            r"tcp6:0:interface=\:\:": "http://localhost:#/",
            "tcp:0:interface=127.0.0.1": "http://127.0.0.1:#/",
        }.items():
            self.assertEqual(await self.lines("--listen", endpoint), [f"serving at {url}"])

    async def test_tls(self) -> None:
        """The URL of a port with TLS begins with https."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        lines = await self.lines("--listen", certificate.listen())
        self.assertEqual(lines, ["serving at https://127.0.0.1:#/"])

    async def test_unix(self) -> None:
        """A UNIX socket, which has no URL, has its path in the log."""
        # The system limits the path to about 100 characters, and trial's directory may be deep.
        directory = tempfile.mkdtemp(dir="/tmp")
        self.addCleanup(shutil.rmtree, directory)
        path = f"{directory}/socket"
        lines = await self.lines("--listen", f"unix:{path}")
        self.assertEqual(lines, [f"serving at unix:{path}"])


class AddressTests(SynchronousTestCase):
    """The text for addresses of ports of unknown kinds."""

    def test_unknown_address(self) -> None:
        """An address of another kind is told as it is."""
        self.assertEqual(url_of("carrier pigeon", "http"), "carrier pigeon")


class AcceptTests(TestCase):
    """Accepting clients that are waiting when ports are closed."""

    def test_reactor_that_tells_of_no_ports(self) -> None:
        """A reactor that does not tell what it reads from has no ports to accept on."""
        self.assertEqual(_ports_of(Clock()), [])

    async def test_port_that_is_closed_already(self) -> None:
        """To accept on a port that is closed already logs no error."""
        port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        self.assertIn(port, _ports_of(reactor))
        await port.stopListening()
        _accept_waiting_clients([port])
        self.assertEqual(self.flushLoggedErrors(), [])
