"""What a reverse proxy tells the upstream of the client: address, scheme and Host.

What belongs here: the headers for that, and the options ``forwarded`` and ``trusted``.
What does not: other headers, which are in `test_proxy_messages`.
"""

from collections.abc import Iterable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.logger import LogLevel
from twisted.web.resource import Resource

from ._wires import WireTestCase

CLAIMS = {
    b"Forwarded": b"for=192.0.2.66",
    b"X-Forwarded": b"for=192.0.2.66",
    b"X-Forwarded-For": b"192.0.2.66",
    b"X-Forwarded-Host": b"evil.example",
    b"X-Forwarded-Port": b"666",
    b"X-Forwarded-Prefix": b"/evil",
    b"X-Forwarded-Proto": b"gopher",
    b"X-Forwarded-Server": b"evil",
    b"X-Real-IP": b"192.0.2.66",
    b"X_Forwarded_For": b"192.0.2.66",
    b"x_real-ip": b"192.0.2.66",
}
"""What a client may claim to be."""

NAMES = st.sampled_from([*CLAIMS, b"Host", b"Connection", b"A", b"Content-Length"]) | st.binary()
VALUES = st.binary() | st.sampled_from([b"::1", b"a, b", b'for="', b"unix", b"[::1", b"fe80::1%a"])
METHODS = st.sampled_from([b"GET", b"POST", b"TRACE", b"HEAD"]) | st.binary(max_size=9)


def ipv4(host: str) -> IPv4Address:
    """The address of a client."""
    return IPv4Address("TCP", host, 50000)


CLIENT = ipv4("198.51.100.7")


class From(Resource):
    """Makes requests come from an address, and perhaps over TLS."""

    def __init__(self, peer: Any, root: Any, is_secure: bool) -> None:
        super().__init__()
        self._peer, self._root, self._is_secure = peer, root, is_secure

    def getChildWithDefault(self, path: bytes, request: Any) -> Any:
        """See `IResource`."""
        request.client = self._peer
        if self._is_secure:
            request.setHost(b"secure.example", 443, ssl=True)
        return self._root.getChildWithDefault(path, request)


class ForwardedTestCase(WireTestCase):
    """A test of what the upstream is told."""

    def told(
        self,
        headers: dict[bytes, bytes] | None = None,
        peer: Any = CLIENT,
        target: bytes = b"/",
        trusted: Iterable[str] = (),
        secure: bool = False,
    ) -> dict[bytes, bytes]:
        """The headers about the client that the upstream gets from a proxy with ``forwarded``."""
        proxy = self.proxy(forwarded=True, trusted=trusted)
        asked = {b"Host": b"site.example", **(headers or {})}
        got = self.asked_with(target, asked, root=From(peer, proxy, secure))
        self.assertEqual(got.pop(b"host"), b"up.example")
        self.assertEqual(got.pop(b"connection"), b"close")
        return got


class DroppedTests(ForwardedTestCase):
    """What clients claim."""

    def test_by_default(self) -> None:
        """No header with which a client can claim to be another is relayed, nor is one added."""
        headers = self.asked_with(b"/", {**CLAIMS, b"X-Forward": b"1", b"Via": b"1.1 a"})
        expected = {b"connection": b"close", b"host": b"up.example"}
        self.assertEqual(headers, {**expected, b"x-forward": b"1", b"via": b"1.1 a"})

    def test_with_the_option(self) -> None:
        """With the option, these headers have nothing of what the client has written."""
        self.assertEqual(self.told(CLAIMS), self.told())
        self.assertEqual(self.told(CLAIMS, trusted=["198.51.100.8"]), self.told())

    def test_named_in_connection(self) -> None:
        """A client cannot have the headers dropped by naming them in ``Connection``."""
        named = b", ".join(self.told())
        self.assertEqual(self.told({b"Connection": named}), self.told())


