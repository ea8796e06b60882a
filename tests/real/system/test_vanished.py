"""`notice_vanished`: clients that vanish without closing their connection.

What belongs here: real connections, one of which is really cut. What does not: clients that leave
in an orderly way.
"""

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.application.service import IServiceCollection
from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import providedBy

from cancelweb import connections
from cancelweb.connections import notice_vanished

from ..._docs import VANISHED, run
from ..._http2 import HTTP2Client
from ..._logs import log_events, of_cancelweb
from ..._pages import PAGE, GetPage
from ..._servers import LOOPBACK, Log, LoggedProcess, SelfSigned, Server, reactor
from ..._sockets import SocketVisit
from ._namespaces import ADDRESSES, Cable

SECONDS = 3
"""The seconds after which the loss of a client must be noticed."""


class CutTests(TestCase):
    """A server and its clients in two network namespaces, and a cable that is cut."""

    timeout = 60

    def spawn(self, end: int, *arguments: str) -> LoggedProcess:
        """Run a program at one end of the cable for the length of the test."""
        process = LoggedProcess()
        self.cable.spawn(end, process, "-m", "tests.real.system._vanishing", *arguments)
        self.addCleanup(process.stop)
        return process

    async def cut_off(self) -> LoggedProcess:
        """Clients of two pages in four ways, that vanish; returns the server."""
        self.cable = Cable.lay(self)
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        files = (str(certificate.certificate), str(certificate.private_key))
        server = self.spawn(0, "serve", str(SECONDS), ADDRESSES[0], *files)
        plain, tcp, tls = (await server.log.expect("^ports")).split()[1:]
        ways = [(plain, "tcp"), (tcp, "tcp"), (tls, "http/1.1"), (tls, "h2")]
        visits = [(*way, f"{page}-{way[1]}") for way in ways for page in ("/waiting", "/streaming")]
        for client in [self.spawn(1, "visit", ADDRESSES[0], *visit) for visit in visits]:
            await client.log.expect("received")
        self.cable.cut()
        return server

    async def test_is_noticed(self) -> None:
        """Vanished clients are noticed in time, with and without writes; on a plain Site, never."""
        server = await self.cut_off()
        for page in "waiting", "streaming":
            for way in "tcp/{}-tcp", "tls/{}-http/1.1", "tls/{}-h2":
                # Two more for a machine that has a lot to do.
                ended = f"^{way.format(page)} ended: .*disconnected"
                await server.log.expect(ended, within=SECONDS + 2)
        self.assertEqual(server.log.matching("plain"), [])


NAMES = ["TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT"]


def options_of_server() -> list[int]:
    """The options of the only connection that this process has as a server."""
    (transport,) = (each for each in reactor.getReaders() if isinstance(each, tcp.Server))
    connection = transport.getHandle()
    options = [(socket.IPPROTO_TCP, getattr(socket, name)) for name in NAMES]
    return [connection.getsockopt(*each) for each in [KEEPALIVE, *options]]


SET = [1, 30, 3, 10, 57000]
"""What 60 seconds come to."""

KEEPALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)


class OptionsTests(TestCase):
    """The options of connections over loopback."""

    timeout = 30

    def setUp(self) -> None:
        """A Site that notes the options of its connection."""
        self.options: list[int] = []

        def page(request: Request) -> bytes:
            self.options = options_of_server()
            return PAGE

        self.site = Site(GetPage(page))

    async def listen(self, endpoint: str, certificate: SelfSigned | None = None) -> Server:
        """Listen with that Site."""
        port = await serverFromString(reactor, endpoint).listen(notice_vanished(self.site, 60))
        self.addCleanup(port.stopListening)
        return Server(getattr(port.getHost(), "port", 0), Log(), certificate)

    async def test_over_tcp(self) -> None:
        """A connection over TCP has its options when the first request is handled."""
        server = await self.listen(f"tcp:0:interface={LOOPBACK}")
        visit = await server.connect(SocketVisit("/"))
        self.assertIn(PAGE, await visit.closed)
        self.assertEqual(self.options, SET)

    async def test_over_tls_and_http2(self) -> None:
        """A connection over TLS has its options, and HTTP/2 is negotiated as ever."""
        certificate = SelfSigned.make(Path(self.mktemp()))
        server = await self.listen(certificate.listen(), certificate)
        connection = await server.connect(HTTP2Client(), b"h2")
        stream = await connection.get("/").until(lambda stream: stream.ended)
        self.assertEqual((stream.body, self.options), (PAGE, SET))
        await connection.close()

    async def test_over_tls_and_http1(self) -> None:
        """A connection over TLS that speaks HTTP/1.1 has its options."""
        certificate = SelfSigned.make(Path(self.mktemp()))
        server = await self.listen(certificate.listen(), certificate)
        visit = await server.connect(SocketVisit("/"))
        self.assertIn(PAGE, await visit.closed)
        self.assertEqual(self.options, SET)

    async def test_over_a_unix_socket(self) -> None:
        """A connection that is not TCP is left as it is."""
        self.site = Site(GetPage(lambda request: PAGE))
        path = Path(self.mktemp()).absolute().relative_to(Path.cwd())
        await self.listen(f"unix:{path}")
        visit = SocketVisit("/")
        await UNIXClientEndpoint(reactor, str(path)).connect(Factory.forProtocol(lambda: visit))
        self.assertIn(PAGE, await visit.closed)


