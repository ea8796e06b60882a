"""What a request may ask of the server behind a reverse proxy, and what is refused.

What belongs here: methods, paths and queries. What does not: headers.
"""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel
from twisted.web.resource import Resource
from twisted.web.static import Data

from ._wires import OK, WireTestCase

UP = [
    b"..",
    b"%2e%2e",
    b"%2E.",
    b".%2e",
    b"..;",
    b"..;a=b",
    b"..%3b",
    b"..%00",
    b"..%20",
    b"..%23",
    b"..%3f",
    b"%20..",
    b".%0a.",
    b"%c0%ae.",
    b"%e0%80%ae.",
    b"%f0%80%80%ae.",
    b"%252e%252e",
    b"%25%32%65.",
    b".%252525252e",
]
"""Spellings of the segment that leads up; some server decodes or shortens each."""

SEGMENT = st.sampled_from(
    [
        *UP,
        b"",
        b".",
        b"a",
        b"%2f",
        b"%5c",
        b"\\",
        b"a%2fb",
        b"%",
        b"%zz",
        b"[",
        b"]",
        b":",
        b"#",
        b"@",
    ]
)
TARGETS = st.one_of(
    st.binary(max_size=30),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0xB0), max_size=30).map(
        lambda text: b"/" + text.encode("latin-1")
    ),
    st.lists(SEGMENT, max_size=8).map(lambda segments: b"/" + b"/".join(segments)),
    st.builds(
        bytes.__add__,
        st.sampled_from([b"http://", b"https://", b"HTTP://", b"ftp://", b"http:", b"//", b"*"]),
        st.lists(SEGMENT, max_size=4).map(b"/".join),
    ),
)


class PrefixTests(WireTestCase):
    """Paths that lead out of the prefix."""

    def status_of(self, target: bytes, **asked: Any) -> int:
        """What the client gets, if the upstream says "OK" to whatever it gets."""
        exchange = self.ask(target, root=self.proxy(path=b"/public"), **asked)
        for line in self.wire.lines:
            line.say(OK)
        self.clock.pump([0] * 10)
        assert exchange.response is not None, target
        return exchange.response.code

    def assert_refused(self, target: bytes) -> None:
        """The answer is 400, the upstream hears nothing, and no error is logged."""
        self.assertEqual(self.status_of(target), 400, target)
        self.assertEqual(self.wire.lines, [], target)
        self.assertEqual([e for e in self.events if e["log_level"] > LogLevel.info], [], target)

    def assert_relayed(self, target: bytes, expected: bytes) -> None:
        """The upstream gets this target."""
        self.assertEqual(self.status_of(target), 200, target)
        self.assertEqual(self.wire.asked[0], b"GET /public" + expected + b" HTTP/1.1")
        del self.wire.lines[:]

    def test_climbs(self) -> None:
        """A path that climbs out of the prefix, however it is spelled, gives a 400."""
        for up in UP:
            self.assert_refused(b"/" + up + b"/admin")
            self.assert_refused(b"/" + up)
            self.assert_refused(b"/a/" + up + b"/../admin")
            self.assert_refused(b"/a/b/../" + up + b"/../admin")

    def test_climbs_by_other_separators(self) -> None:
        """Backslashes and encoded slashes count as separators where they lead up."""
        for target in [b"/..\\admin", b"/..%5cadmin", b"/..%2fadmin", b"/a/..%2f..%2fadmin"]:
            self.assert_refused(target)
        self.assert_refused(b"/..%252fadmin")
        self.assert_refused(b"/..%e0%81%9cadmin")
        self.assert_refused(b"/a%2f../../admin")
        self.assert_refused(b"/a/..%c0%af../admin")

    def test_segments_that_lead_nowhere(self) -> None:
        """Empty segments, dots and parameters do not count as steps down."""
        for nowhere in [b".", b"%2e", b"", b"%2f", b";a", b".;a", b"\\", b".%20", b"..."]:
            self.assert_refused(b"/a/" + nowhere + b"/../../admin")
        # Some servers see one segment here, and others two.
        self.assert_refused(b"/a%2fb/../../admin")

    def test_stays_inside(self) -> None:
        """A path that goes up and stays inside the prefix is relayed."""
        self.assert_relayed(b"/a/../b", b"/a/../b")
        self.assert_relayed(b"/a/b/%2e%2e/../c", b"/a/b/../../c")

    def test_dots_that_are_names(self) -> None:
        """Dots in names are relayed, and inside the prefix what is encoded twice, as they are."""
        for target in [b"/...", b"/..a", b"/a..", b"/.well-known/x", b"/a/%252e%252e/a", b"/a/"]:
            self.assert_relayed(target, target)

    def test_below_other_resources(self) -> None:
        """The prefix holds for a proxy that is not the root, too."""
        root = Resource()
        root.putChild(b"api", self.proxy(path=b"/public"))
        for target, code in [(b"/api/../x", 400), (b"/api/%2e%2e/x", 400), (b"/api/x/../y", 200)]:
            exchange = self.ask(target, root=root)
            if self.wire.lines:
                self.wire.line.say(OK)
            self.clock.pump([0] * 10)
            assert exchange.response is not None
            self.assertEqual(exchange.response.code, code, target)

    def test_prefix_alone(self) -> None:
        """A request for the proxy itself asks for the prefix, or for "/" if there is none."""
        for path, expected in [(b"/public", b"/public"), (b"", b"/")]:
            root = Resource()
            root.putChild(b"api", self.proxy(path=path))
            self.ask(b"/api?a=1", root=root)
            self.assertEqual(self.wire.asked[0], b"GET " + expected + b"?a=1 HTTP/1.1")

    def test_two_slashes(self) -> None:
        """A path that begins with two slashes gives a 400; parsers take the rest for a host."""
        for target in [b"//[", b"//example.org/", b"//"]:
            self.assert_refused(target)

    def test_children_of_its_own(self) -> None:
        """A child that was put below the proxy is served at its place, and only there."""
        root = self.proxy()
        root.putChild(b"own", Data(b"own", "text/plain"))
        exchange = self.ask(b"/own", root=root)
        assert exchange.response is not None
        self.assertEqual(exchange.response.body, b"own")
        self.ask(b"/a/own", root=root)
        self.assertEqual(self.wire.asked[0], b"GET /a/own HTTP/1.1")

    def test_long_path(self) -> None:
        """A path of thousands of segments is relayed whole."""
        target = b"/a" * 8000
        self.ask(target)
        self.assertEqual(self.wire.asked[0], b"GET " + target + b" HTTP/1.1")


