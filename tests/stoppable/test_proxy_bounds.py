"""How much of an upstream's response a reverse proxy keeps in memory.

What belongs here: heads, and what comes between the parts of a body. What does not: bodies, which
wait for the client: `test_proxy`.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import formatEvent
from twisted.web.client import Agent, HTTPConnectionPool

from cancelweb.proxy import ReverseProxyResource

from ._wires import EMPTY, OK, WireTestCase

LIMIT = 2**14  # HTTPChannel.totalHeadersSize
READ = 2**16  # bytes that a transport reads at once

STATUS = b"HTTP/1.1 200 OK\r\n"
ENDLESS = {
    "headers": STATUS + b"A: bcdefgh\r\n" * 2**17,
    "one header": STATUS + b"A: " + b"b" * 2**20,
    "one folded header": STATUS + b"A: b\r\n" + b" c\r\n" * 2**18,
    "a status": b"HTTP/1.1 200 " + b"a" * 2**20,
    "no line at all": b"a" * 2**20,
    "informational responses": b"HTTP/1.1 100 Continue\r\n\r\n" * 2**15,
    "an informational response": b"HTTP/1.1 103 Early Hints\r\n" + b"A: b\r\n" * 2**17,
}
CHUNKED = STATUS + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS_BODIES = {
    "the length of a chunk": CHUNKED + b"1" * 2**20,
    "an extension": CHUNKED + b"1;" + b"a" * 2**20,
    "trailers": CHUNKED + b"0\r\n" + b"A: b\r\n" * 2**18,
    "one trailer": CHUNKED + b"0\r\nA: " + b"b" * 2**20,
}


def kept(line: Any) -> int:
    """How many bytes the agent keeps of what was said."""
    connection = line.protocol
    parser = connection.parser._parser
    inside = [] if parser is None else [parser._buffer, *(parser._partialHeader or [])]
    return sum(map(len, [connection._head, *inside]))


class OneAtATime(Agent):
    """An agent that sends a request as soon as the one before it is answered."""

    lock: DeferredLock

    def request(self, *args: Any, **kw: Any) -> Deferred[Any]:
        """See `IAgent`."""
        return self.lock.run(super().request, *args, **kw)


class BoundTests(WireTestCase):
    """Upstreams that do not come to an end."""

    def say(self, said: bytes, size: int, at_most: int) -> None:
        """Say this; the proxy takes so many bytes of it at most."""
        self.assertLessEqual(self.wire.line.say(said, size), at_most)
        self.assertTrue(self.wire.line.is_closed)
        self.clock.pump([0] * 10)

    def assert_refused(self, said: bytes, size: int, at_most: int) -> str:
        """The proxy hangs up after so many bytes at most, and answers 502 with one warning."""
        exchange = self.ask()
        (told,) = self.warnings_of(lambda: self.say(said, size, at_most))
        assert exchange.response is not None
        self.assertEqual(exchange.response.code, 502)
        return formatEvent(told)

    def test_heads(self) -> None:
        """An endless head is refused as soon as it has more than 16 KiB, as from a client."""
        for what, said in ENDLESS.items():
            text = self.assert_refused(said, 100, LIMIT + 100)
            self.assertIn("more than 16384 bytes", text, what)
            self.assert_refused(said, READ, READ)

    def test_memory(self) -> None:
        """No more of a head than its limit is kept, and nothing once it is refused."""
        for what, said in ENDLESS.items():
            self.ask()
            line, most = self.wire.line, 0
            for begin in range(0, len(said), 1000):
                line.protocol.dataReceived(said[begin : begin + 1000])
                most = max(most, kept(line))
            self.assertLessEqual(most, LIMIT, what)
            self.assertEqual(kept(line), 0, what)

    def test_between_parts_of_a_body(self) -> None:
        """What is endless between the parts of a body is refused, too, by Twisted's limits."""
        for said in ENDLESS_BODIES.values():
            self.assert_refused(said, 1000, READ + 2000)

    def test_at_the_limit(self) -> None:
        """A head of just 16 KiB is relayed; one byte more is refused."""
        for length, code in [(LIMIT, 200), (LIMIT + 1, 502)]:
            said = OK.replace(b"OK\r\n", b"OK\r\nA: " + b"a\r\nB: " * 50 + b"\r\n")
            padding = length - said.index(b"hi")
            answer = self.answer(said.replace(b"A: ", b"A: " + b"a" * padding))
            self.assertEqual(answer.code, code)

    def test_count(self) -> None:
        """A head of 500 headers is relayed; one more is refused."""
        for count, code in [(499, 200), (500, 200), (501, 502)]:
            lines = b"A: b\r\n" * count
            self.assertEqual(self.answer(OK.replace(b"OK\r\n", b"OK\r\n" + lines)).code, code)

    def test_is_not_tried_again(self) -> None:
        """A refused head on a pooled connection is not asked for once more."""
        self.pool = HTTPConnectionPool(self.clock)
        client = self.client(self.proxy())
        client.get()
        self.wire.line.say(OK)
        self.clock.pump([0] * 10)
        exchange = client.get()
        self.wire.line.say(b"a" * (LIMIT + 1))
        self.clock.pump([0] * 10)
        assert exchange.response is not None
        self.assertEqual((exchange.response.code, len(self.wire.lines)), (502, 1))
        self.wire.line.close()

    def test_while_the_body_is_sent(self) -> None:
        """An endless head is refused even while the request's body is still being sent."""
        exchange = self.client().request(b"POST", b"/", body=bytes(2**20))
        self.assertEqual(len(self.warnings_of(lambda: self.wire.line.say(ENDLESS["headers"]))), 1)
        self.clock.pump([0] * 10)
        assert exchange.response is not None
        self.assertEqual(exchange.response.code, 502)
        self.wire.line.close()