class SetTests(ForwardedTestCase):
    """What the option ``forwarded`` sets, for a client without a trusted proxy."""

    def test_ipv4(self) -> None:
        """The address, the scheme and the Host are told in the usual ways and the standard one."""
        self.assertEqual(
            self.told(),
            {
                b"x-forwarded-for": b"198.51.100.7",
                b"x-forwarded-proto": b"http",
                b"x-forwarded-host": b"site.example",
                b"x-real-ip": b"198.51.100.7",
                b"forwarded": b'for=198.51.100.7;host="site.example";proto=http',
            },
        )

    def test_ipv6(self) -> None:
        """An IPv6 address is quoted in ``Forwarded`` only (RFC 7239, section 6)."""
        told = self.told(peer=IPv6Address("TCP", "2001:db8::7", 50000))
        self.assertEqual(told[b"x-forwarded-for"], b"2001:db8::7")
        self.assertEqual(told[b"x-real-ip"], b"2001:db8::7")
        self.assertTrue(told[b"forwarded"].startswith(b'for="[2001:db8::7]";'))

    def test_ipv4_on_a_socket_for_both(self) -> None:
        """An IPv4 client of a socket for both versions of IP has its IPv4 address."""
        told = self.told(peer=IPv6Address("TCP", "::ffff:198.51.100.7", 50000))
        self.assertEqual(told, self.told())

    def test_tls(self) -> None:
        """The scheme of a request over TLS is https."""
        told = self.told(secure=True)
        self.assertEqual(told[b"x-forwarded-proto"], b"https")
        self.assertTrue(told[b"forwarded"].endswith(b'host="secure.example";proto=https'))

    def test_without_address(self) -> None:
        """A client without an address is unknown."""
        for peer in [UNIXAddress(None), UNIXAddress("/run/site"), HostnameAddress(b"a", 1), None]:
            self.assertEqual(
                self.told(peer=peer),
                {
                    b"x-forwarded-proto": b"http",
                    b"x-forwarded-host": b"site.example",
                    b"forwarded": b'for=unknown;host="site.example";proto=http',
                },
            )

    def test_hosts(self) -> None:
        """A Host that is one is told, and what could be taken for something else is not."""
        for host in [b"a.example:8080", b"[::1]:80", b"[2001:db8::1]", b"127.0.0.1", b"a_b"]:
            told = self.told({b"Host": host})
            self.assertEqual(told[b"x-forwarded-host"], host)
            self.assertIn(b'host="' + host + b'"', told[b"forwarded"])
        for host in [b"a, b", b'a";for=b', b"a/b", b"", b"[::1", b"a b", b"\xe4"]:
            told = self.told({b"Host": host})
            self.assertNotIn(b"x-forwarded-host", told)
            self.assertEqual(told[b"forwarded"], b"for=198.51.100.7;proto=http")

    def test_host_of_the_target(self) -> None:
        """The host of an absolute URI replaces the header (RFC 9112, section 3.2.2)."""
        told = self.told(target=b"http://target.example:81/a")
        self.assertEqual(told[b"x-forwarded-host"], b"target.example:81")
        self.assertNotIn(b"x-forwarded-host", self.told(target=b"http:///a"))


