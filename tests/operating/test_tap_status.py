"""The port of the status page of `twist cancelweb`: its interface, its names, and its access log.

What belongs here: endpoints of all kinds, in this process. What does not: what the page answers
(`test_status_hosts`, `test_status_serving`).
"""

import socket
from pathlib import Path
from typing import Any, cast

from twisted.internet import endpoints
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.internet.task import Clock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cancelweb import tap
from cancelweb.monitor import Monitor
from cancelweb.status import QuietSite, StatusResource
from cancelweb.tap.loopback import endpoint_from

from .._servers import SelfSigned, reactor
from .._visits import connect
from .test_tap import ENDPOINT, parsed
from .test_tap_service import RunningTestCase


@implementer(IPlugin, IStreamServerEndpointStringParser)
class Wrapping:
    """A plugin for endpoints such as ``wrapping:/certificates:tcp:443``, as of txsni."""

    prefix = "wrapping"

    def parseStreamServer(self, reactor: Any, *args: object, **kwargs: object) -> Any:
        """Make the endpoint of all but the first argument."""
        description = ":".join(
            [*map(str, args[1:]), *(f"{name}={value}" for name, value in kwargs.items())]
        )
        return endpoints.serverFromString(reactor, description)


class EndpointsTests(SynchronousTestCase):
    """What is made of the endpoint that is given to ``--status``."""

    def test_is_on_loopback(self) -> None:
        """An endpoint is on loopback unless it names an interface."""
        for given, endpoint in {
            "9000": "tcp:9000:interface=127.0.0.1",
            "tcp:9000": "tcp:9000:interface=127.0.0.1",
            "tcp:port=9000": "tcp:port=9000:interface=127.0.0.1",
            "tcp6:9000": r"tcp6:9000:interface=\:\:1",
            "tls:/certificates:9000": r"tls:/certificates:9000:interface=\:\:1",
            "TLS:/certificates:9000": r"TLS:/certificates:9000:interface=\:\:1",
            "ssl:9000": "ssl:9000:interface=127.0.0.1",
            "haproxy:tcp:9000": "haproxy:tcp:9000:interface=127.0.0.1",
            "HAProxy:tcp:9000": "HAProxy:tcp:9000:interface=127.0.0.1",
            "haproxy:haproxy:ssl:9000": "haproxy:haproxy:ssl:9000:interface=127.0.0.1",
            "haproxy:9000": "haproxy:tcp:9000:interface=127.0.0.1",
            r"ssl:9000:privateKey=a\:interface=b": (
                r"ssl:9000:privateKey=a\:interface=b:interface=127.0.0.1"
            ),
            "tcp:9000:interface=": "tcp:9000:interface=:interface=127.0.0.1",
        }.items():
            self.assertEqual(endpoint_from(given), endpoint)

    def test_is_as_given(self) -> None:
        """An endpoint that names an interface, and one of an unknown kind, stay as they are."""
        for given in (
            *("tcp:9000:interface=0.0.0.0", "tcp:interface=0.0.0.0:port=9000"),
            *(r"tcp6:9000:interface=\:\:", "haproxy:tcp:9000:interface=0.0.0.0"),
            *("unix:socket", "unix:tcp", "systemd:domain=INET:index=0", "wrapping:x:tcp:9000"),
        ):
            self.assertEqual(endpoint_from(given), given)


