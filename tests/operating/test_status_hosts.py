"""What opens the status page: the names and addresses in a request, and the pages of other sites.

What belongs here: the ``Host`` and the origin of a request, in memory. What does not: what the page
is made of (`test_status_serving`), and the interface that its port listens on (`test_tap_status`).
"""

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from cancelweb import Scope
from cancelweb.monitor import Monitor
from cancelweb.status import StatusResource
from cancelweb.status._resource import HEADERS
from cancelweb.testing import Client, Connection

from .._visits import connect, connect_http2, response_of
from ._statuses import PATHS, StatusTestCase

OWN = "10.1.2.3"
"""An address of the server that is not on loopback."""


class HostsTestCase(StatusTestCase):
    """A test of what opens the status page, which allows a name and an address."""

    def setUp(self) -> None:
        super().setUp()
        self.status = StatusResource(self.site.monitor, hosts=["Status.example", "10.9.9.9"])

    def code(self, **headers: str) -> int:
        """The status of the page for a request with these headers."""
        connection = connect(self.status, self.clock)
        raw = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        connection.get(headers=raw)
        return connection.response.code

    def sent(self, lines: bytes) -> Connection:
        """The connection on which these lines were sent."""
        connection = connect(self.status, self.clock)
        connection.send(lines + b"\r\n")
        return connection

    def codes_at(self, address: Any, hosts: list[str]) -> dict[str, bytes]:
        """The status for each host, on a port with this address."""
        codes = {}
        for host in hosts:
            transport = StringTransport(hostAddress=address)
            site = Client(self.status, self.clock, watch=False).site
            protocol: Any = site.buildProtocol(None)
            protocol.makeConnection(transport)
            protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host.encode())
            codes[host] = transport.value().split()[1]
            protocol.connectionLost(Failure(ConnectionDone()))
        return codes


class NamesTests(HostsTestCase):
    """The names and addresses that a request may have as its host."""

    def test_accepted(self) -> None:
        """The page opens by localhost, any loopback address, and what its owner allows."""
        for host in (
            *("localhost", "localhost:80", "LOCALHOST:80", "LOCALHOST.", "localhost.:9000"),
            *("127.0.0.1", "127.0.0.1:9000", "127.8.9.10", "[::1]", "[::1]:9000", "[0:0::1]:9000"),
            *("[::ffff:127.0.0.1]", "[::FFFF:7f00:1]:9000", "127.0.0.1:"),
            *("status.example", "status.EXAMPLE.:443", "10.9.9.9:9000"),
        ):
            self.assertEqual(self.code(Host=host), 200, host)

    def test_refused(self) -> None:
        """The page answers 421 to any other name, address, or text that is neither."""
        for host in (
            *("evil.example", "evil.example:9000", "127.0.0.1.evil.example", "localhost.evil"),
            *(
                "evil-localhost",
                "notlocalhost",
                "sub.status.example",
                "sub.localhost",
                "localhost..",
            ),
            *("0.0.0.0", "0.0.0.0:9000", "[::]", "127.1", "2130706433", "0x7f.1", "0177.0.0.1"),
            *("[::1", "::1", ":9000", "[]", "\xff", "%31%32%37.0.0.1", "[::ffff:10.0.0.1]"),
            *("10.9.9.8", "192.168.0.1:9000", "[fe80::1]", "[2001:db8::1]:9000"),
            *(
                "evil@localhost",
                "localhost@evil",
                "localhost:80:80",
                "localhost:evil",
                "localhost x",
                "localhost/evil",
                "127.0.0.1?evil",
                "localhost:9000#evil",
            ),
        ):
            self.assertEqual(self.code(Host=host), 421, host)

    def test_empty(self) -> None:
        """A Host without a name is refused."""
        self.assertIn(
            b" 421 Misdirected Request\r\n", self.sent(b"GET / HTTP/1.1\r\nHost:\r\n").received
        )

    def test_own_address(self) -> None:
        """The page opens by the address at which the client has reached the server."""
        own = {f"{OWN}": b"200", f"{OWN}:9000": b"200", "10.1.2.4": b"421", "evil.example": b"421"}
        for host in OWN, f"::ffff:{OWN}":
            address = IPv4Address("TCP", host, 9000)
            self.assertEqual(self.codes_at(address, [*own]), own)
        own = {"[fe80::1]:9000": b"200", "[FE80:0::1]": b"200", "[fe80::2]": b"421", OWN: b"421"}
        for host in "fe80::1", "fe80::1%eth0":
            self.assertEqual(self.codes_at(IPv6Address("TCP", host, 9000), [*own]), own)

    def test_unix_socket(self) -> None:
        """Behind a UNIX socket, which has no address, the same names are accepted."""
        own = {"localhost": b"200", "status.example": b"200", OWN: b"421"}
        self.assertEqual(self.codes_at(UNIXAddress(b"/run/status"), [*own]), own)

    def test_several(self) -> None:
        """Of several hosts, each must be accepted."""
        for hosts, code in {
            (b"evil.example", b"localhost"): b"421",
            (b"localhost", b"evil.example"): b"421",
            (b"localhost", b"127.0.0.1"): b"200",
        }.items():
            lines = b"".join(b"Host: %b\r\n" % each for each in hosts)
            received = self.sent(b"GET / HTTP/1.1\r\n" + lines).received
            self.assertTrue(received.startswith(b"HTTP/1.1 " + code), hosts)

    def test_in_the_target(self) -> None:
        """A host in the target of the request must be accepted, too."""
        for target in b"http://evil.example/json", b"HTTP://evil.example/", b"x://":
            received = self.sent(b"GET %b HTTP/1.1\r\nHost: localhost\r\n" % target).received
            self.assertNotIn(b" 200 ", received, target)
        received = self.sent(
            b"GET http://evil.example/json HTTP/1.1\r\nHost: localhost\r\n"
        ).received
        self.assertIn(b" 421 ", received)
        # This is a path with a query.
        self.assertIn(b" 200 ", self.sent(b"GET /?a=http://evil.example HTTP/1.1\r\n").received)

    def test_http2(self) -> None:
        """Over HTTP/2, the authority is the host."""
        for authority, code in {b"evil.example": 421, b"localhost:9000": 200}.items():
            exchange = connect_http2(self.status, self.clock).get(
                headers={b":authority": authority}
            )
            self.assertEqual(response_of(exchange).code, code)

    def test_none(self) -> None:
        """A request without Host, which no browser sends, is refused only if it has an Origin."""
        for header, code in {b"": b"200", b"Origin: null\r\n": b"403"}.items():
            received = self.sent(b"GET / HTTP/1.0\r\n" + header).received
            self.assertTrue(received.startswith(b"HTTP/1.0 " + code), header)

    def test_that_cannot_be_allowed(self) -> None:
        """Hosts that are not a collection of names are an error that says what to pass."""
        wrong: Any
        for wrong in "status.example", 3, [b"status.example"]:
            with self.assertRaisesRegex(TypeError, r"hosts must be a collection of names such as"):
                StatusResource(Monitor(), hosts=wrong)
        for wrong in "http://status.example", "status.example:80", "status .example", "", "[::1]":
            with self.assertRaisesRegex(ValueError, r"without a scheme or a port, not '.*'; write"):
                StatusResource(Monitor(), hosts=[wrong])
        StatusResource(Monitor(), hosts=["2001:db8::1"])