class PassingOnTests(WireTestCase):
    """What is not refused, in whatever pieces it comes."""

    @settings(max_examples=100, deadline=None)
    @given(st.integers(1, 40), st.integers(0, 3), st.sampled_from([b"\r\n", b"\n"]))
    def test_pieces(self, size: int, hints: int, end: bytes) -> None:
        """Responses on one connection are whole, however they are cut, with any line ends."""
        self.wire.lines.clear()
        self.pool = HTTPConnectionPool(self.clock)
        client = self.client(self.proxy())
        hint = b"HTTP/1.1 103 Early Hints\r\nConnection: B\r\nA: b\r\n\r\n"
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        for said, body in [(OK, b"hi"), (chunked, b"hi"), (EMPTY, b""), (OK, b"hi")]:
            head, blank, rest = (hint * hints + said).rpartition(b"\r\n\r\n")
            if said is not chunked:
                said = (head + blank).replace(b"\r\n", end) + rest
            exchange = client.get()
            self.wire.line.say(said, size)
            self.clock.pump([0] * 10)
            assert exchange.response is not None
            self.assertEqual((exchange.response.code, exchange.response.body), (200, body))
        self.assertEqual(len(self.wire.lines), 1)

    def test_many_hints_in_many_responses(self) -> None:
        """The limit is for one response, not for all responses of a connection."""
        self.pool = HTTPConnectionPool(self.clock)
        client = self.client(self.proxy())
        said = OK.replace(b"OK\r\n", b"OK\r\nA: " + b"a" * 9000 + b"\r\n")
        for _ in range(5):
            exchange = client.get()
            self.wire.line.say(said)
            self.clock.pump([0] * 10)
            assert exchange.response is not None
            self.assertEqual(exchange.response.code, 200)
        self.assertEqual(len(self.wire.lines), 1)

    def test_ends_inside_the_head(self) -> None:
        """A head that breaks off is a failure of the upstream, as without a limit."""
        for said in [b"", b"HTTP/1.1 200 OK\r\nA"]:
            self.assertEqual(self.answer(said).code, 502)

    def test_unasked(self) -> None:
        """What an upstream says without being asked closes the connection."""
        self.pool = HTTPConnectionPool(self.clock)
        client = self.client(self.proxy())
        client.get()
        self.wire.line.say(OK)
        self.assertFalse(self.wire.line.is_closed)
        self.wire.line.say(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n")
        self.assertTrue(self.wire.line.is_closed)
        self.wire.line.close()

    def test_after_a_response_without_a_body(self) -> None:
        """The body of an answer to a HEAD is never taken for the answer to the next request."""
        pool = HTTPConnectionPool(self.clock)
        agent: Any = OneAtATime.usingEndpointFactory(self.clock, self.wire, pool=pool)
        agent.lock = DeferredLock()
        client = self.client(ReverseProxyResource("up.example", 80, b"", agent=agent))
        client.request(b"HEAD")
        exchange = client.get()
        (told,) = self.warnings_of(lambda: self.wire.line.say(OK.replace(b"hi", OK)))
        self.assertIn("is followed by", formatEvent(told))
        self.assertTrue(self.wire.line.is_closed)
        assert exchange.response is not None
        self.assertEqual(exchange.response.code, 502)