class Deaf(Protocol):
    """A client that asks, and takes in nothing."""

    def connectionMade(self) -> None:
        """Ask."""
        transport: Any = self.transport
        transport.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        transport.pauseProducing()


class SlowReaderTests(TestCase):
    """A client that is there, and reads nothing."""

    timeout = 30

    async def test_counts_as_vanished(self) -> None:
        """A client that reads nothing for so long, although more is to come, counts as vanished."""
        lost: Deferred[None] = Deferred()

        def flood(request: Request) -> int:
            request.notifyFinish().addErrback(lambda _: lost.callback(None))
            request.write(b"." * 20_000_000)
            return NOT_DONE_YET

        endpoint = serverFromString(reactor, f"tcp:0:interface={LOOPBACK}")
        port = await endpoint.listen(notice_vanished(Site(GetPage(flood)), 2))
        self.addCleanup(port.stopListening)
        deaf = await Server(port.getHost().port, Log()).connect(Deaf())
        await lost
        cast(Any, deaf.transport).abortConnection()


class FactoryTests(SynchronousTestCase):
    """What `notice_vanished` gives to listen with."""

    def test_looks_like_the_factory(self) -> None:
        """`notice_vanished` returns what has the interfaces and attributes of the Site."""
        site = Site(Resource())
        noticing = notice_vanished(site, 15)
        for interface in providedBy(site):
            self.assertTrue(interface.providedBy(noticing))
        self.assertIs(noticing.resource, site.resource)
        self.assertEqual(repr(noticing), f"<notice_vanished {site!r}>")

    def test_other_transports(self) -> None:
        """A connection on a transport that is not TCP is served as before."""
        transport = StringTransport()
        site = Site(GetPage(lambda request: PAGE), reactor=cast(Any, Clock()))
        protocol: Any = notice_vanished(site, 15).buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn(PAGE, transport.value())

    def test_leaves_protocols_as_they_were(self) -> None:
        """A protocol that is connected has the attributes that its factory gave it, and no more."""
        factory = Factory.forProtocol(Protocol)
        protocol: Any = notice_vanished(factory, 15).buildProtocol(None)
        plain: Any = factory.buildProtocol(None)
        for each in protocol, plain:
            each.makeConnection(StringTransport())
        self.assertEqual(set(vars(protocol)), set(vars(plain)))

    def test_a_factory_that_refuses(self) -> None:
        """A factory may refuse a connection by building nothing."""

        class Refusing(Factory):
            def buildProtocol(self, addr: object) -> Any:
                return None

        self.assertIsNone(notice_vanished(Refusing(), 15).buildProtocol(None))

    def test_wrong_arguments(self) -> None:
        """Wrong arguments of `notice_vanished` are errors when it is called."""
        site = Site(Resource())
        for error, arguments in [
            (TypeError, (Resource(), 15)),
            (TypeError, (site, 1.5)),
            (TypeError, (site, True)),
            (ValueError, (site, 1)),
            (ValueError, (site, 65535)),
        ]:
            self.assertRaises(error, notice_vanished, *cast(Any, arguments))

    def test_all_lengths(self) -> None:
        """Silence is probed in time, whatever the number of seconds, and never too often."""
        for seconds in range(2, 65535):
            idle, interval, count, timeout = (value for _, value in connections._options(seconds))
            self.assertTrue(1 <= idle <= 32767 and 1 <= interval <= 32767 and 1 <= count <= 127)
            # Without the last option the probes decide, with it the first that is sent after it.
            self.assertLessEqual(idle + interval * count, seconds)
            self.assertLessEqual(timeout + 1000 * interval, 1000 * seconds)
            self.assertGreater(timeout, 0)


class PlatformTests(SynchronousTestCase):
    """Platforms that lack an option."""

    def options(self, **known: int) -> tuple[dict[int, int], list[str]]:
        """The options where only these are known, and those that were warned of."""
        events = log_events(self)
        self.patch(connections, "socket", SimpleNamespace(**known))
        options = dict(connections._options(60))
        return options, [event["option"] for event in of_cancelweb(events)]

    def test_without_user_timeout(self) -> None:
        """Where there is no TCP_USER_TIMEOUT keepalive is set, and a warning is logged."""
        options, missing = self.options(TCP_KEEPIDLE=4, TCP_KEEPINTVL=5, TCP_KEEPCNT=6)
        self.assertEqual((options, missing), ({4: 30, 5: 3, 6: 10}, ["TCP_USER_TIMEOUT"]))

    def test_on_macos(self) -> None:
        """On macOS, where TCP_KEEPIDLE has another name, keepalive is set."""
        options, missing = self.options(TCP_KEEPALIVE=16, TCP_KEEPINTVL=257, TCP_KEEPCNT=258)
        self.assertEqual((options[16], missing), (30, ["TCP_USER_TIMEOUT"]))


class HowToTests(SynchronousTestCase):
    """The program of the how-to."""

    def test_listens_with_it(self) -> None:
        """The how-to's application listens with a Site whose vanished clients are noticed."""
        names = run(VANISHED.read_text())
        (service,) = names["application"].getComponent(IServiceCollection)
        self.assertRegex(repr(service.factory), "notice_vanished <.*Site")


if not hasattr(socket, "TCP_USER_TIMEOUT"):
    for _case in CutTests, OptionsTests, SlowReaderTests:
        _case.skip = "TCP_USER_TIMEOUT is needed, which only Linux has"