class OriginsTests(HostsTestCase):
    """Requests that the page of another site has a browser send."""

    def test_origins(self) -> None:
        """A request that the page of another site makes is refused with 403."""
        for origin in "http://10.9.9.9:9000", "https://status.example", "http://localhost":
            self.assertEqual(self.code(Host="10.9.9.9:9000", Origin=origin), 200, origin)
        for origin in (
            *("http://evil.example", "null", "http://10.1.2.4", "http://[", "", "localhost"),
            "http://localhost@evil.example",
        ):
            self.assertEqual(self.code(Host="127.0.0.1:9000", Origin=origin), 403, origin)

    def test_parts_of_other_pages(self) -> None:
        """What another page embeds or fetches is refused, without an Origin, too."""
        for site, mode, code in (
            *(("cross-site", "no-cors", 403), ("same-site", "no-cors", 403)),
            *(("cross-site", "navigate", 200), ("same-origin", "cors", 200)),
            ("none", "navigate", 200),
        ):
            sent = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": mode}
            self.assertEqual(self.code(Host="localhost", **sent), code, (site, mode))


class RefusalTests(HostsTestCase):
    """The answers to refused requests, and the headers that each answer has."""

    def test_refusal(self) -> None:
        """A request for another name is refused in plain text, with a way out, on each path."""
        for path in (*PATHS, b"/events", b"/none"):
            for method in b"GET", b"POST":
                connection = connect(self.status, self.clock)
                connection.request(method=method, path=path, headers={b"Host": b"evil.example"})
                response = connection.response
                self.assertEqual(response.code, 421)
                self.assert_safe(response, path)
                self.assertEqual(response.header(b"content-type"), b"text/plain; charset=utf-8")
                self.assertRegex(
                    response.body.decode(),
                    r"^The status page cannot be opened as evil\.example\. .+ with hosts=\.\.\. ",
                )

    def test_errors(self) -> None:
        """An unknown path, a wrong method and a redirect have the headers for security, too."""
        root = Resource()
        root.putChild(b"status", self.status)
        for path, method, code in (
            *((b"/status/none", b"GET", 404), (b"/status/", b"POST", 405)),
            *((b"/status/json/more", b"GET", 200), (b"/status", b"GET", 302)),
            *((b"/status", b"POST", 405), (b"/status/events", b"POST", 405)),
        ):
            connection = connect(root, self.clock)
            connection.request(method=method, path=path)
            self.assertEqual(connection.response.code, code, path)
            self.assert_safe(connection.response, (path, method))

    def test_failure(self) -> None:
        """The answer to a request that fails has the headers for security, too."""

        class Failing(Monitor):
            def ends(self, count: int) -> list[Scope]:
                raise ArithmeticError

        self.status = StatusResource(Failing())
        for path in b"/", b"/json":
            response = self.get(path)
            self.assertEqual(response.code, 500)
            self.assert_safe(response, path)
        self.assertEqual(len(self.flushLoggedErrors(ArithmeticError)), 2)

    def assert_safe(self, response: Any, about: object) -> None:
        """Check that a response may be neither put into a frame nor kept."""
        self.assertEqual({name: response.header(name) for name in HEADERS}, HEADERS, about)