class TrustedTests(ForwardedTestCase):
    """What proxies in front tell, which are trusted."""

    def test_its_chain_is_extended(self) -> None:
        """What a trusted proxy says about its client is kept, and its own address is added."""
        told = self.told(
            {
                b"X-Forwarded-For": b"203.0.113.9, 192.0.2.1",
                b"X-Forwarded-Proto": b"https",
                b"X-Forwarded-Host": b"front.example",
                b"X-Forwarded-Port": b"443",
                b"Forwarded": b"for=203.0.113.9;proto=https",
            },
            trusted=["198.51.100.0/24", "192.0.2.1"],
        )
        hop = b'for=198.51.100.7;host="site.example";proto=http'
        self.assertEqual(
            told,
            {
                b"x-forwarded-for": b"203.0.113.9, 192.0.2.1, 198.51.100.7",
                b"x-forwarded-proto": b"https",
                b"x-forwarded-host": b"front.example",
                b"x-forwarded-port": b"443",
                b"x-real-ip": b"203.0.113.9",
                b"forwarded": b"for=203.0.113.9;proto=https, " + hop,
            },
        )

    def test_its_clients_claims(self) -> None:
        """A trusted proxy may relay what its client has written with ``_``, so this is dropped."""
        front = {b"X-Forwarded-For": b"203.0.113.9"}
        claims = {b"X_Forwarded_For": b"192.0.2.66", b"x-real_ip": b"192.0.2.66"}
        trusted = ["198.51.100.0/24"]
        self.assertEqual(
            self.told({**front, **claims}, trusted=trusted), self.told(front, trusted=trusted)
        )

    def test_real_address(self) -> None:
        """X-Real-IP is the nearest address that does not belong to a trusted proxy."""
        for chain, expected in [
            (b"203.0.113.66, 203.0.113.9", b"203.0.113.9"),
            (b"198.51.100.1, 198.51.100.2", b"198.51.100.1"),
            (b"203.0.113.66, unknown", None),
            (b"2001:DB8::7", b"2001:db8::7"),
        ]:
            told = self.told({b"X-Forwarded-For": chain}, trusted=["198.51.100.0/24"])
            self.assertEqual(told.get(b"x-real-ip"), expected, chain)

    def test_its_own_real_address(self) -> None:
        """The X-Real-IP of a trusted proxy is kept."""
        told = self.told({b"X-Real-IP": b"203.0.113.9"}, trusted=["198.51.100.7"])
        self.assertEqual(told[b"x-real-ip"], b"203.0.113.9")

    def test_one_way(self) -> None:
        """If a trusted proxy uses one way only, the other is not begun with its own address."""
        plain = self.told({b"X-Forwarded-For": b"203.0.113.9"}, trusted=["198.51.100.7"])
        self.assertNotIn(b"forwarded", plain)
        self.assertEqual(plain[b"x-forwarded-for"], b"203.0.113.9, 198.51.100.7")
        standard = self.told({b"Forwarded": b"for=203.0.113.9"}, trusted=["198.51.100.7"])
        self.assertEqual({*standard}, {b"forwarded"})

    def test_open_quotation(self) -> None:
        """A quotation that a client has left open does not hide the address of the proxy."""
        trusted = ["198.51.100.7"]
        for claim in [b'for="192.0.2.66', b'for="a\\"', b'for="a", for="', b'"\\']:
            told = self.told({b"Forwarded": claim}, trusted=trusted)
            self.assertEqual(told, self.told(trusted=trusted), claim)
        told = self.told({b"Forwarded": b'for="\\"[::1],"'}, trusted=trusted)
        self.assertTrue(told[b"forwarded"].startswith(b'for="\\"[::1],", for=198.51.100.7;'))

    def test_several_lines(self) -> None:
        """A chain in several headers stays in order."""
        connection = self.client(
            From(CLIENT, self.proxy(forwarded=True, trusted=["198.51.100.7"]), False)
        ).connect()
        chain = b"".join(b"X-Forwarded-For: 203.0.113.%d\r\n" % n for n in (1, 2, 3))
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + chain + b"\r\n")
        expected = b"X-Forwarded-For: 203.0.113.1, 203.0.113.2, 203.0.113.3, 198.51.100.7"
        self.assertIn(expected, self.wire.asked)

    def test_unix(self) -> None:
        """A proxy on a UNIX socket is trusted by the name ``unix``, and has no address to add."""
        claims = {b"X-Forwarded-For": b"203.0.113.9", b"X-Forwarded-Proto": b"https"}
        told = self.told(claims, UNIXAddress(None), trusted=["unix"])
        self.assertEqual(told[b"x-forwarded-for"], b"203.0.113.9")
        self.assertEqual(told[b"x-forwarded-proto"], b"https")
        self.assertNotIn(b"x-forwarded-for", self.told(claims, UNIXAddress(None)))
        self.assertNotIn(b"x-forwarded-for", self.told(claims, None, trusted=["unix"]))

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.tuples(NAMES, VALUES), max_size=5), METHODS)
    @example([(b"X-Forwarded-For", b"fe80::1%\xe4")], b"GET")
    def test_whatever_comes(self, headers: list[tuple[bytes, bytes]], method: bytes) -> None:
        """No method and no headers give a 500 or log an error."""
        proxy = self.proxy(forwarded=True, trusted=["198.51.100.7"])
        connection = self.client(From(CLIENT, proxy, False)).connect()
        lines = [method + b" / HTTP/1.1", *(name + b": " + value for name, value in headers)]
        connection.send(b"\r\n".join([*lines, b"", b""]))
        self.assertNotIn(b" 500 ", connection.received)
        self.assertEqual([e for e in self.events if e["log_level"] > LogLevel.info], [])
        connection.disconnect()

    def test_zone(self) -> None:
        """The zone of a link-local address means something to this machine alone."""
        told = self.told(peer=IPv6Address("TCP", "fe80::1%eth0", 1))
        self.assertEqual(told[b"x-forwarded-for"], b"fe80::1")

    def test_networks(self) -> None:
        """Proxies are named by address or by network, of either version of IP."""
        claims = {b"X-Forwarded-Proto": b"https"}
        for name, peer in [
            ("::1", IPv6Address("TCP", "::1", 1)),
            ("2001:db8::/32", IPv6Address("TCP", "2001:db8::5", 1)),
            ("10.0.0.0/8", ipv4("10.1.2.3")),
            ("10.0.0.0/8", IPv6Address("TCP", "::ffff:10.1.2.3", 1)),
        ]:
            told = self.told(claims, peer, trusted=["192.0.2.1", name])
            self.assertEqual(told[b"x-forwarded-proto"], b"https", name)
            told = self.told(claims, trusted=["192.0.2.1", name])
            self.assertEqual(told[b"x-forwarded-proto"], b"http", name)