class PortsTests(RunningTestCase):
    """The port that listens in the end."""

    def setUp(self) -> None:
        super().setUp()
        find = vars(endpoints)["getPlugins"]
        self.patch(endpoints, "getPlugins", lambda kind: [*find(kind), Wrapping()])

    async def host(self, given: str) -> str:
        """The address on which the status page listens, or why it does not."""
        server = tap.makeService(parsed("--listen", ENDPOINT, "--status", given))
        try:
            server.startService()
        except SystemExit as error:
            await server.stopService()
            return str(error)
        *_, page = cast(Any, server)
        port = page._waitingForPort.result
        host = str(getattr(port.getHost(), "host", port.getHost()))
        await server.stopService()
        return host

    async def test_on_loopback(self) -> None:
        """Whatever the endpoint is, it is on loopback unless it names another interface."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        tls = certificate.listen().partition(":interface")[0]
        for given, host in {
            "0": "127.0.0.1",
            "tcp:0": "127.0.0.1",
            "tcp6:0": "::1",
            "haproxy:tcp:0": "127.0.0.1",
            "HAPROXY:tcp6:0": "::1",
            tls: "127.0.0.1",
            f"haproxy:{tls}": "127.0.0.1",
            "tcp:0:interface=0.0.0.0": "0.0.0.0",
            "haproxy:tcp:0:interface=0.0.0.0": "0.0.0.0",
            "wrapping:x:tcp:0:interface=127.0.0.1": "127.0.0.1",
            "wrapping:x:tcp:0:interface=0.0.0.0": "0.0.0.0",
        }.items():
            self.assertEqual(await self.host(given), host, given)

    async def test_elsewhere(self) -> None:
        """An endpoint that listens elsewhere without naming the interface ends the program."""
        for given in (
            *("wrapping:x:tcp:0", "haproxy:wrapping:x:tcp:0", "wrapping:interface:tcp:0"),
            *("wrapping:x:tcp6:0",),
        ):
            self.assertRegex(
                await self.host(given),
                r"^cancelweb: cannot start: --status \S+: this endpoint listens on (0\.0\.0\.0|::)"
                r", where .* tcp, and add :interface=\.\.\. with",
            )

    async def test_adopted_socket(self) -> None:
        """A socket that is given to the process must be on loopback, or a UNIX socket."""

        class Adopting(Wrapping):
            prefix = "adopting"

            def parseStreamServer(self, reactor: Any, *args: object, **kwargs: object) -> Any:
                kind = socket.AF_INET
                return endpoints.AdoptedStreamServerEndpoint(reactor, descriptor, kind)

        find = vars(endpoints)["getPlugins"]
        self.patch(endpoints, "getPlugins", lambda kind: [*find(kind), Adopting()])
        for host, answer in {"127.0.0.1": r"^127\.0\.0\.1$", "": r"listens on 0\.0\.0\.0,"}.items():
            # The endpoint closes it.
            descriptor = socket.create_server((host, 0)).detach()
            self.assertRegex(await self.host("adopting:"), answer)

    async def test_unix(self) -> None:
        """A UNIX socket needs no interface."""
        path = self.mktemp()
        self.assertIn("UNIXAddress", await self.host(f"unix:{path}"))

    async def test_refused_port_is_closed(self) -> None:
        """A port that is refused accepts no client, and is closed."""
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            number = reserved.getsockname()[1]
        self.assertIn("listens on", await self.host(f"wrapping:x:tcp:{number}"))
        self.assertEqual(
            [each for each in reactor.getReaders() if getattr(each, "port", None) == number], []
        )
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", number)).close()


class SiteTests(SynchronousTestCase):
    """The Site of the status page."""

    def test_hosts(self) -> None:
        """With ``--status-host``, the status page may be opened by the named hosts."""
        names = ("status.example", "status")
        arguments = [each for name in names for each in ("--status-host", name)]
        *_, page = cast(Any, tap.makeService(parsed("--status", "0", *arguments)))
        for host, code in {"status.example": 200, "status": 200, "evil.example": 421}.items():
            connection = connect(page.factory.resource)
            connection.get(headers={b"Host": host.encode()})
            self.assertEqual(connection.response.code, code, host)

    def test_has_no_access_log(self) -> None:
        """Requests for the status page are not in the access log: pages, errors, refusals."""
        *_, page = cast(Any, tap.makeService(parsed("--status", "0")))
        self.assertIsInstance(page.factory, QuietSite)
        path = self.mktemp()
        clock: Any = Clock()
        site = QuietSite(StatusResource(Monitor()), logPath=path, reactor=clock)
        site.startFactory()
        self.addCleanup(site.stopFactory)
        for target in b"/", b"/json", b"/page.js", b"/none":
            for host in b"localhost", b"evil.example":
                connection = connect(site)
                connection.get(path=target, headers={b"Host": host})
        self.assertEqual(Path(path).read_text(), "")