class FormTests(WireTestCase):
    """Targets other than paths, and methods."""

    def assert_code(self, code: int, target: bytes, method: bytes = b"GET") -> None:
        """The proxy answers so, and the upstream hears nothing."""
        exchange = self.ask(target, method=method)
        assert exchange.response is not None
        self.assertEqual((exchange.response.code, self.wire.lines), (code, []), target)

    def test_absolute(self) -> None:
        """Of an absolute URI, the path and the query are relayed (RFC 9112, section 3.2.2)."""
        for target, expected in [
            (b"http://example.org/a/b?c=d", b"/a/b?c=d"),
            (b"HTTPS://example.org:8443/a", b"/a"),
            (b"http://example.org", b"/"),
            (b"http://example.org?a", b"/?a"),
        ]:
            self.ask(target)
            self.assertEqual(self.wire.asked[0], b"GET " + expected + b" HTTP/1.1")

    def test_absolute_climbs(self) -> None:
        """An absolute URI that climbs gives a 400."""
        self.assert_code(400, b"http://example.org/../admin")
        self.assert_code(400, b"http://example.org/a/%2e%2e/%2e%2e/admin")
        self.assert_code(400, b"http://example.org//admin")

    def test_absolute_below_other_resources(self) -> None:
        """A proxy that is not the root gets only a part of an absolute URI, and refuses it."""
        root = Resource()
        root.putChild(b"ttp:", self.proxy())
        exchange = self.ask(b"http://example.org/a", root=root)
        assert exchange.response is not None
        self.assertEqual((exchange.response.code, self.wire.lines), (400, []))

    def test_neither(self) -> None:
        """What is neither a path nor an absolute URI of HTTP gives a 400."""
        for target in [b"a", b"?a", b"ftp://example.org/a", b"example.org:80", b"[", b"http:"]:
            self.assert_code(400, target)

    def test_star(self) -> None:
        """Twisted answers "OPTIONS *" itself."""
        self.assert_code(200, b"*", b"OPTIONS")

    def test_methods(self) -> None:
        """CONNECT and TRACE give a 501, in any case, and other methods are relayed."""
        for method in [b"CONNECT", b"TRACE", b"trace", b"Connect"]:
            self.assert_code(501, b"/", method)
            self.assert_code(501, b"example.org:443", method)
        for method in [b"OPTIONS", b"PROPFIND", b"QUERY", b"TRACED"]:
            self.ask(b"/", method=method)
            self.assertEqual(self.wire.asked[0], method + b" / HTTP/1.1")

    def test_query(self) -> None:
        """A query is relayed as it is; only characters that no URL may have are quoted."""
        for query, expected in [(b"a[]=%zz&b=/../?", b"a[]=%zz&b=/../?"), (b"#\x90", b"%23%90")]:
            self.ask(b"/?" + query)
            self.assertEqual(self.wire.asked[0], b"GET /?" + expected + b" HTTP/1.1")


class AnyTargetTests(WireTestCase):
    """Whatever a client sends as the target."""

    def answer_to(self, send: Any) -> Any:
        """The answer to a request, if the upstream says "OK" to whatever it gets."""
        del self.wire.lines[:], self.events[:]
        exchange = send()
        for line in self.wire.lines:
            line.say(OK)
        self.clock.pump([0] * 10)
        return exchange.response

    def check(self, response: Any, target: bytes) -> None:
        """The answer is not a 500, nothing climbs, and no error is logged."""
        self.assertIn(response and response.code, [None, 200, 400, 405, 501], target)
        self.assertEqual([e for e in self.events if e["log_level"] > LogLevel.info], [], target)
        for line in self.wire.lines:
            asked = line.value().split(b" ")[1]
            self.assertTrue(asked.startswith(b"/public/"), asked)
            depth = 0
            for segment in asked.partition(b"?")[0].split(b"/")[2:]:
                depth += {b"..": -1, b".": 0, b"": 0}.get(segment, 1)
                self.assertGreaterEqual(depth, 0, asked)

    @settings(max_examples=400, deadline=None)
    @given(TARGETS)
    @example(b"//[")
    @example(b"/?\xb0")
    @example(b"/\xb0")
    @example(b"http://[")
    def test_over_http1(self, target: bytes) -> None:
        """No target gives a 500, logs an error, or reaches what is outside the prefix."""
        connection = self.client(self.proxy(path=b"/public")).connect()
        self.check(self.answer_to(lambda: connection.get(target)), target)

    @settings(max_examples=200, deadline=None)
    @given(TARGETS.filter(bytes.strip))
    @example(b"//[")
    @example(b"/\xff")
    def test_over_http2(self, target: bytes) -> None:
        """The same holds over HTTP/2, where any bytes may come."""
        connection = self.client(self.proxy(path=b"/public")).connect_http2()
        self.check(self.answer_to(lambda: connection.get(target)), target)
